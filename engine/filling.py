"""Filling a hole of a picture from around it, smoothly: push-pull (Gortler et al. 1996)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


class Filling:
    """Fill the same hole in many pictures; linear in them, and a GPU is waited for only when it is made."""

    def __init__(self, hole: Tensor) -> None:
        """Take the hole, (1, 1, h, w) of 0 to 1."""
        self._levels: list[tuple[Tensor, Tensor]] = []
        while max(hole.shape[-2:]) > 1 and bool((hole >= 0.01).any()):
            size = (math.ceil(hole.shape[-2] / 2), math.ceil(hole.shape[-1] / 2))
            weight = F.adaptive_avg_pool2d(1 - hole, size)
            self._levels.append((hole, weight))
            hole = (weight < 1e-3).float()

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return pictures (b, c, h, w) with the hole filled."""
        finer = [pictures]
        for hole, weight in self._levels:
            known = F.adaptive_avg_pool2d(finer[-1] * (1 - hole), (weight.shape[-2], weight.shape[-1]))
            finer.append(known / weight.clamp(min=1e-4))
        filled = finer.pop()
        for hole, _ in reversed(self._levels):
            around = finer.pop()
            spread = F.interpolate(filled, around.shape[-2:], mode="bilinear", align_corners=False)
            filled = torch.lerp(around, spread, hole)
        return filled


def fill_in(picture: Tensor, hole: Tensor) -> Tensor:
    """Fill a hole (1, 1, h, w) of a picture (b, c, h, w) from around it."""
    return Filling(hole)(picture)
