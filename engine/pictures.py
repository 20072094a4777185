"""Pictures from strangers, read safely; pictures of ours, written whole and carrying their spec."""

import io
import os
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from engine.prompts import format_prompts
from engine.spec import BadSpecError, PaintingSpec

SPEC_KEY = "vqgan-clip-spec"
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS, _PROFILE = (b"tEXt", b"zTXt", b"iTXt"), b"iCCP"
"""Chunks of a PNG that decide no pixel; Pillow refuses a picture whose texts unpack to more than a mebibyte."""
_ADDRESS = re.compile(r"(?:^|/)(?:https?|ftp|data|file):/", re.IGNORECASE)
# What Pillow warns of, large pictures and damaged EXIF, is measured and answered here.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadPictureError(ValueError):
    """A picture that cannot be used; its text is one sentence for the person who sent it."""


@dataclass(frozen=True)
class PictureLimits:
    """Say what is refused before it is decoded."""

    file_bytes: int = 25 * 2**20
    pixels: int = 64 * 10**6
    """Width times height: decoded, four bytes each."""
    smallest_side: int = 8
    ratio: float = 20.0
    """Longer side over shorter side."""
    scans: int = 100
    """Passes over a progressive JPEG, which each take as long as a picture; programs write about ten."""
    scanned_pixels: int = 768 * 10**6
    """Pixels times passes."""


def read_picture(source: Path | bytes, limits: PictureLimits = PictureLimits()) -> Image.Image:
    """Read a PNG, JPEG, WebP or GIF as plain upright RGB; raise `BadPictureError` with one sentence.

    The content decides the format, not the name. Of an animation the first frame is read, transparency shows white, and
    colour profiles are ignored. Nothing of the file but its pixels is kept.
    """
    return _plain(_decoded(source, limits), "RGB")


def read_mask(source: Path | bytes, limits: PictureLimits = PictureLimits()) -> Image.Image:
    """Read a mask as 8-bit grey, white where the picture may change; raise `BadPictureError` with one sentence.

    On transparency, what is drawn in white may change, and what is drawn in black may not: what is transparent is the
    other. Of a mask that lets nothing change the sentence says so.
    """
    image = _decoded(source, limits)
    mask = _plain(image, "L", behind=_other_than_drawn(image))
    if mask.getextrema()[1] == 0:
        raise BadPictureError("The mask is black everywhere: paint white what may change.")
    return mask


def _other_than_drawn(image: Image.Image) -> str:
    """Return the colour, white or black, that lies farther from what is drawn on transparency."""
    if not image.has_transparency_data:
        return "white"
    grey, alpha = (np.asarray(image.convert("RGBA").convert(mode)) for mode in ("L", "RGBA"))
    opaque = alpha[..., 3].astype(np.float32)
    brightness = float((grey * opaque).sum() / max(1.0, opaque.sum()))
    return "black" if brightness > 127.5 else "white"


