"""Ways of drawing: plain picture operations that turn a picture into a sketch, pixel art, and the like.

The embedded pair learned what "a sketch of a dog" means from pictures treated so; what its prior proposes is
treated so too.
"""

from collections.abc import Callable, Mapping
from functools import cache

import torch
from kornia.color import rgb_to_grayscale
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import Tensor
from torch.nn import functional as F

CELLS = 16  # of pixel art, along a side: one for each code of the embedded generator at 128 x 128


def draw_as(name: str, pictures: Tensor) -> Tensor:
    """Draw pictures (batch, 3, side, side) in 0..1 in one of the ways of `DRAWINGS`."""
    return DRAWINGS[name](pictures).clamp(0, 1)


def _blur(pictures: Tensor, radius: float) -> Tensor:
    """Blur by a Gaussian whose standard deviation is `radius` hundredths of the side."""
    std = max(0.3, radius * pictures.shape[-1] / 100)
    reach = min(pictures.shape[-1] - 1, max(1, round(2.5 * std)))
    return gaussian_blur2d(pictures, 2 * reach + 1, (std, std))


@cache
def _grain(side: int) -> Tensor:
    """Return the same even noise every time, (1, 1, side, side), standard deviation 1."""
    return torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(11))


def _slopes(pictures: Tensor) -> Tensor:
    """Return how steep the steepest channel is at each pixel."""
    slopes = spatial_gradient(pictures, mode="diff")  # (batch, 3, 2, side, side), in differences of neighbours
    return slopes.norm(dim=2).amax(1, keepdim=True) * pictures.shape[-1] / 64


def _pixel_art(pictures: Tensor) -> Tensor:
    """Few large pixels, few shades of each colour."""
    side = pictures.shape[-1]
    cells = F.interpolate(pictures, (min(side, CELLS),) * 2, mode="area")
    return F.interpolate((cells * 8).round() / 8, (side, side), mode="nearest")


def _sketch(pictures: Tensor) -> Tensor:
    """Pencil on paper: dark where it is darker than around, and lightly shaded."""
    light = rgb_to_grayscale(pictures)
    around = _blur(light, 2.5)
    lines = ((light - around) * 4).clamp(-1, 0.15) - 0.5 * (_slopes(_blur(pictures, 0.8)) * 2.2).clamp(0, 1)
    shade = 0.14 * (1 - _blur(light, 1))
    grey = (0.96 + lines - shade + 0.02 * _grain(pictures.shape[-1]).to(pictures)).clamp(0.1, 1)
    return grey * pictures.new_tensor((1.0, 0.99, 0.96)).view(3, 1, 1)


def _outline(pictures: Tensor) -> Tensor:
    """Thick black lines on white where colours change most, however soft the picture is."""
    slopes = _slopes(_blur(pictures, 1.0))
    steep = slopes.flatten(1).quantile(0.97, dim=1).view(-1, 1, 1, 1).clamp(0.02, 0.25)
    ink = ((slopes / steep - 0.35) * 3.5).clamp(0, 1)
    return 0.99 - 0.93 * ink.expand(-1, 3, -1, -1)


def _watercolour(pictures: Tensor) -> Tensor:
    """Pale, soft washes with darker rims on grainy paper."""
    soft = _blur(pictures, 2.2)
    rims = (_slopes(_blur(pictures, 1.5)) * 0.9).clamp(0, 0.25)
    pools = _blur(_grain(pictures.shape[-1]).to(pictures), 6)
    pools = pools / pools.std()
    washed = 0.22 + 0.8 * soft + 0.045 * pools + 0.025 * _grain(pictures.shape[-1]).to(pictures)
    return washed - rims * (1.1 - soft)


def _night(pictures: Tensor) -> Tensor:
    """Dark and blue, as under the moon."""
    grey = rgb_to_grayscale(pictures)
    dim = (0.55 * pictures + 0.45 * grey) * pictures.new_tensor((0.42, 0.5, 0.8)).view(3, 1, 1)
    return dim + pictures.new_tensor((0.01, 0.02, 0.08)).view(3, 1, 1)


DRAWINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "pixel art": _pixel_art,
    "sketch": _sketch,
    "outline": _outline,
    "watercolour": _watercolour,
    "night": _night,
}
