"""Pictures to read and to write, and what is said of them."""

import io

from PIL import Image

from engine.prompts import parse_prompts
from engine.spec import PaintingSpec

RED, BLUE = (220, 20, 20), (20, 20, 220)


def spec(text: str = "ein Leuchtturm, größer::2 --no Nebel") -> PaintingSpec:
    return PaintingSpec(prompts=parse_prompts(text))


def left_red_right_blue(mode: str = "RGB", size: tuple[int, int] = (64, 32)) -> Image.Image:
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image.convert(mode)


def file_of(image: Image.Image, name: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def near(image: Image.Image, xy: tuple[int, int], colour: tuple[int, ...], tolerance: int = 12) -> bool:
    pixel = image.getpixel(xy)
    assert isinstance(pixel, tuple)
    return max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) <= tolerance