def save_png(image: Image.Image, path: Path, spec: PaintingSpec) -> None:
    """Write a PNG that carries its spec; the file appears whole or not at all, in folders made as needed.

    Files that the spec names are named in it relative to the PNG where they lie beside or below it, else by their bare
    names: pictures are shared, and nobody's folders with them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        image.save(file, "PNG", pnginfo=_texts(_named_from(spec, path.parent)))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def spec_of(path: Path) -> PaintingSpec:
    """Return the spec that a PNG of ours carries; raise `BadPictureError` where there is none to be read.

    Files that lie where the spec says, seen from the PNG, are named by their whole paths.
    """
    ours = _without_chunks(_bytes_of(path, PictureLimits().file_bytes), lambda name, data: not _is_spec(name, data))
    text = _opened(ours).info.get(SPEC_KEY)
    if not isinstance(text, str):
        raise BadPictureError(
            f"{path} carries no painting: only PNGs saved by this program do, unless re-encoded since."
        )
    try:
        spec = PaintingSpec.from_json(text)
    except BadSpecError as error:
        raise BadPictureError(f"{path} carries a painting that this version cannot read: {error}") from None
    folder = path.parent.resolve()
    return _with_files(spec, lambda name: str(folder / name) if (folder / name).is_file() else name)


def painted_size(path: Path) -> tuple[int, int]:
    """Return a picture's width and height: as it was painted, where it is ours and only enlarged since.

    Raise `BadPictureError`.
    """
    width, height = read_picture(path).size
    try:
        spec = spec_of(path)
    except BadPictureError:
        return width, height
    enlarged_only = width > spec.width and width * spec.height == height * spec.width
    return (spec.width, spec.height) if enlarged_only else (width, height)


def _named_from(spec: PaintingSpec, folder: Path) -> PaintingSpec:
    base = folder.resolve()

    def name(file: str) -> str:
        path = Path(file).resolve()
        return str(path.relative_to(base)) if path.is_relative_to(base) else path.name

    return _with_files(spec, name)


def _with_files(spec: PaintingSpec, rename: Callable[[str], str]) -> PaintingSpec:
    """Return a spec whose files are called otherwise."""
    files = {
        name: rename(file)
        for name in ("init_image", "init_latent", "mask")
        if (file := getattr(spec, name)) is not None
    }
    prompts = tuple(
        prompt.model_copy(update={"content": rename(prompt.content)}) if prompt.kind == "image" else prompt
        for prompt in spec.prompts
    )
    return spec.model_copy(update={**files, "prompts": prompts})


def enlarged(image: Image.Image, side: int) -> Image.Image:
    """Enlarge by the least whole factor that makes the longer side at least `side` pixels; 0: never."""
    factor = -(-side // max(image.size))
    if factor <= 1:
        return image
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)


def palette_of(picture: Image.Image, count: int = 6) -> tuple[str, ...]:
    """Return the colours that a picture is mostly of, as #rrggbb, by median cut."""
    small = picture.convert("RGB").resize((64, 64), Image.Resampling.BOX)
    colours = small.quantize(count, Image.Quantize.MEDIANCUT).convert("RGB").getcolors() or []
    most: Any = sorted(colours, reverse=True)
    return tuple("#{:02x}{:02x}{:02x}".format(*colour) for _, colour in most)


def laid_out(picture: Image.Image, times: int = 2) -> Image.Image:
    """Lay a picture side by side, `times` in each direction."""
    sheet = Image.new("RGB", (picture.width * times, picture.height * times))
    for row in range(times):
        for column in range(times):
            sheet.paste(picture, (column * picture.width, row * picture.height))
    return sheet


def mosaic(pictures: Sequence[Image.Image]) -> Image.Image:
    """Put pictures of one size beside each other: two in a row, three or four in two rows; one stays as it is."""
    if len(pictures) == 1:
        return pictures[0]
    width, height = pictures[0].size
    sheet = Image.new("RGB", (2 * width, -(-len(pictures) // 2) * height))
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % 2 * width, index // 2 * height))
    return sheet


def encode_png(image: Image.Image, spec: PaintingSpec, remark: str = "") -> bytes:
    """Encode a PNG that carries its spec and a remark, if any, on what was done to the picture since."""
    texts = _texts(_with_files(spec, lambda file: Path(file).name))
    if remark:
        texts.add_itxt("Comment", remark)
    return _encoded(image, "PNG", pnginfo=texts)


def encode_within(image: Image.Image, limit_bytes: int, spec: PaintingSpec | None = None) -> tuple[bytes, str]:
    """Encode for an upload limit as PNG (with `spec`), WebP, JPEG or ever smaller; return bytes and extension."""
    bare = _with_files(spec, lambda file: Path(file).name) if spec else None
    png = _encoded(image, "PNG", pnginfo=_texts(bare) if bare else None)
    if len(png) <= limit_bytes:
        return png, "png"
    while True:
        for name, extension, quality in (("WEBP", "webp", 90), ("JPEG", "jpg", 90), ("JPEG", "jpg", 75)):
            data = _encoded(image, name, quality=quality)
            if len(data) <= limit_bytes:
                return data, extension
        if max(image.size) <= 32:
            raise BadPictureError(f"No picture fits in {limit_bytes} bytes.")
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)), Image.Resampling.LANCZOS)


