"""The cutouts once more, as the published notebooks spell them: crop, resize, then one kornia transform after another.

Slower than `engine.cutouts.Cutter` (kornia's HSV jitter alone is three quarters of its time) and drawn from the same
numbers: the reference that the fast path is held to.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import kornia.augmentation as K
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.cutouts import Cutter
from engine.cutouts.geometry import ERASED_AREA, ERASED_RATIO, draw_boxes
from engine.cutouts.sampling import pool
from engine.painting import Painting
from engine.spec import Augmentations, Cutouts


@dataclass(frozen=True)
class KorniaParams:
    """Hold the boxes (1, n, 4) of cutouts and the seed from which kornia draws the rest."""

    boxes: Tensor
    seed: int


def kornia_chain(numbers: Augmentations) -> K.AugmentationSequential:
    """Build the paper's chain of augmentations (section 2.3) from kornia's own modules."""
    transforms: list[Any] = [
        K.RandomHorizontalFlip(p=numbers.flip),
        K.RandomAffine(
            degrees=numbers.degrees,
            translate=(numbers.translate, numbers.translate),
            shear=numbers.shear or None,
            p=numbers.affine,
            padding_mode=numbers.padding,
        ),
        K.RandomPerspective(numbers.distortion, p=numbers.perspective),
        K.ColorJitter(numbers.brightness, numbers.contrast, numbers.saturation, numbers.hue, p=numbers.jitter),
        K.RandomGrayscale(p=numbers.greyscale),
        K.RandomErasing(ERASED_AREA, ERASED_RATIO, same_on_batch=True, p=numbers.erasing),
    ]
    return K.AugmentationSequential(*transforms, data_keys=["input"])


class KorniaCutter(Cutter):
    """Draw and cut like `Cutter`, one plain transform at a time, of one picture."""

    def __init__(self, cutouts: Cutouts, augmentations: Augmentations, size: int) -> None:
        super().__init__(cutouts, augmentations, size)
        self.chain = kornia_chain(augmentations)

    def draw(self, height: int, width: int, rngs: Sequence[torch.Generator]) -> Any:
        """Draw the boxes and kornia's seed from the one generator."""
        (rng,) = rngs
        uniform = torch.rand(self.cutouts.count, 3, generator=rng, device=rng.device)
        seed = torch.randint(2**31, (1,), generator=rng, device=rng.device)
        boxes = draw_boxes(self.cutouts, self.size, height, width, uniform, self._power)
        return KorniaParams(boxes[None], int(seed))

    def cut(self, pictures: Tensor, params: Any, part: slice = slice(None)) -> Tensor:
        """Cut some of the drawn cutouts: (1, 3, h, w) in [0, 1] to (1, k, 3, size, size), differentiable."""
        cut = self._crop(pictures, params.boxes[0])
        devices = [cut.device] if cut.is_cuda else []
        with torch.random.fork_rng(devices):  # kornia draws from the global generator; it is put back afterwards
            torch.manual_seed(params.seed)
            cut = self.chain(cut)
            std = torch.rand(len(cut), 1, 1, 1, device=cut.device) * self.augmentations.noise
            cut = cut + torch.randn_like(cut) * std
        return cut[part][None]

    def _crop(self, picture: Tensor, boxes: Tensor) -> Tensor:
        if self.cutouts.method == "pooled":
            return pool(picture, self.size).repeat(len(boxes), 1, 1, 1)
        crops = [picture[..., y : y + h, x : x + w] for x, y, w, h in (map(math.floor, box) for box in boxes.tolist())]
        resized = [F.interpolate(c, (self.size, self.size), mode="bilinear", antialias=True) for c in crops]
        return torch.cat(resized)


def use_kornia(painting: Painting) -> Painting:
    """Let a painting see its cutouts as kornia cuts them."""
    for guide in painting._guides:
        guide.cutter = KorniaCutter(guide.cutter.cutouts, guide.cutter.augmentations, guide.cutter.size)
    return painting
