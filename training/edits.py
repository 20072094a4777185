"""The measure of edits: pictures with a known mask, what is asked of them, what was reached and what was kept.

The pictures are icons by vendors that the pair never saw, on grounds of `training/scenes.py`, and freely licensed
photographs that scikit-image ships (chelsea and coffee: CC0, rocket and astronaut: public domain).
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from kornia.color import rgb_to_grayscale
from PIL import Image, ImageDraw
from torch.nn import functional as F

from training.judge import Judge
from training.measures import commonest_colour, tensor_of, vivid_colour
from training.scenes import GROUNDS, LAYOUT_NAMES, NOTHING, Painter, Scenes, SpriteBank

CASES = Path(__file__).with_name("edits.txt")
SIDE = 128
PLACE = (0.5, 0.53, 0.72)
"""Where a thing stands on its ground: x, y and size, as shares of the picture's side."""
KEPT = 0.08
"""Largest mean absolute difference of what should stay, colours from 0 to 1."""
ROUGHLY = 0.02
"""How far a drawn mask goes beyond the thing, as a share of the shorter side."""
TOP = 5
"""The judge names a thing where it is among so many of its 552 names."""
ALIKE = 0.6
"""Least correlation of a thing's light and dark with what it was, where the whole scene may change."""

Shape = tuple[str, tuple[float, ...]]
# What stands in the photographs, as ellipses (centre, radii) and polygons (corners), in shares of width and height.
PHOTOS: dict[str, tuple[str, tuple[Shape, ...]]] = {
    "coffee": (
        "coffee.png",
        (("ellipse", (0.46, 0.55, 0.34, 0.42)), ("ellipse", (0.485, 0.29, 0.195, 0.25))),
    ),
    "chelsea": (
        "chelsea.png",
        (("polygon", (0, 0, 0.88, 0, 0.8, 0.3, 0.78, 0.55, 0.72, 0.8, 0.7, 1, 0, 1)),),
    ),
    "rocket": (
        "rocket.jpg",
        (("polygon", (0.48, 0.3, 0.53, 0.3, 0.53, 1, 0.48, 1)), ("polygon", (0, 0.87, 1, 0.87, 1, 1, 0, 1))),
    ),
    "astronaut": (
        "astronaut.png",
        (
            (
                "polygon",
                (0.05, 0.6, 0.2, 0.42, 0.24, 0.3, 0.5, 0.32, 0.62, 0.42, 0.7, 0.5, 0.72, 0.68, 0.6, 0.8, 0.55, 1, 0, 1),
            ),
        ),
    ),
}


@dataclass(frozen=True)
class Case:
    """One edit that is asked for."""

    split: str
    kind: str
    picture: str
    prompt: str
    options: str
    wanted: str
    """`thing COLOUR`, `ground COLOUR`, `thing CONCEPT` or `scene NAME`."""

    @property
    def option(self) -> tuple[str, str]:
        """Return the option's name and value, ("", "") without one."""
        name, _, value = self.options.partition("=")
        return name, value

    @property
    def changes_ground(self) -> bool:
        """Return whether it is the ground that is to change, and not the thing."""
        return self.wanted.startswith("ground")


@dataclass(frozen=True)
class Original:
    """A picture to edit, with what is known of it."""

    image: Image.Image
    mask: torch.Tensor
    """(h, w) of 0 and 1: where its thing is."""
    concept: str
    """What its thing is called, "" where the judge has no name for it."""


@dataclass(frozen=True)
class Verdict:
    """What was found in the result of one edit."""

    reached: bool
    difference: float
    """Mean absolute difference of what should stay."""
    named: bool
    """Whether the judge still names what should stay, or nothing of the kind is asked."""

    @property
    def kept(self) -> bool:
        """Return whether the rest stayed."""
        return self.difference <= KEPT and self.named


def read_cases(path: Path = CASES) -> list[Case]:
    """Read the file of cases."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return [Case(*(part.strip() for part in line.split("|"))) for line in lines]


class Originals:
    """Make the pictures that are to be edited."""

    def __init__(self, bank: SpriteBank) -> None:
        self.bank = bank
        self.painter = Painter(bank, SIDE)
        self.names = [names[0] for names in bank.names()]

    def make(self, case: Case) -> Original:
        """Return the picture of a case."""
        if case.picture.startswith("photo "):
            return photograph(case.picture.removeprefix("photo "))
        thing, _, ground = case.picture.partition(" on ")
        return self.compose(self.names.index(thing), GROUNDS.index(ground))

    def compose(self, concept: int, ground: int) -> Original:
        """Put the first icon of a concept on a ground."""
        row = int((self.bank.concept == concept).nonzero()[0, 0])
        scenes = Scenes(
            sprite=torch.tensor([[row]]),
            tint=torch.tensor([[NOTHING]]),
            place=torch.tensor([[PLACE]]),
            turn=torch.zeros(1, 1),
            flip=torch.ones(1, 1),
            ground=torch.tensor([ground]),
            layout=torch.tensor([LAYOUT_NAMES.index("one")]),
            way=torch.tensor([NOTHING]),
        )
        x, y, size = PLACE
        theta = torch.tensor([[[1 / size, 0, -(2 * x - 1) / size], [0, 1 / size, -(2 * y - 1) / size]]])
        grid = F.affine_grid(theta, [1, 1, SIDE, SIDE], align_corners=False)
        alpha = F.grid_sample(self.bank.pixels[row : row + 1, 3:].float() / 255, grid, align_corners=False)
        return Original(image_of(self.painter.draw(scenes)[0]), (alpha[0, 0] > 0.5).float(), self.names[concept])


def photograph(name: str) -> Original:
    """Return one of scikit-image's photographs, without loading scikit-image itself."""
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("scikit-image is not installed; see requirements-training.txt.")
    file, shapes = PHOTOS[name]
    image = Image.open(Path(found.submodule_search_locations[0]) / "data" / file).convert("RGB")
    mask = Image.new("L", image.size, 0)
    drawing = ImageDraw.Draw(mask)
    for kind, numbers in shapes:
        if kind == "ellipse":
            x, y, across, down = numbers
            corners = [((x - across), (y - down)), ((x + across), (y + down))]
            drawing.ellipse([(u * image.width, v * image.height) for u, v in corners], fill=255)
        else:
            corners = list(zip(numbers[::2], numbers[1::2], strict=True))
            drawing.polygon([(u * image.width, v * image.height) for u, v in corners], fill=255)
    return Original(image, tensor_of(mask.convert("RGB"))[0].round(), "")


