"""Pictures and films made to fit what a channel takes."""

from pathlib import Path

from PIL import Image

from engine.pictures import BadPictureError, encode_within


def fit(path: Path, limit: int) -> tuple[str, bytes]:
    """Return suffix and bytes of the file at `path`: as it is when it fits `limit` bytes, else encoded until it does.

    Raise `BadPictureError` where nothing fits and `OSError` for a file that cannot be read.
    """
    content = path.read_bytes()
    if len(content) <= limit:
        return path.suffix, content
    if path.suffix == ".mp4":
        raise BadPictureError(f"The film has {len(content)} bytes, and {limit} are allowed.")
    with Image.open(path) as opened:
        encoded, extension = encode_within(opened.convert("RGB"), limit)
    return f".{extension}", encoded
