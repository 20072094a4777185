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
_MIRRORED = 1 / 16
"""How far the canvas begins with the mirrored picture, before it is smooth; of the same."""
_TRIMMED = 2
"""Pixels that are painted anew along a border: a VQGAN's pictures have a faint frame."""
_RIM = 1 / 32
"""How much of the picture counts as its border; of the same."""


class Seam:
    """Let a picture's colours go on into what is painted around it, so that no border is to be seen between them.

    What is painted is apart from the picture by what the VQGAN lost of it, and by where the loop has gone. That
    difference, as it is along the border, is spread over what is new, the less the farther out, and taken away (the
    membrane of Poisson image editing, Pérez et al. 2003).
    """

    def __init__(self, new: Tensor) -> None:
        """Take where the canvas is new, (1, 1, h, w) of 0 and 1."""
        self._new, side = new, _shorter_side(new)
        self._spread, self._share = _from_border(new), _fading(1 - new, int(_REACH * side))

    def matched(self, pictures: Tensor, original: Tensor) -> Tensor:
        """Return pictures (b, 3, h, w) as the original, (1, 3, h, w), where it lies, and going on from it elsewhere."""
        apart = (original - pictures).detach()
        return clamp_with_grad(pictures + self._share * torch.lerp(apart, self._spread(apart), self._new))


def extended(image: Image.Image, extend: Extend, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the canvas of a size (height, width), (1, 3, h, w), and where it is new, (1, 1, h, w).

    Beyond the borders lies the mirrored picture, which goes over into the border's colours, ever smoother farther out.
    """
    height, width = size
    left, right = _span(width, extend.left, extend.right)
    top, bottom = _span(height, extend.up, extend.down)
    inner = tensor_of(image.resize((right - left, bottom - top), Image.Resampling.LANCZOS), device)
    trim = min(_TRIMMED, min(inner.shape[-2:]) // 64)
    cut = [trim * (side > 0) for side in (left, top, width - right, height - bottom)]
    inner = inner[..., cut[1] : bottom - top - cut[3], cut[0] : right - left - cut[2]]
    left, top, right, bottom = left + cut[0], top + cut[1], right - cut[2], bottom - cut[3]
    new = torch.ones(1, 1, height, width, device=device)
    new[..., top:bottom, left:right] = 0
    mirrored = inner
    for sides, length in (((left, width - right, 0, 0), right - left), ((0, 0, top, height - bottom), bottom - top)):
        near = tuple(min(side, length - 1) for side in sides)
        mirrored = F.pad(
            F.pad(mirrored, near, "reflect"), [a - b for a, b in zip(sides, near, strict=True)], "replicate"
        )
    smooth = torch.lerp(mirrored, _from_border(new)(mirrored), new)
    return torch.lerp(smooth, mirrored, _fading(1 - new, int(_MIRRORED * _shorter_side(new)))), new


def _from_border(new: Tensor) -> Filling:
    """Return what spreads the outermost part of a picture over everything else."""
    rim = max(2, round(_RIM * _shorter_side(new)))
    inside = 1 - F.max_pool2d(F.pad(new, (rim,) * 4), 2 * rim + 1, 1)
    return Filling(1 - (1 - new) * (1 - inside))


def _shorter_side(new: Tensor) -> int:
    """Return the shorter side of the picture in a canvas, in pixels."""
    rows, columns = ((new[0, 0] == 0).sum(axis).max() for axis in (0, 1))
    return int(min(rows, columns))


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
