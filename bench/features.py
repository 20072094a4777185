"""A sheet of what can be asked for beside words: tiles, looks, blends, places, larger canvases, films."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from engine.devices import pick_device
from engine.models import ModelStore
from engine.motion import is_frame
from engine.painting import Painting
from engine.pictures import laid_out
from engine.presets import spec_from_preset
from engine.prompts import Prompt, parse_prompts
from engine.spec import Extend, Looks, Motion, PaintingSpec

SIDE, GAP, LABEL = 192, 2, 14
WEIGHTS = 3.0
"""Of looks: several times the usual."""
AROUND = Extend(left=0.25, up=0.25, right=0.25, down=0.25)
FAR = Extend(left=0.5, up=0.5, right=0.5, down=0.5)
BESIDE = Extend(right=0.5)
STRENGTH = 0.8
STORY = "a seed @0 | a tree @1"


class Sheet:
    """Paint the rows of the sheet with the pair that ships, and keep what other rows begin from in a folder."""

    def __init__(self, folder: Path, preset: str) -> None:
        self._folder, self._preset = folder, preset
        self._models = ModelStore(folder, pick_device())

    def rows(self) -> Iterator[tuple[str, list[Image.Image]]]:
        """Yield what each row is and its pictures."""
        yield "--tile, shown 2 × 2; the last from noise", self._tiles()
        yield "--palette #20304f,#e03020,#f4e8d0; --edges white; --saturation 3; --saturation -3", self._looks()
        yield "an apple and a fish, blended; and with the words 'a fish'", self._blends()
        yield (
            "the fish zoomed out × 1.5 and × 2; a cat at night zoomed out; a lion panned to the right",
            self._canvases(),
        )
        yield (
            "a beach --inside a red apple --outside the sea --mask left, twice; two edits with words inside",
            self._places(),
        )
        yield f"animate {STORY}: zoom 1.2, turn 10; a frame a second", self._film()

    def _paint(self, words: str, name: str = "", **changes: Any) -> Image.Image:
        return self._painted(self._spec(words, **changes), name)

    def _painted(
        self, spec: PaintingSpec, name: str = "", see: Callable[[int, Image.Image], None] | None = None
    ) -> Image.Image:
        painting = Painting(spec, self._models)
        for iterate in painting:
            if see is not None and spec.motion is not None and is_frame(spec.motion, iterate.step):
                see(iterate.step, iterate.picture())
        picture = painting.picture()
        if name:
            picture.save(self._path(name))
        return picture

    def _spec(self, words: str, **changes: Any) -> PaintingSpec:
        prompts = parse_prompts(words, timed="motion" in changes) if words else ()
        prompts += changes.pop("towards", ())
        size = {"width": 128, "height": 128, "seed": 1}
        return spec_from_preset(prompts, self._preset, **{**size, **changes})

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.png"

    def _tiles(self) -> list[Image.Image]:
        words = ("a red apple on green", "a blue fish", "a yellow star on dark blue")
        tiles = [self._paint(one, tile=True) for one in words]
        return [laid_out(one) for one in (*tiles, self._paint(words[-1], tile=True, start="noise"))]

    def _looks(self) -> list[Image.Image]:
        palette = Looks(palette=("#20304f", "#e03020", "#f4e8d0"))
        looks = (palette, Looks(edges="#ffffff"), Looks(saturation=WEIGHTS), Looks(saturation=-WEIGHTS))
        return [self._paint("a house", looks=one) for one in looks]

    def _blends(self) -> list[Image.Image]:
        singles = [self._paint("a red apple", "apple"), self._paint("a blue fish on green", "fish")]
        towards = tuple(Prompt(kind="image", content=str(self._path(name))) for name in ("apple", "fish"))
        blends = [self._paint(words, towards=towards, start="best-of") for words in ("", "a fish")]
        return [*singles, *blends]

    def _canvases(self) -> list[Image.Image]:
        self._paint("a cat at night", "cat", seed=2)
        self._paint("a lion on blue checks", "lion", seed=3)
        asked = (("a blue fish on green", "fish", AROUND), ("a blue fish on green", "fish", FAR))
        asked += (("a cat at night", "cat", AROUND), ("a lion on blue checks", "lion", BESIDE))
        return [self._extended(*one) for one in asked]

    def _extended(self, words: str, name: str, extend: Extend) -> Image.Image:
        width = round(128 * (1 + extend.left + extend.right))
        height = round(128 * (1 + extend.up + extend.down))
        size = {"width": width, "height": height, "start": "noise", "coarse": 0.0, "strength": STRENGTH}
        return self._paint(words, init_image=str(self._path(name)), extend=extend, **size)

    def _places(self) -> list[Image.Image]:
        beach = "a beach --inside a red apple --outside the sea"
        starts = [self._paint(beach, mask_text="left", start=start) for start in ("best-of", "prior")]
        edit = {"init_image": str(self._path("apple")), "mask_text": "left", "strength": 0.7}
        edits = [self._paint(words, **edit) for words in ("a blue apple", "an apple --inside a blue apple")]
        return [*starts, *edits]

    def _film(self) -> list[Image.Image]:
        frames: list[Image.Image] = []
        begin = spec_from_preset((Prompt(content="a seed"),), self._preset).steps
        motion = Motion(seconds=4, fps=8, begin=begin, zoom=1.2, turn=10)
        as_films = {"learning_rate_schedule": "constant", "coarse": 0.0}
        spec = self._spec(STORY, motion=motion, steps=motion.steps, **as_films)
        self._painted(spec, see=lambda _, one: frames.append(one))
        return frames[7::8]


def features(folder: Path, preset: str = "normal") -> Image.Image:
    """Paint everything and put it on one sheet; `folder` keeps what is begun from."""
    sheet = Image.new("RGB", (4 * (SIDE + GAP) - GAP, 0), "white")
    for label, pictures in Sheet(folder, preset).rows():
        top = sheet.height
        taller = Image.new("RGB", (sheet.width, top + LABEL + SIDE + GAP), "white")
        taller.paste(sheet)
        sheet = taller
        ImageDraw.Draw(sheet).text((2, top + 1), label.replace("×", "x"), "black")
        for index, picture in enumerate(pictures):
            sheet.paste(_fitted(picture), (index * (SIDE + GAP), top + LABEL))
    return sheet


def _fitted(picture: Image.Image) -> Image.Image:
    """Scale a picture into a square cell, on white."""
    scale = SIDE / max(picture.size)
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (SIDE, SIDE), "white")
    cell.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    return cell
