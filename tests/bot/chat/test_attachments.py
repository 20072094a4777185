import asyncio
import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from bot.chat import attachments, decoding, message_files
from bot.chat.attachments import Uploads, check_source, decode, from_pixels, picture_in
from bot.chat.message_files import ShownFile
from bot.refusals import Refusal
from bot.settings import DiscordSettings, LimitSettings, Settings

GOOD = "https://cdn.discordapp.com/attachments/1/2/a.png?ex=1&is=2&hm=3"


def png(size: tuple[int, int] = (20, 10)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "green").save(buffer, "PNG")
    return buffer.getvalue()


class Server:
    """Hands out a file, after `failures`: what becomes of the first requests."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.failures: list[str] = []
        self.asked = 0
        self.released = asyncio.Event()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        failure = self.failures.pop(0) if self.failures else ""
        if failure.isdecimal():
            return web.Response(status=int(failure))
        if failure == "hang up":
            assert request.transport is not None
            request.transport.abort()
        if failure == "wait":
            await self.released.wait()
        if failure == "elsewhere":
            raise web.HTTPFound("/other")
        return web.Response(body=self.content)


@pytest.fixture
async def server():
    server = Server(png())
    application = web.Application()
    application.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/cdn/a.png"
    yield server
    await runner.cleanup()


def shown(url: str = GOOD, size: int | None = None) -> ShownFile:
    return ShownFile("a.png", url, size, "image/png", spoiler=False)


@pytest.fixture
def settings(server, monkeypatch) -> Settings:
    monkeypatch.setitem(message_files.retried.__kwdefaults__, "first_pause", 0.01)
    base = server.url.removesuffix("/cdn/a.png") + "/api/v10"
    return Settings(limits=LimitSettings(upload_bytes=4096), discord=DiscordSettings(api_base=base))


async def test_a_picture_comes_back_as_a_png_with_its_size(settings, server):
    upload = await Uploads(settings).fetch(1, shown(server.url))
    assert (upload.width, upload.height) == (20, 10)
    with Image.open(io.BytesIO(upload.png)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (20, 10))


async def test_a_mask_comes_back_as_grey(settings, server):
    upload = await Uploads(settings).fetch(1, shown(server.url), "mask")
    with Image.open(io.BytesIO(upload.png)) as image:
        assert image.mode == "L"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/a.png",
        "https://cdn.discordapp.com.evil.example/a.png",
        "https://evil.example/cdn.discordapp.com/a.png",
        "https://cdn.discordapp.com@evil.example/a.png",
        "http://cdn.discordapp.com/a.png",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "",
    ],
)
def test_other_hosts_are_never_asked(settings, url):
    with pytest.raises(Refusal, match="uploaded to Discord"):
        check_source(shown(url), settings)


def test_a_configured_base_hands_out_its_own_files_and_no_other_port_does():
    settings = Settings(discord=DiscordSettings(api_base="http://127.0.0.1:8123/api/v10"))
    check_source(shown("http://127.0.0.1:8123/cdn/a.png"), settings)
    for url in ("http://127.0.0.1:8080/metrics", "https://127.0.0.1:8123/cdn/a.png", "http://127.0.0.1/a.png"):
        with pytest.raises(Refusal, match="uploaded to Discord"):
            check_source(shown(url), settings)


async def test_a_large_file_is_refused_before_it_is_read(settings, server):
    with pytest.raises(Refusal, match="too large"):
        await Uploads(settings).fetch(1, shown(server.url, size=4097))
    assert server.asked == 0


@pytest.mark.parametrize("said", [10, None])
async def test_a_file_larger_than_it_said_is_refused(settings, server, said):
    server.content = b"x" * 5000
    with pytest.raises(Refusal, match="too large"):
        await Uploads(settings).fetch(1, shown(server.url, size=said))


@pytest.mark.parametrize("failures", [["hang up"], ["503", "hang up"]])
async def test_a_file_is_read_although_the_connection_breaks(settings, server, failures):
    server.failures = list(failures)
    assert (await Uploads(settings).fetch(1, shown(server.url))).width == 20


@pytest.mark.parametrize("failures", [["404"], ["hang up"] * 9, ["503"] * 9, ["elsewhere"]])
async def test_a_file_that_is_not_handed_out_is_one_sentence(settings, server, failures):
    server.failures = list(failures)
    with pytest.raises(Refusal, match="send it again"):
        await Uploads(settings).fetch(1, shown(server.url))
    assert server.asked == 1 or len(failures) > 1, "what is gone is asked for once, and no redirect is followed"


async def test_what_is_no_picture_is_one_sentence(settings, server):
    server.content = b"<html>"
    with pytest.raises(Refusal, match="no picture that can be read"):
        await Uploads(settings).fetch(1, shown(server.url))


async def test_one_file_of_each_person_at_a_time_and_few_in_all(settings, server):
    uploads, server.failures = Uploads(settings), ["wait"] * 8
    reading = [asyncio.create_task(uploads.fetch(user, shown(server.url))) for user in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(Refusal, match="sent before is still being read"):
        await uploads.fetch(0, shown(server.url))
    with pytest.raises(Refusal, match="Many pictures are being read"):
        await uploads.fetch(99, shown(server.url))
    server.content = b"x" * 5000  # too large: nothing has to be decoded
    server.released.set()
    await asyncio.gather(*reading, return_exceptions=True)
    server.content = png()
    assert (await uploads.fetch(0, shown(server.url))).width == 20


async def test_who_sent_something_that_cannot_be_read_may_send_the_next(settings, server):
    uploads, server.failures = Uploads(settings), ["404"]
    for _ in range(2):
        with pytest.raises(Refusal, match="send it again"):
            await uploads.fetch(1, shown(server.url))
        server.failures = ["404"]


def test_a_file_of_the_largest_size_is_taken_and_a_larger_one_is_told_the_limit():
    settings = Settings(limits=LimitSettings(upload_bytes=3 * 2**19))
    for size in (None, 0, 3 * 2**19):
        check_source(shown(size=size), settings)
    with pytest.raises(Refusal, match=r"at most 1\.5 MiB"):
        check_source(shown(size=3 * 2**19 + 1), settings)


# The picture of a message


def message(*files) -> Any:
    """A message with attachments, each a name and perhaps a URL and a size."""
    attached = [
        SimpleNamespace(filename=name, url=url, size=size, content_type=None, is_spoiler=lambda: False)
        for name, url, size in ((name, *rest, *(GOOD, 7)[len(rest) :]) for name, *rest in files)
    ]
    return SimpleNamespace(attachments=attached, components=[], embeds=[], message_snapshots=[])


ELSEWHERE = "https://evil.example/a.png"


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ([("a.png",), ("b.png",)], "a.png"),
        ([("a.txt",), ("b.png",)], "b.png"),
        ([("a.png", ELSEWHERE), ("b.png",), ("c.png",)], "b.png"),
        ([("a.png", ELSEWHERE), ("b.png", GOOD, 10**9), ("c.png",)], "c.png"),
    ],
)
def test_the_first_picture_of_a_message_that_may_be_taken_is(files, chosen):
    assert picture_in(message(*files), Settings()).name == chosen


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([], "has no picture"),
        ([("a.txt",)], "has no picture"),
        ([("a.png", ELSEWHERE)], "uploaded to Discord"),
        ([("a.png", ELSEWHERE), ("b.png", GOOD, 10**9)], "too large"),
        ([("b.png", GOOD, 10**9), ("a.png", ELSEWHERE)], "uploaded to Discord"),
    ],
)
def test_a_message_without_one_says_what_is_wrong_with_the_last(files, why):
    with pytest.raises(Refusal, match=why):
        picture_in(message(*files), Settings())


# What the decoding child writes


def test_what_a_taken_over_decoder_writes_is_no_picture_unless_it_is_pixels():
    header = decoding.HEADER
    good = header.pack(b"RGB", 2, 1) + bytes(6)
    bad = [b"", png(), good[:-1], good + b"x", header.pack(b"RGB", 2**31, 2**31), header.pack(b"P", 2, 1) + bytes(2)]
    bad += [header.pack(b"RGB", 0, 0), good[: header.size - 1]]
    assert from_pixels(good, 10**6) is not None
    assert [from_pixels(written, 10**6) for written in bad] == [None] * len(bad)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_become_a_png_that_fits_a_third_smaller_at_a_time(mode):
    image = Image.effect_noise((90, 60), 90).convert(mode)
    written = decoding.HEADER.pack(mode.encode(), *image.size) + image.tobytes()
    whole = from_pixels(written, 10**6)
    assert whole is not None
    with Image.open(io.BytesIO(whole.png)) as same:
        assert (same.format, same.mode, same.size, same.tobytes()) == ("PNG", mode, (90, 60), image.tobytes())
    assert from_pixels(written, len(whole.png)) == whole
    for limit, size in ((len(whole.png) - 1, (60, 40)), (1, (25, 17))):  # 90, 60, 40, 25
        smaller = from_pixels(written, limit)
        assert smaller is not None
        with Image.open(io.BytesIO(smaller.png)) as shown:
            assert (shown.mode, shown.size) == (mode, (smaller.width, smaller.height)) == (mode, size)


@pytest.mark.parametrize(("side", "left"), [(32, 32), (33, 22)])
def test_a_small_one_is_let_be_however_little_is_allowed(side, left):
    upload = from_pixels(decoding.HEADER.pack(b"L", side, side) + bytes(side * side), 1)
    assert upload is not None
    assert (upload.width, upload.height) == (left, left)


# The child


@pytest.fixture
def child(monkeypatch, tmp_path):
    """Put a shell script in the child's place; return what is said of its picture."""

    def run(script, *options: Any):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))
        given: Any = options or (b"", "picture", 10**6, 4096)
        with pytest.raises(Refusal) as refused:
            decode(*given)
        return str(refused.value)

    return run


