"""Set a picture into a larger canvas: where it lies, what stands around it at first, and how both go together."""

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from engine.filling import Filling
from engine.losses import clamp_with_grad
from engine.spec import Extend
from engine.tensors import tensor_of

_REACH = 0.5
"""How far what is painted takes its colours from the picture beside it, as a share of the picture's shorter side."""


class Seam:
    """Let a picture's colours go on into what is painted around it, so that no border is to be seen between them.

    What is painted is apart from the picture by what the VQGAN lost of it, and by where the loop has gone. That
    difference, as it is along the border, is spread over what is new, the less the farther out, and taken away (the
    membrane of Poisson image editing, Pérez et al. 2003).
    """

    def __init__(self, new: Tensor) -> None:
        """Take where the canvas is new, (1, 1, h, w) of 0 and 1."""
        rows, columns = ((new[0, 0] == 0).sum(axis).max() for axis in (0, 1))
        self._spread, self._share = Filling(new), _fading(1 - new, int(_REACH * min(rows, columns)))

    def matched(self, pictures: Tensor, original: Tensor) -> Tensor:
        """Return pictures (b, 3, h, w) as the original, (1, 3, h, w), where it lies, and going on from it elsewhere."""
        apart = self._spread((original - pictures).detach())
        return clamp_with_grad(pictures + self._share * apart)


def extended(image: Image.Image, extend: Extend, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the canvas of a size (height, width), (1, 3, h, w), and where it is new, (1, 1, h, w).

    Beyond the borders their colours go on, ever smoother the farther they are.
    """
    height, width = size
    left, right = _span(width, extend.left, extend.right)
    top, bottom = _span(height, extend.up, extend.down)
    inner = tensor_of(image.resize((right - left, bottom - top), Image.Resampling.LANCZOS), device)
    canvas, new = torch.zeros(1, 3, height, width, device=device), torch.ones(1, 1, height, width, device=device)
    canvas[..., top:bottom, left:right] = inner
    new[..., top:bottom, left:right] = 0
    return Filling(new)(canvas), new


def _fading(old: Tensor, reach: int) -> Tensor:
    """Return what is 1 where a canvas is old and falls to 0 beyond `reach` pixels, (1, 1, h, w)."""
    total = old
    for _ in range(reach):
        old = F.max_pool2d(old, 3, 1, 1)
        total = total + old
    return total / (1 + reach)


def _span(length: int, before: float, after: float) -> tuple[int, int]:
    """Return where the picture begins and ends along one side of the canvas, in pixels."""
    scale = length / (1 + before + after)
    first = round(before * scale)
    return first, min(length, first + max(1, round(scale)))
