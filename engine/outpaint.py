"""Set a picture into a larger canvas: where it lies, what stands around it at first, and what may be painted."""

import torch
from PIL import Image
from torch import Tensor

from engine.edit_start import fill_in
from engine.spec import Extend
from engine.tensors import tensor_of


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
    return fill_in(canvas, new), new


def _span(length: int, before: float, after: float) -> tuple[int, int]:
    """Return where the picture begins and ends along one side of the canvas, in pixels."""
    scale = length / (1 + before + after)
    first = round(before * scale)
    return first, min(length, first + max(1, round(scale)))