def test_the_child_is_told_what_to_read_and_how_large_it_may_be(child):
    said = child('exec >&2; echo "$@"; pwd; cat; exit 3', b"the file", "mask", 1234, 567)
    root = Path(attachments.__file__).parents[2]
    assert said == f"-m bot.chat.decoding mask 1234 567\n{root}\nthe file"


async def test_the_child_is_told_the_limits_of_the_configuration(child, settings, server, monkeypatch):
    child('exec >&2; echo "$@"; exit 3')
    settings = settings.model_copy(update={"limits": LimitSettings(upload_bytes=4096, largest_side=320)})
    given: Any
    for given, asked in (((), "picture"), (("mask",), "mask")):
        with pytest.raises(Refusal, match=f"^-m bot.chat.decoding {asked} 4096 320$"):
            await Uploads(settings).fetch(1, shown(server.url), *given)


@pytest.mark.parametrize("script", ["kill -SEGV $$", "kill -KILL $$", "exit 1", "echo Traceback >&2; exit 1", "exit 0"])
def test_a_child_that_dies_is_a_refusal(child, script):
    assert child(script) == "That picture cannot be read; save it anew as a PNG."


def test_a_child_that_hangs_is_ended_and_refused(child, monkeypatch):
    monkeypatch.setattr(attachments, "_DECODING_SECONDS", 0.2)
    assert "takes too long" in child("exec sleep 600")


def test_a_child_that_nothing_confines_is_a_refusal(child):
    assert "cannot be read safely on this machine" in child(f"exit {decoding.NOT_CONFINED}")


def test_what_a_child_says_is_shown_as_one_short_sentence(child):
    assert child(r"printf '  It is \377 no picture.\n' >&2; exit 3") == "It is \ufffd no picture."
    assert child("printf '%0999d' 0 >&2; exit 3") == "0" * 300


def test_the_child_knows_no_secret(child, monkeypatch):
    monkeypatch.setenv("DISCORD_TOKEN", "a secret")
    monkeypatch.setenv("PAINTER__DISCORD__API_BASE", "http://somewhere")
    said = child("env >&2; exit 3")
    assert "OMP_NUM_THREADS=1" in said
    assert "secret" not in said
    assert "somewhere" not in said