def preview_jpeg(image: Image.Image, side: int) -> bytes:
    """Encode a small JPEG whose longer side is at most `side` pixels."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.BICUBIC)
    return _encoded(small, "JPEG", quality=80)


def _decoded(source: Path | bytes, limits: PictureLimits) -> Image.Image:
    """Check the header against the limits, then decode."""
    data = source if isinstance(source, bytes) else _bytes_of(source, limits.file_bytes)
    if len(data) > limits.file_bytes:
        raise _too_heavy(limits.file_bytes)
    image = _opened(_without_texts(data))
    _check_size(image.width, image.height, limits)
    if image.format == "JPEG":
        _check_scans(data.count(b"\xff\xda"), image.width * image.height, limits)
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except Exception as error:  # decoders fail in a dozen ways of their own
        raise BadPictureError("The picture is damaged or cut short; send it again or save it anew.") from error


def _without_texts(data: bytes) -> bytes:
    """Drop what a PNG says beside its pixels: node editors write megabytes of it, which Pillow takes for an attack."""
    return _without_chunks(data, lambda name, _: name in _TEXTS or name == _PROFILE)


def _is_spec(name: bytes, data: bytes) -> bool:
    return name not in _TEXTS or data.startswith(SPEC_KEY.encode() + b"\0")


def _without_chunks(data: bytes, unwanted: Callable[[bytes, bytes], bool]) -> bytes:
    """Copy a PNG without some of its chunks; anything else, and what is cut short, comes back as it is."""
    if not data.startswith(_PNG):
        return data
    kept = [whole for name, content, whole in _chunks(data) if not unwanted(name, content)]
    return _PNG + b"".join(kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield name, content and the whole of each chunk of a PNG, the last as far as it is there (PNG 1.2, section 3)."""
    at = len(_PNG)
    while at < len(data):
        length = struct.unpack(">I", data[at : at + 4].rjust(4, b"\0"))[0]
        end = at + 12 + length
        yield data[at + 4 : at + 8], data[at + 8 : end - 4], data[at:end]
        at = end


def _bytes_of(path: Path, limit: int) -> bytes:
    if _ADDRESS.search(str(path)):
        raise BadPictureError("Addresses are not fetched: save the picture, and name its file.")
    if not path.is_file():
        raise BadPictureError(f"There is no file {path}.")
    try:
        if path.stat().st_size > limit:
            raise _too_heavy(limit)
        return path.read_bytes()
    except OSError as error:
        raise BadPictureError(f"{path} cannot be read: {error.strerror or 'not a file'}.") from None


def _too_heavy(limit: int) -> BadPictureError:
    return BadPictureError(f"The picture's file is larger than {limit / 2**20:g} MiB; send a smaller one.")


def _opened(data: bytes) -> Image.Image:
    """Read the header only."""
    if not data:
        raise BadPictureError("The picture's file is empty.")
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.UnidentifiedImageError:
        raise BadPictureError("This is no picture that can be read; use a PNG, JPEG, WebP or GIF.") from None
    except Image.DecompressionBombError:
        raise BadPictureError("The picture has far too many pixels; send a smaller one.") from None
    except Exception as error:  # a hostile header fails in as many ways as a hostile body
        raise BadPictureError("The picture's file is damaged or holds more than a picture; save it anew.") from error


def _check_size(width: int, height: int, limits: PictureLimits) -> None:
    measured = f"The picture is {width}x{height} pixels"
    if width * height > limits.pixels:
        raise BadPictureError(f"{measured}; at most {limits.pixels / 1e6:g} million are read, so send a smaller one.")
    if min(width, height) < limits.smallest_side:
        raise BadPictureError(f"{measured}; each side needs at least {limits.smallest_side}.")
    if max(width, height) > limits.ratio * min(width, height):
        raise BadPictureError(f"{measured}; one side may be at most {limits.ratio:g} times the other.")


def _check_scans(scans: int, pixels: int, limits: PictureLimits) -> None:
    """Refuse a JPEG of few bytes that takes minutes; `scans` counts their markers, those of thumbnails too."""
    if scans > limits.scans or scans * pixels > limits.scanned_pixels:
        raise BadPictureError("That JPEG is built of far too many passes; save it anew as a PNG.")


def _plain(image: Image.Image, mode: str, behind: str = "white") -> Image.Image:
    """Convert any mode to 8-bit RGB or grey, transparency on one colour, without what else the file said."""
    if image.mode.startswith("I"):  # 16-bit grey, which `convert` would clip to white
        deep = np.asarray(image).astype(np.float32) / 257
        image = Image.fromarray(deep.round().clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, behind), image)
    plain = image.convert(mode)
    plain.info.clear()
    return plain


def _texts(spec: PaintingSpec) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Description", format_prompts(spec.prompts))
    texts.add_itxt("Software", "vqgan-clip-bot")
    texts.add_itxt(SPEC_KEY, spec.to_json())
    return texts


def _encoded(image: Image.Image, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()