def image_of(picture: torch.Tensor) -> Image.Image:
    """Turn (3, h, w) in 0..1 into an image."""
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def mask_image(case: Case, original: Original) -> Image.Image:
    """Return a mask of what is to change as a person would draw it: white there, black where the picture stays."""
    mask = 1 - original.mask if case.changes_ground else _grown(original.mask, ROUGHLY)
    if case.kind == "replace":  # whoever wants another thing paints over a box
        mask = _grown(_box(original.mask), ROUGHLY)
    return Image.fromarray((mask * 255).byte().numpy())


def _grown(mask: torch.Tensor, share: float) -> torch.Tensor:
    """Grow a mask by a share of its shorter side, or shrink it by a negative one."""
    radius = max(1, round(abs(share) * min(mask.shape)))
    sign = 1 if share > 0 else -1
    return sign * F.max_pool2d(sign * mask[None, None], 2 * radius + 1, 1, radius)[0, 0]


def _box(mask: torch.Tensor) -> torch.Tensor:
    """Return the box around a mask, as a mask."""
    rows, columns = mask.amax(1).nonzero()[:, 0], mask.amax(0).nonzero()[:, 0]
    box = torch.zeros_like(mask)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = 1
    return box


def judge_edit(case: Case, original: Original, result: Image.Image, judge: Judge, names: list[str]) -> Verdict:
    """Say of an edit's result whether it shows what was wanted and keeps the rest."""
    before = tensor_of(original.image)
    after = tensor_of(result.resize(original.image.size, Image.Resampling.BICUBIC))
    thing = original.mask
    what, _, name = case.wanted.partition(" ")

    def rank(picture: torch.Tensor, concept: str) -> int:
        return judge(picture[None])[0].argsort(descending=True).tolist().index(names.index(concept))

    def difference(where: torch.Tensor) -> float:
        return float(((after - before).abs().mean(0) * where).sum() / where.sum().clamp(min=1))

    outside, inside = 1 - _grown(thing, 0.03), _grown(thing, -0.03)
    light = torch.stack(
        [rgb_to_grayscale(before[None])[0, 0][inside > 0], rgb_to_grayscale(after[None])[0, 0][inside > 0]]
    )
    alike = float(torch.corrcoef(light)[0, 1]) >= ALIKE

    def named() -> bool:
        """Ask for the old thing; of what the judge does not know, as in photographs, light and dark must be alike."""
        return rank(after, original.concept) < TOP if original.concept else alike

    if what == "scene":
        reached = SCENES[name](before[:, outside > 0], after[:, outside > 0])
        return Verdict(reached, 0.0, alike and named())
    if what == "ground":
        reached = commonest_colour(after[:, outside > 0]) == name
        return Verdict(reached, difference(inside), named())
    if name in names:
        old = rank(after, original.concept) if original.concept else len(names)
        new = rank(after, name)
        return Verdict(new < min(TOP, old), difference(1 - _grown(_box(thing), 0.06)), True)
    reached = vivid_colour(after[:, inside > 0]) == name
    return Verdict(reached, difference(outside), named())


def _light(pixels: torch.Tensor) -> float:
    """Return the mean brightness of pixels (3, n)."""
    return float(rgb_to_grayscale(pixels[None, :, None]).mean())


def _is_night(before: torch.Tensor, after: torch.Tensor) -> bool:
    light = _light(after)
    return bool(light < 0.6 * _light(before) and light < 0.4)


def _is_snow(before: torch.Tensor, after: torch.Tensor) -> bool:
    pale, was = ((pixels.amin(0) > 0.72).float().mean() for pixels in (after, before))
    return bool(pale > 0.25 and pale > was + 0.15)


def _is_sunset(before: torch.Tensor, after: torch.Tensor) -> bool:
    warmth, was = (pixels[0].mean() - pixels[2].mean() for pixels in (after, before))
    return bool(warmth > 0.1 and warmth > was + 0.15)


def _is_fog(before: torch.Tensor, after: torch.Tensor) -> bool:
    grey, was = ((pixels.amax(0) - pixels.amin(0)).mean() for pixels in (after, before))
    return bool(grey < 0.7 * was and _light(after) > 0.5)


SCENES: dict[str, Callable[[torch.Tensor, torch.Tensor], bool]] = {
    "night": _is_night,
    "snow": _is_snow,
    "sunset": _is_sunset,
    "fog": _is_fog,
}
"""Whether what is around the thing, pixels (3, n) before and after, became dark, pale, warm, or grey and light."""
