"""Uploads: from Discord's own hosts only, size checked before reading, decoded in a child process with limits."""

import asyncio
import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import discord
from PIL import Image

from bot.refusals import Refusal
from bot.settings import Settings

Purpose = Literal["picture", "mask"]
_ROOT = Path(__file__).resolve().parents[2]
_DECODING_SECONDS = 20.0
_DECODERS = ThreadPoolExecutor(2, "decoding")
"""Each child may take gigabytes, so however many people upload, two are decoded at a time."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture that was sent, checked: `png` holds its pixels and nothing else of what came."""

    png: bytes
    width: int
    height: int


async def fetch(attachment: discord.Attachment, settings: Settings, purpose: Purpose = "picture") -> Upload:
    """Download and check an attachment; raise `Refusal` with one sentence."""
    check_source(attachment, settings)
    try:
        content = await attachment.read()
    except discord.HTTPException:
        raise Refusal("Discord did not hand out that file; send it again.") from None
    if len(content) > settings.limits.upload_bytes:
        raise _too_large(settings)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_DECODERS, decode, content, purpose, settings.limits.upload_bytes)


def attachment_to_json(attachment: discord.Attachment) -> bytes:
    """Write down where an attachment lies, to fetch it later, perhaps in another process."""
    return json.dumps(attachment.to_dict(), sort_keys=True).encode()


def attachment_from_json(note: bytes, client: discord.Client) -> discord.Attachment:
    """Return the attachment that `attachment_to_json` wrote down."""
    return discord.Attachment(data=json.loads(note), state=client._connection)


def check_source(attachment: discord.Attachment, settings: Settings) -> None:
    """Refuse what need not be downloaded to be refused: foreign hosts and large files."""
    address, base = urlsplit(attachment.url), urlsplit(settings.discord.api_base)
    of_the_base = (address.scheme, address.netloc) == (base.scheme, base.netloc)
    if not of_the_base and (address.scheme != "https" or address.hostname not in settings.discord.cdn_hosts):
        raise Refusal("Only files uploaded to Discord itself can be used; attach the picture to your message.")
    if attachment.size > settings.limits.upload_bytes:
        raise _too_large(settings)


def decode(content: bytes, purpose: Purpose, file_bytes: int) -> Upload:
    """Decode a stranger's file in a child process; raise `Refusal`. Blocks: not for the loop."""
    command = [sys.executable, "-m", "bot.chat.decoding", purpose, str(file_bytes)]
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
    if done.returncode == 0:
        with Image.open(io.BytesIO(done.stdout), formats=["PNG"]) as image:
            return Upload(done.stdout, *image.size)
    if done.returncode == 3:
        raise Refusal(done.stderr.decode("utf-8", "replace").strip())
    raise Refusal("That picture cannot be read; save it anew as a PNG.")


def _too_large(settings: Settings) -> Refusal:
    return Refusal(f"That file is too large: at most {settings.limits.upload_bytes / 2**20:g} MiB are taken.")
