"""Pictures and films made to fit what a channel takes, and what people can see there."""

import io
from pathlib import Path

from PIL import Image

from bot.available_models import EMBEDDED
from engine.models import shipped_upscaler
from engine.pictures import BadPictureError, encode_png, encode_within, enlarged, spec_of

_SMALLEST_SIDE = 16


def fit(path: Path, limit: int, enlarge_to: int = 0) -> tuple[str, bytes]:
    """Return suffix and bytes of what is posted of the file at `path`.

    A picture whose longer side is below `enlarge_to` pixels comes enlarged if that fits `limit` bytes, by the shipped
    network where the shipped pair painted it; else the file as it is when it fits; else encoded until it does. Raise
    `BadPictureError` where nothing fits and `OSError` for a file that cannot be read.
    """
    content = path.read_bytes()
    if path.suffix in (".mp4", ".gif"):
        if len(content) > limit:
            raise BadPictureError(f"The film has {len(content)} bytes, and {limit} are allowed.")
        return path.suffix, content
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if max(picture.size) < enlarge_to:
        spec = spec_of(path)
        shipped = spec.generator == EMBEDDED
        larger = shipped_upscaler().enlarged(picture, enlarge_to) if shipped else enlarged(picture, enlarge_to)
        by = "super-resolution" if shipped else "Lanczos"
        png = encode_png(larger, spec, f"Enlarged from {picture.width} x {picture.height} pixels ({by})")
        if len(png) <= limit:
            return path.suffix, png
    if len(content) <= limit:
        return path.suffix, content
    encoded, extension = encode_within(picture, limit)
    return f".{extension}", encoded


def within(jpeg: bytes, limit: int) -> bytes:
    """Return a preview in at most `limit` bytes: as it is where it fits, else as a smaller JPEG, 16 pixels at least."""
    while len(jpeg) > limit:
        with Image.open(io.BytesIO(jpeg)) as opened:
            picture = opened.convert("RGB")
        if max(picture.size) <= _SMALLEST_SIDE:
            return jpeg
        picture.thumbnail((max(1, picture.width * 2 // 3), max(1, picture.height * 2 // 3)))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=80)
        jpeg = buffer.getvalue()
    return jpeg
