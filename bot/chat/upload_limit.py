"""Pictures and films made to fit what a channel takes, and what people can see there."""

from pathlib import Path

from PIL import Image

from engine.pictures import BadPictureError, encode_png, encode_within, enlarged, spec_of


def fit(path: Path, limit: int, enlarge_to: int = 0) -> tuple[str, bytes]:
    """Return suffix and bytes of what is posted of the file at `path`.

    A picture whose longer side is below `enlarge_to` pixels comes enlarged if that fits `limit` bytes; else the file as
    it is when it fits; else encoded until it does. Raise `BadPictureError` where nothing fits and `OSError` for a file
    that cannot be read.
    """
    content = path.read_bytes()
    if path.suffix == ".mp4":
        if len(content) > limit:
            raise BadPictureError(f"The film has {len(content)} bytes, and {limit} are allowed.")
        return path.suffix, content
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    larger = enlarged(picture, enlarge_to)
    if larger is not picture:
        remark = f"Enlarged from {picture.width} x {picture.height} pixels (Lanczos)"
        png = encode_png(larger, spec_of(path), remark)
        if len(png) <= limit:
            return path.suffix, png
    if len(content) <= limit:
        return path.suffix, content
    encoded, extension = encode_within(picture, limit)
    return f".{extension}", encoded
