"""The cutouts once more, as the published notebooks spell them: crop, resize, then one kornia transform after another.

Slower than `engine.cutouts.Cutter` (kornia's HSV jitter alone is three quarters of its time) and drawn from the same
numbers: the reference that the fast path is held to.
"""

import math
from dataclasses import dataclass
from typing import Any

import kornia.augmentation as K
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.cutouts import ERASED_AREA, ERASED_RATIO, draw_boxes, pool
from engine.spec import Augmentations, Cutouts


@dataclass(frozen=True)
class KorniaDraw:
    """Hold the boxes of n cutouts and the seed from which kornia draws the rest."""

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


class KorniaCutter:
    """Draw and cut like `Cutter`, one plain transform at a time."""

    def __init__(self, cutouts: Cutouts, augmentations: Augmentations, size: int) -> None:
        self.cutouts = cutouts
        self.augmentations = augmentations
        self.size = size
        self.chain = kornia_chain(augmentations)

    def draw(self, height: int, width: int, generator: torch.Generator) -> KorniaDraw:
        """Draw the boxes and kornia's seed from `generator`."""
        device = generator.device
        uniform = torch.rand(self.cutouts.count, 3, generator=generator, device=device)
        seed = torch.randint(2**31, (1,), generator=generator, device=device)
        return KorniaDraw(draw_boxes(self.cutouts, self.size, height, width, uniform), int(seed))

    def cut(self, picture: Tensor, draw: KorniaDraw, part: slice = slice(None)) -> Tensor:
        """Cut some of the drawn cutouts: (1, 3, h, w) in [0, 1] to (k, 3, size, size), differentiable."""
        cut = self._crop(picture, draw.boxes)
        devices = [cut.device] if cut.is_cuda else []
        with torch.random.fork_rng(devices):  # kornia draws from the global generator; it is put back afterwards
            torch.manual_seed(draw.seed)
            cut = self.chain(cut)
            deviation = torch.rand(len(cut), 1, 1, 1, device=cut.device) * self.augmentations.noise
            cut = cut + torch.randn_like(cut) * deviation
        return cut[part]

    def _crop(self, picture: Tensor, boxes: Tensor) -> Tensor:
        if self.cutouts.method == "pooled":
            return pool(picture, self.size).repeat(len(boxes), 1, 1, 1)
        crops = [picture[..., y : y + h, x : x + w] for x, y, w, h in (map(math.floor, box) for box in boxes.tolist())]
        resized = [F.interpolate(c, (self.size, self.size), mode="bilinear", antialias=True) for c in crops]
        return torch.cat(resized)
