import asyncio
import io

import pytest
from aiohttp import web
from PIL import Image

from bot.chat import message_files
from bot.chat.attachments import Uploads, check_source
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
    server.released.set()
    await asyncio.gather(*reading, return_exceptions=True)
    assert (await uploads.fetch(0, shown(server.url))).width == 20
