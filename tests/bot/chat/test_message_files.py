"""The files of a message, wherever Discord puts them, and reading them from a real server."""

# pyright: reportArgumentType=false

from types import SimpleNamespace

import aiohttp
import discord
import pytest
from aiohttp import web

from bot.chat import message_files
from bot.chat.message_files import ShownFile, TooLargeFileError, UnreadableFileError, files_of, of_upload, read
from bot.chat.retry import retried

CDN = "https://cdn.example/1/2/"


def attachment(name="a.png", spoiler=False):
    return SimpleNamespace(filename=name, url=CDN + name, size=7, content_type="image/png", is_spoiler=lambda: spoiler)


def message(attachments=(), components=(), embeds=(), forwarded=()):
    return SimpleNamespace(
        attachments=list(attachments),
        components=list(components),
        embeds=list(embeds),
        message_snapshots=list(forwarded),
    )


def media(name, content_type="image/png"):
    return {"url": CDN + name, "content_type": content_type}


def components(*raw):
    found = [discord.components._component_factory(one) for one in raw]
    assert None not in found
    return found


GALLERY = {"type": 12, "items": [{"media": media("a.png")}, {"media": media("b.png"), "spoiler": True}]}
FILE = {"type": 13, "file": media("c.zip", "application/zip")}
SECTION = {
    "type": 9,
    "components": [{"type": 10, "content": "words"}],
    "accessory": {"type": 11, "media": media("d.png")},
}


def names(found):
    return [(file.name, file.spoiler) for file in found]


def test_files_are_found_wherever_they_are_shown_in_the_order_of_the_message():
    embed = discord.Embed().set_image(url=CDN + "e.png?ex=1").set_thumbnail(url=CDN + "SPOILER_f%20g.png")
    forwarded = message([attachment("h.png")])
    shown = message(
        [attachment(), attachment("s.png", spoiler=True)], components(GALLERY, FILE, SECTION), [embed], [forwarded]
    )
    assert names(files_of(shown)) == [
        ("a.png", False), ("s.png", True), ("a.png", False), ("b.png", True), ("c.zip", False), ("d.png", False),
        ("e.png", False), ("SPOILER_f g.png", True), ("h.png", False),
    ]  # fmt: skip
    first, *_, zipped = list(files_of(message([attachment()], components(FILE))))
    assert (first.url, first.size, first.content_type) == (CDN + "a.png", 7, "image/png")
    assert (zipped.url, zipped.size, zipped.content_type) == (CDN + "c.zip", None, "application/zip")
    assert list(files_of(message())) == []
    assert list(files_of(message(embeds=[discord.Embed(title="words")]))) == []


@pytest.mark.parametrize(("spoiler", "hidden"), [(False, [False, True]), (True, [True, True])])
def test_what_stands_in_a_hidden_box_is_hidden(spoiler, hidden):
    box = {"type": 17, "components": [GALLERY], "spoiler": spoiler}
    assert [file.spoiler for file in files_of(message(components=components(box)))] == hidden


def test_a_file_named_a_spoiler_is_one():
    gallery = {"type": 12, "items": [{"media": media("SPOILER_a.png")}]}
    assert names(files_of(message(components=components(gallery)))) == [("SPOILER_a.png", True)]
    upload = {"filename": "SPOILER_a.png", "url": CDN + "a", "size": 3, "content_type": "image/png"}
    assert of_upload(upload) == ShownFile("SPOILER_a.png", CDN + "a", 3, "image/png", True)
    assert of_upload({"filename": "a.png", "url": CDN + "a", "size": 3}) == ShownFile(
        "a.png", CDN + "a", 3, None, False
    )


@pytest.mark.parametrize(
    ("name", "content_type", "is_picture"),
    [
        ("a.PNG", None, True), ("a.jpeg", None, True), ("a.bmp", None, True), ("a.txt", None, False),
        ("png", None, False),
        ("a.png", "text/plain", False), ("a", "image/webp", True), ("a.gif", "application/octet-stream", False),
    ],
)  # fmt: skip
def test_a_picture_is_known_by_its_type_or_else_by_its_name(name, content_type, is_picture):
    assert ShownFile(name, CDN + name, None, content_type, False).is_picture is is_picture


def test_a_file_can_be_read_later_from_a_note():
    file = ShownFile("a.png", CDN + "a.png", 7, None, True)
    assert ShownFile.from_note(file.to_note()) == file


class Server:
    """Answers with what `answers` holds: a status and a content, the last again and again."""

    def __init__(self, answers):
        self.answers, self.asked = answers, 0

    async def __call__(self, request):
        status, content = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        headers = {"Location": "/elsewhere"} if status == 302 else {}
        return web.Response(status=status, body=content, headers=headers)


@pytest.fixture
async def serve(monkeypatch):
    monkeypatch.setitem(retried.__kwdefaults__, "first_pause", 0)
    runners = []

    async def start(*answers):
        server, app = Server(answers), web.Application()
        app.router.add_get("/{name}", server)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
        return server, ShownFile("a.png", f"http://127.0.0.1:{port}/a.png", None, None, False)

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_a_file_is_read_whole_up_to_the_limit(serve):
    content = bytes(range(256)) * 1000
    server, file = await serve((200, content))
    assert await read(file, len(content)) == content
    with pytest.raises(TooLargeFileError, match=f"more than {len(content) - 1} bytes"):
        await read(file, len(content) - 1)
    assert server.asked == 2, "what is too large is not tried again"


async def test_a_server_in_trouble_is_asked_three_times(serve):
    server, file = await serve((500, b""), (503, b""), (200, b"there"))
    assert await read(file, 100) == b"there"
    server, file = await serve((500, b""))
    with pytest.raises(UnreadableFileError):
        await read(file, 100)
    assert server.asked == 3


@pytest.mark.parametrize("status", [404, 403, 302, 204])
async def test_what_is_not_handed_out_is_not_asked_for_again(serve, status):
    server, file = await serve((status, b""))
    with pytest.raises(UnreadableFileError, match=f"status {status}"):
        await read(file, 100)
    assert server.asked == 1


async def test_a_server_that_cannot_be_reached_is_said(monkeypatch):
    monkeypatch.setitem(retried.__kwdefaults__, "first_pause", 0)
    tried = []

    async def broken(url, most_bytes):
        tried.append(url)
        raise aiohttp.ClientConnectionError("refused")

    monkeypatch.setattr(message_files, "_read", broken)
    with pytest.raises(UnreadableFileError, match="ClientConnectionError: refused"):
        await read(ShownFile("a.png", CDN, None, None, False), 10)
    assert len(tried) == 3
