"""Colour the shapes of a set that has none: things that no emoji shows (`shapes.txt`).

A shape's lit parts take the colour, from lighter above to darker below; its outline and the gaps inside it are dark,
as in a cartoon.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.clipart import Named
from training.scenes import COLOURS

SHAPES = Path(__file__).with_name("shapes.txt")
SIDE = 256
OUTLINE = 5  # pixels at that size; odd, as the filters want it
GAP = 13  # narrower gaps at a shape's rim belong to its inside
DARK = 0.28  # of the colour's brightness


@dataclass(frozen=True)
class Shape:
    """One thing: what we call it, which pictures of the set show it, and the colour it gets."""

    names: tuple[str, ...]
    pictures: tuple[str, ...]
    colour: str

    @property
    def label(self) -> str:
        """Return the first of its names."""
        return self.names[0]


def read_shapes() -> list[Shape]:
    """Read our list of shapes."""
    lines = (line for line in SHAPES.read_text().splitlines() if line and not line.startswith("#"))
    shapes = []
    for line in lines:
        names, pictures, colour = (part.strip() for part in line.split(":"))
        shapes.append(Shape(tuple(name.strip() for name in names.split(",")), tuple(pictures.split()), colour))
    return shapes


class ShapeSet:
    """The pictures of `shapes.txt`, from one Iconify set."""

    def __init__(self, icons: Mapping[str, Any]) -> None:
        self.icons = icons
        self.shapes = {shape.label: shape for shape in read_shapes()}

    def pictures(self, concept: Named) -> Iterator[Image.Image]:
        """Yield the pictures of a thing."""
        shape = self.shapes.get(concept.label)
        for name in shape.pictures if shape else ():
            yield coloured(self._shape(self.icons["icons"][name]), COLOURS[shape.colour])  # pyright: ignore[reportOptionalMemberAccess]

    def _shape(self, icon: Mapping[str, Any]) -> Image.Image:
        """Return a shape as a mask with room around it for the outline."""
        import resvg_py  # only the data build needs it

        side = icon.get("height", self.icons.get("height", 512))
        room = side // 20
        box = f"{-room} {-room} {side + 2 * room} {side + 2 * room}"
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{icon["body"]}</svg>'
        png = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE, dpi=96)
        with Image.open(io.BytesIO(bytes(png))) as picture:
            return picture.convert("RGBA").getchannel("A")


def coloured(shape: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Colour a shape: its lit parts with the colour, its outline and gaps dark."""
    hull = np.asarray(_filled(shape).filter(ImageFilter.MaxFilter(OUTLINE)).filter(ImageFilter.GaussianBlur(0.8)))
    lit = np.asarray(shape, np.float32)[..., None] / 255
    height = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    base = np.array(colour, np.float32).clip(45, 245)
    light = base + (255 - base) * 0.28 * (1 - height) - base * 0.18 * height
    inside = lit * light + (1 - lit) * DARK * base
    return Image.fromarray(np.concatenate([inside.round().astype(np.uint8), hull[..., None]], -1), "RGBA")


def _filled(shape: Image.Image) -> Image.Image:
    """Return a shape with the gaps inside it filled."""
    closed = shape.point([0] * 96 + [255] * 160).filter(ImageFilter.MaxFilter(GAP))
    framed = Image.new("L", (SIDE + 2, SIDE + 2))
    framed.paste(closed, (1, 1))
    ImageDraw.floodfill(framed, (0, 0), 128)
    inside = framed.crop((1, 1, SIDE + 1, SIDE + 1)).point([255] * 128 + [0] + [255] * 127)
    return inside.filter(ImageFilter.MinFilter(GAP))
