"""Find what words name in a picture, for perceptors too small for the published self-mask (`engine/masks.py`).

Colours show what stands before the ground (`engine/segmentation.py`); the perceptor only has to say which of the things
that stand there is meant, and whether any is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.perceptors import Perceptor
from engine.prompts import with_article
from engine.segmentation import find_figure, find_ground_at, main_parts, parts_of
from engine.spec import BadSpecError

BEHIND = ("background", "backdrop", "surroundings", "wall", "rest")
SKY = ("sky", "heaven", "heavens")
FLOOR = (
    "ground",
    "floor",
    "grass",
    "lawn",
    "meadow",
    "field",
    "sea",
    "ocean",
    "water",
    "lake",
    "snow",
    "sand",
    "beach",
)
FLOOR += ("desert", "street", "road", "table", "earth")
OTHERS = (
    "dog", "cat", "bird", "fish", "horse", "elephant", "lion", "frog", "snake", "spider", "butterfly", "bee",
    "flower", "tree", "mushroom", "apple", "banana", "strawberry", "lemon", "tomato", "carrot", "bread", "pizza",
    "hamburger", "cake", "ice cream", "egg", "cheese", "coffee", "bottle", "glass", "knife", "spoon", "house",
    "castle", "church", "bridge", "tent", "car", "bus", "train", "airplane", "ship", "bicycle", "rocket", "clock",
    "phone", "computer", "camera", "book", "pencil", "key", "hammer", "sword", "umbrella", "shoe", "shirt",
    "dress", "hat", "glasses", "ring", "crown", "drum", "guitar", "piano", "ball", "trophy", "lamp", "chair",
    "bed", "door", "box", "flag", "heart", "star", "sun", "moon", "cloud", "fire", "snowflake", "face", "hand",
    "skull", "ghost", "robot",
)  # fmt: skip
"""Things that a picture might show instead."""
BETTER = 8
"""So many of them may suit a picture better than what it is asked for: 99 of 100 icons by other artists pass, and 12 of
100 when asked for something else."""
_MARGIN = 0.08
_NEAR = 0.06
"""A part belongs to what is meant where its cosine is at most so far below the best part's."""


class NothingFoundError(BadSpecError):
    """The picture does not show what was named."""

    def __init__(self, words: str) -> None:
        super().__init__(f"“{words}” was not found in the picture: name it in other words, or draw a mask.")


@torch.no_grad()
def find_named(picture: Tensor, words: str, perceptors: Sequence[Perceptor]) -> Tensor:
    """Return where a picture (1, 3, h, w) shows what words name, (1, 1, h, w) of 0 and 1; raise `NothingFoundError`."""
    figure = find_figure(picture)
    thing = main_parts(figure)
    noun = words.lower().split()[-1] if len(words.split()) <= 3 else ""  # an article, an adjective, and it
    for nouns, edge in ((SKY, "top"), (FLOOR, "bottom")):
        if noun in nouns:
            return _enough(find_ground_at(picture, thing, edge), words)
    if noun in BEHIND:
        return _enough(1 - thing, words)
    parts = parts_of(figure, least=0.02)
    if len(parts) < 2:
        if not is_seen(picture, thing, words, perceptors):
            raise NothingFoundError(words)
        return _enough(thing, words)
    return _best_parts(picture, figure, parts, words, perceptors)


def is_seen(picture: Tensor, part: Tensor, words: str, perceptors: Sequence[Perceptor], better: int = BETTER) -> bool:
    """Return whether at most `better` other things suit a picture, or what a mask shows of it, more than words do."""
    views = [picture, _around(picture, part)]
    return min(_better(view, words, perceptors) for view in views) <= better


def _best_parts(
    picture: Tensor, figure: Tensor, parts: Sequence[Tensor], words: str, perceptors: Sequence[Perceptor]
) -> Tensor:
    """Return the part that the words mean, with those that suit them about as well; all, where only all suit them."""
    crops = [_around(picture, part) for part in parts]
    suits = [_likeness(crop, [words], perceptors)[0] for crop in crops]
    best = max(range(len(parts)), key=lambda i: float(suits[i]))
    if _better(crops[best], words, perceptors) > BETTER:
        if not is_seen(picture, figure, words, perceptors):
            raise NothingFoundError(words)
        return main_parts(figure)
    return torch.stack([p for p, s in zip(parts, suits, strict=True) if float(suits[best] - s) <= _NEAR]).amax(0)


def _better(view: Tensor, words: str, perceptors: Sequence[Perceptor]) -> int:
    """Return how many other things a view suits better than the words."""
    likeness = _likeness(view, [words, *OTHERS], perceptors)
    return int((likeness[1:] > likeness[0]).sum())


def _likeness(view: Tensor, texts: Sequence[str], perceptors: Sequence[Perceptor]) -> Tensor:
    """Return the mean cosine of a view (1, 3, h, w) with each text."""
    said = [with_article(text) for text in texts]
    each = []
    for perceptor in perceptors:
        size = (perceptor.size, perceptor.size)
        seen = perceptor.encode_image(F.interpolate(view, size, mode="bicubic", antialias=True).clamp(0, 1))
        each.append(perceptor.encode_text(said) @ seen[0])
    return torch.stack(each).mean(0)


def _around(picture: Tensor, part: Tensor) -> Tensor:
    """Cut out the square around a part (1, 1, h, w), with a margin."""
    rows, columns = part[0, 0].amax(1).nonzero()[:, 0], part[0, 0].amax(0).nonzero()[:, 0]
    if not len(rows):
        return picture
    height, width = picture.shape[-2:]
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    side = min(height, width, round(max(bottom - top, right - left) * (1 + 2 * _MARGIN)))
    y = min(max(0, (top + bottom - side) // 2), height - side)
    x = min(max(0, (left + right - side) // 2), width - side)
    return picture[..., y : y + side, x : x + side]


def _enough(mask: Tensor, words: str) -> Tensor:
    if float(mask.mean()) < 0.005:
        raise NothingFoundError(words)
    return mask
