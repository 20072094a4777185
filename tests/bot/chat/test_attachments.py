import asyncio
import io
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from PIL import Image

from bot.chat.attachments import Uploads, check_source
from bot.refusals import Refusal
from bot.settings import DiscordSettings, LimitSettings, Settings

GOOD = "https://cdn.discordapp.com/attachments/1/2/a.png?ex=1&is=2&hm=3"


def png(size: tuple[int, int] = (20, 10)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "green").save(buffer, "PNG")
    return buffer.getvalue()


def sent(content: bytes = b"", url: str = GOOD, size: int | None = None, error: Exception | None = None) -> Any:
    """Make what discord.py hands over for an upload, as far as it is looked at."""

    async def read() -> bytes:
        if error is not None:
            raise error
        return content

    return SimpleNamespace(url=url, size=len(content) if size is None else size, read=read)


@pytest.fixture
def settings() -> Settings:
    return Settings(limits=LimitSettings(upload_bytes=4096))


async def test_a_picture_comes_back_as_a_png_with_its_size(settings):
    upload = await Uploads(settings).fetch(1, sent(png()))
    assert (upload.width, upload.height) == (20, 10)
    with Image.open(io.BytesIO(upload.png)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (20, 10))


async def test_a_mask_comes_back_as_grey(settings):
    upload = await Uploads(settings).fetch(1, sent(png()), "mask")
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
        check_source(sent(url=url), settings)


def test_a_configured_base_hands_out_its_own_files_and_no_other_port_does():
    settings = Settings(discord=DiscordSettings(api_base="http://127.0.0.1:8123/api/v10"))
    check_source(sent(url="http://127.0.0.1:8123/cdn/a.png"), settings)
    for url in ("http://127.0.0.1:8080/metrics", "https://127.0.0.1:8123/cdn/a.png", "http://127.0.0.1/a.png"):
        with pytest.raises(Refusal, match="uploaded to Discord"):
            check_source(sent(url=url), settings)


async def test_a_large_file_is_refused_before_it_is_read(settings):
    with pytest.raises(Refusal, match="too large"):
        await Uploads(settings).fetch(1, sent(size=4097, error=AssertionError("read")))


async def test_a_file_larger_than_it_said_is_refused_after(settings):
    with pytest.raises(Refusal, match="too large"):
        await Uploads(settings).fetch(1, sent(b"x" * 5000, size=10))


async def test_a_file_that_is_gone_is_one_sentence(settings):
    answer: Any = SimpleNamespace(status=404, reason="gone")
    with pytest.raises(Refusal, match="send it again"):
        await Uploads(settings).fetch(1, sent(error=discord.NotFound(answer, "gone")))


async def test_what_is_no_picture_is_one_sentence(settings):
    with pytest.raises(Refusal, match="no picture that can be read"):
        await Uploads(settings).fetch(1, sent(b"<html>"))


async def test_one_file_of_each_person_at_a_time_and_few_in_all(settings):
    uploads, release = Uploads(settings), asyncio.Event()

    class Slow:
        url, size = "https://cdn.discordapp.com/a.png", 10

        async def read(self):
            await release.wait()
            raise ConnectionError

    reading = [asyncio.create_task(uploads.fetch(user, Slow())) for user in range(8)]  # pyright: ignore[reportArgumentType]
    await asyncio.sleep(0)
    with pytest.raises(Refusal, match="sent before is still being read"):
        await uploads.fetch(0, sent(png()))
    with pytest.raises(Refusal, match="Many pictures are being read"):
        await uploads.fetch(99, sent(png()))
    release.set()
    await asyncio.gather(*reading, return_exceptions=True)
    assert (await uploads.fetch(0, sent(png()))).width == 20
