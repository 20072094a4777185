"""Uploaded files: their bytes in a folder, their type and size in pixels, and signed addresses that expire."""

import hashlib
import hmac
import io
import mimetypes
import re
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from local_discord.errors import invalid
from local_discord.ids import Json, snowflake

_SPOILER = 1 << 3
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_HALF_DAY = 43_200
_TYPES = {".webp": "image/webp", ".mp4": "video/mp4", ".webm": "video/webm", ".apng": "image/apng"}
"""Types that not every system's list of types has."""


@dataclass(eq=False)
class Attachment:
    """One uploaded file."""

    filename: str
    path: str
    """Where it lies below the folder and behind the address: attachments/channel/id/name."""
    id: int
    size: int
    files: "Files" = field(repr=False)
    description: str | None = None
    spoiler: bool = False
    size_in_pixels: tuple[int, int] | None = None
    """Width and height of a picture."""

    @property
    def content(self) -> bytes:
        """Its bytes."""
        return self.files.read(self.path)

    @property
    def content_type(self) -> str | None:
        """Its type, by its name; None where Discord names none."""
        return content_type(self.filename)

    @property
    def url(self) -> str:
        """Its signed address, good for a day."""
        return self.files.address(self.path, "cdn")

    @property
    def proxy_url(self) -> str:
        """The address of the proxy that would resize it."""
        return self.files.address(self.path, "media")

    def json(self) -> Json:
        """Return the API's attachment object."""
        data: Json = {
            "id": str(self.id),
            "filename": self.filename,
            "size": self.size,
            "url": self.url,
            "proxy_url": self.proxy_url,
            "flags": _SPOILER if self.spoiler else 0,
        }
        if self.description is not None:
            data["description"] = self.description
        if self.content_type is not None:
            data["content_type"] = self.content_type
        if self.size_in_pixels is not None:
            data["width"], data["height"] = self.size_in_pixels
        return data


class Files:
    """The folder with everything that was uploaded."""

    def __init__(self, folder: Path, key: str | None = None) -> None:
        self._folder = folder
        self._key = (key or secrets.token_hex(16)).encode()
        self.base = ""
        """What addresses begin with, such as http://127.0.0.1:8765."""

    def store(
        self,
        channel_id: int,
        filename: str,
        content: bytes,
        description: str | None = None,
        *,
        spoiler: bool = False,
    ) -> Attachment:
        """Keep a file. Its name loses what is not of [A-Za-z0-9._-], as at Discord."""
        if description is not None and len(description) > 1024:
            raise invalid("a description has at most 1024 characters")
        number, filename = snowflake(), _UNSAFE.sub("_", filename)[-200:] or "unknown"
        path = f"attachments/{channel_id}/{number}/{filename}"
        place = self._folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        spoiler = spoiler or filename.startswith("SPOILER_")
        return Attachment(filename, path, number, len(content), self, description, spoiler, _size_in_pixels(content))

    def read(self, path: str) -> bytes:
        """Return the bytes of a file; raise OSError."""
        return self.place(path).read_bytes()

    def place(self, path: str) -> Path:
        """Return where a file lies."""
        return self._folder / path

    def remove(self, path: str) -> None:
        """Delete a file, if it is there."""
        place = self._folder / path
        place.unlink(missing_ok=True)
        for folder in (place.parent, place.parent.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def stored(self) -> list[str]:
        """List the paths of all files."""
        return [str(path.relative_to(self._folder)) for path in self._folder.glob("attachments/*/*/*")]

    def address(self, path: str, server: str) -> str:
        """Return a file's address, good for a day (developers/reference, "Signed Attachment CDN URLs")."""
        issued = int(time.time()) // _HALF_DAY * _HALF_DAY
        expires = issued + 2 * _HALF_DAY
        return f"{self.base}/{server}/{path}?ex={expires:x}&is={issued:x}&hm={self._signature(path, f'{expires:x}')}"

    def admits(self, path: str, expires: str, signature: str) -> bool:
        """Return whether an address is signed and has not expired."""
        if not re.fullmatch(r"[0-9a-f]{1,12}", expires) or int(expires, 16) < time.time():
            return False
        return hmac.compare_digest(signature.encode(), self._signature(path, expires).encode())

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}?{expires}".encode(), hashlib.sha256).hexdigest()


def content_type(filename: str) -> str | None:
    """Return a file's type, by its name."""
    return _TYPES.get(Path(filename).suffix.lower()) or mimetypes.guess_type(filename)[0]


def _size_in_pixels(content: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
