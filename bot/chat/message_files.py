"""The files that a message shows, wherever Discord puts them, and how they are read.

A file that components or an embed show is not in the message's `attachments`
(https://docs.discord.com/developers/resources/message: "any attached files that are not referenced in embeds or
components"); a forwarded message has its files in `message_snapshots`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import discord

from bot.chat.retry import retried

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_READ_TRIES, _READ_SECONDS = 3, 60.0
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class ShownFile:
    """One file of a message: an attachment, or a media item of its components or embeds."""

    name: str
    url: str
    size: int | None
    """Bytes, where Discord says so."""
    content_type: str | None
    spoiler: bool

    @property
    def is_picture(self) -> bool:
        """Return whether it is a picture: by its type, or by its name where Discord names no type."""
        if self.content_type is not None:
            return self.content_type.startswith("image/")
        return self.name.lower().endswith(_PICTURES)

    def to_note(self) -> dict[str, Any]:
        """Write down where it lies, to read it later, perhaps in another process."""
        return {"file": asdict(self)}

    @classmethod
    def from_note(cls, note: Mapping[str, Any]) -> "ShownFile":
        """Return what `to_note` wrote down."""
        return cls(**note["file"])


class UnreadableFileError(Exception):
    """Discord does not hand a file out."""


class TooLargeFileError(UnreadableFileError):
    """A file is larger than it may be."""


async def read(file: ShownFile, most_bytes: int) -> bytes:
    """Download a file of at most `most_bytes`; a broken connection is tried again. Raise `UnreadableFileError`."""
    try:
        return await retried(lambda: _read(file.url, most_bytes), tries=_READ_TRIES)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise UnreadableFileError(f"{type(error).__name__}: {error}") from error


async def _read(url: str, most_bytes: int) -> bytes:
    timeout = aiohttp.ClientTimeout(total=_READ_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, allow_redirects=False) as response:
        if response.status >= 500:
            response.raise_for_status()  # it may be there in a moment
        if response.status != 200:
            raise UnreadableFileError(f"status {response.status}")
        content = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            content += chunk
            if len(content) > most_bytes:
                raise TooLargeFileError(f"more than {most_bytes} bytes")
        return bytes(content)


def files_of(message: discord.Message) -> Iterator[ShownFile]:
    """Yield a message's files: attachments, media of components and embeds, then those of what it forwards."""
    for part in (message, *message.message_snapshots):
        yield from (of_attachment(attachment) for attachment in part.attachments)
        yield from _of_components(part.components)
        yield from _of_embeds(part.embeds)


def of_attachment(attachment: discord.Attachment) -> ShownFile:
    """Describe an attachment."""
    return ShownFile(
        attachment.filename, attachment.url, attachment.size, attachment.content_type, attachment.is_spoiler()
    )


def of_upload(data: Mapping[str, Any]) -> ShownFile:
    """Describe a file of a form, from what an interaction says of it."""
    name = data["filename"]
    return ShownFile(name, data["url"], data["size"], data.get("content_type"), name.startswith("SPOILER_"))


def _of_components(components: Iterable[Any]) -> Iterator[ShownFile]:
    for component in components:
        if isinstance(component, discord.MediaGalleryComponent):
            yield from (_of_media(item.media, spoiler=item.spoiler) for item in component.items)
        elif isinstance(component, discord.ThumbnailComponent | discord.FileComponent):
            yield _of_media(component.media, spoiler=component.spoiler)
        elif isinstance(component, discord.SectionComponent):
            yield from _of_components([component.accessory])
        elif isinstance(component, discord.Container):
            hidden = component.spoiler
            for file in _of_components(component.children):
                yield ShownFile(file.name, file.url, file.size, file.content_type, file.spoiler or hidden)


def _of_media(media: discord.UnfurledMediaItem, *, spoiler: bool) -> ShownFile:
    name = _name(media.url)
    return ShownFile(name, media.url, None, media.content_type, spoiler or name.startswith("SPOILER_"))


def _of_embeds(embeds: Sequence[discord.Embed]) -> Iterator[ShownFile]:
    for embed in embeds:
        for media in (embed.image, embed.thumbnail):
            if media.url is not None:
                yield ShownFile(_name(media.url), media.url, None, None, _name(media.url).startswith("SPOILER_"))


def _name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])
