"""Attachments: from Discord's own hosts only, size checked before reading, decoded in a child process with limits."""

import asyncio
import contextlib
import functools
import io
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import discord
from PIL import Image

from bot.chat import decoding
from bot.chat.message_files import ShownFile, TooLargeFileError, UnreadableFileError, files_of, read
from bot.refusals import Refusal
from bot.settings import Settings

log = logging.getLogger(__name__)

Purpose = Literal["picture", "mask"]
_ROOT = Path(__file__).resolve().parents[2]
_DECODING_SECONDS = 20.0
_DECODERS = ThreadPoolExecutor(2, "decoding")
"""Each child may take gigabytes, so however many people upload, two are decoded at a time."""
_MOST_AT_ONCE = 8
"""People whose files are read or wait for it. Each holds a whole file in memory."""
_SMALLEST_SIDE = 32
_LONGEST_SENTENCE = 300


@dataclass(frozen=True, slots=True)
class Upload:
    """A decoded attachment: `png` holds its pixels and no other content of the file."""

    png: bytes
    width: int
    height: int


class Uploads:
    """Fetch and decode what people attach: one file of each person at a time, and few waiting in all."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._people: set[int] = set()

    async def fetch(self, user_id: int, file: ShownFile, purpose: Purpose = "picture") -> Upload:
        """Download and check a file; raise `Refusal` with one sentence."""
        check_source(file, self._settings)
        if user_id in self._people:
            raise Refusal("The picture that you sent before is still being read; send this one when it is done.")
        if len(self._people) >= _MOST_AT_ONCE:
            raise Refusal("Many pictures are being read right now; send yours again in a minute.")
        self._people.add(user_id)
        try:
            return await self._fetch(file, purpose)
        finally:
            self._people.discard(user_id)

    async def _fetch(self, file: ShownFile, purpose: Purpose) -> Upload:
        limits = self._settings.limits
        try:
            content = await read(file, limits.upload_bytes)
        except TooLargeFileError:
            raise _too_large(self._settings) from None
        except UnreadableFileError as error:
            log.info("An upload could not be read (%s)", error)
            raise Refusal("Discord did not hand out that file; send it again.") from None
        work = functools.partial(decode, content, purpose, limits.upload_bytes, limits.largest_side)
        return await asyncio.get_running_loop().run_in_executor(_DECODERS, work)


def check_source(file: ShownFile, settings: Settings) -> None:
    """Raise `Refusal` for files of other hosts and for large ones, before anything is downloaded."""
    address, base = urlsplit(file.url), urlsplit(settings.discord.api_base)
    of_the_base = (address.scheme, address.netloc) == (base.scheme, base.netloc)
    if not of_the_base and (address.scheme != "https" or address.hostname not in settings.discord.cdn_hosts):
        raise Refusal("Only files uploaded to Discord itself can be used; attach the picture to your message.")
    if (file.size or 0) > settings.limits.upload_bytes:
        raise _too_large(settings)


def picture_in(message: discord.Message, settings: Settings) -> ShownFile:
    """Return the first picture of a message that may be taken; raise `Refusal`."""
    pictures = [file for file in files_of(message) if file.is_picture]
    if not pictures:
        raise Refusal("That message has no picture; pick one that has.")
    for picture in pictures[:-1]:
        with contextlib.suppress(Refusal):
            check_source(picture, settings)
            return picture
    check_source(pictures[-1], settings)
    return pictures[-1]


def decode(content: bytes, purpose: Purpose, file_bytes: int, longest_side: int) -> Upload:
    """Decode a stranger's file in a child process; raise `Refusal`. Blocks: not for the loop.

    What comes back is at most `longest_side` pixels wide and high, and at most `file_bytes` long.
    """
    command = [sys.executable, "-m", "bot.chat.decoding", purpose, str(file_bytes), str(longest_side)]
    try:
        done = subprocess.run(  # noqa: S603, our own interpreter and words of ours
            command,
            input=content,
            capture_output=True,
            timeout=_DECODING_SECONDS,
            cwd=_ROOT,
            env={"OMP_NUM_THREADS": "1"},  # and with it nothing of ours, least of all the token
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Refusal("That picture takes too long to read; save it anew as a PNG.") from None
    if done.returncode == 0 and (upload := from_pixels(done.stdout, file_bytes)) is not None:
        return upload
    if done.returncode == decoding.REFUSED:
        raise Refusal(done.stderr.decode("utf-8", "replace").strip()[:_LONGEST_SENTENCE])
    if done.returncode == decoding.NOT_CONFINED:
        log.error("Nothing confines the process that decodes uploads here, so none is read: see deploy/README.md")
        raise Refusal("Pictures that people send cannot be read safely on this machine; ask the bot's owner.")
    raise Refusal("That picture cannot be read; save it anew as a PNG.")


def from_pixels(written: bytes, file_bytes: int) -> Upload | None:
    """Make an upload of what the decoding child wrote, smaller if it would be too long; None for anything else."""
    header, pixels = written[: decoding.HEADER.size], written[decoding.HEADER.size :]
    if len(header) < decoding.HEADER.size:
        return None
    name, width, height = decoding.HEADER.unpack(header)
    mode = name.rstrip(b"\0").decode("ascii", "replace")
    if len(pixels) != width * height * {"L": 1, "RGB": 3}.get(mode, 0) or not pixels:
        return None
    image = Image.frombytes(mode, (width, height), pixels)
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        if buffer.tell() <= file_bytes or max(image.size) <= _SMALLEST_SIDE:
            return Upload(buffer.getvalue(), *image.size)
        image.thumbnail((image.width * 2 // 3, image.height * 2 // 3))


def _too_large(settings: Settings) -> Refusal:
    return Refusal(f"That file is too large: at most {settings.limits.upload_bytes / 2**20:g} MiB are taken.")
