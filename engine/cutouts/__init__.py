"""Cutouts: random views of the picture, augmented, as the perceptor sees them (paper section 2.3).

Crop, flip, affine and perspective are composed into one look-up per pixel, jitter and greyscale into one colour matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from engine.cutouts.colour import draw_colour, recolour
from engine.cutouts.geometry import (
    apply_homography,
    draw_affine,
    draw_boxes,
    draw_erasing,
    draw_perspective,
    is_inside,
    pixel_centres,
)
from engine.cutouts.sampling import look_up, pool, shifted
from engine.devices import constant
from engine.spec import Augmentations, Cutouts


@dataclass(frozen=True)
class CutoutParams:
    """Hold the random numbers of n cutouts of each of b pictures; maps go from cutout to picture, -1 to 1."""

    boxes: Tensor
    """(b, n, 4): left, top, width, height, in pixels of the picture."""
    affine: Tensor
    """(b, n, 3, 3): undoes flip and affine."""
    perspective: Tensor
    """(b, n, 3, 3): undoes the perspective."""
    colour: Tensor
    """(b, n, 3, 3): out = colour @ rgb + lift * (the cutout's mean luma)."""
    lift: Tensor
    """(b, n): what contrast gives back of the mean luma."""
    keep: Tensor
    """(b, 1, 1, size, size): 0 in the erased box, 1 elsewhere."""
    noise: Tensor
    """(b, n, 3, size, size), already scaled."""
    shift: Tensor
    """(b, 2): by which share of its height and width the picture is first moved round its edges."""

    @classmethod
    def join(cls, each: Sequence[Self]) -> Self:
        """Join those of several pictures."""
        if len(each) == 1:
            return each[0]
        return cls(*(torch.cat([getattr(one, field.name) for one in each]) for field in fields(cls)))


class Cutter:
    """Draw and cut the cutouts of one perceptor."""

    def __init__(self, cutouts: Cutouts, augmentations: Augmentations, size: int, *, wraps: bool = False) -> None:
        """`wraps`: cutouts lie across the edges too, as the picture tiles."""
        self.cutouts = cutouts
        self.augmentations = augmentations
        self.size = size
        self.wraps = wraps
        self._power: Tensor | None = None

    def set_progress(self, progress: float, device: torch.device) -> None:
        """Go on to the power of a step, from 0 at the first to 1 after the last."""
        first, last = self.cutouts.first_power, self.cutouts.power
        if first is None:
            return
        if self._power is None:
            self._power = torch.zeros((), device=device)
        self._power.fill_(first + (last - first) * progress)  # where a recorded step reads it

    def draw(self, height: int, width: int, rngs: Sequence[torch.Generator]) -> CutoutParams:
        """Draw everything random about the next cutouts of pictures of this size, each picture's from its generator."""
        return CutoutParams.join([self._draw_one(height, width, rng) for rng in rngs])

    def _draw_one(self, height: int, width: int, rng: torch.Generator) -> CutoutParams:
        count, device, numbers = self.cutouts.count, rng.device, self.augmentations
        colour, lift = draw_colour(numbers, torch.rand(count, 6, generator=rng, device=device))
        uniform = torch.rand(count, 19, generator=rng, device=device)
        noise = torch.randn(count, 3, self.size, self.size, generator=rng, device=device)
        return CutoutParams(
            boxes=draw_boxes(self.cutouts, self.size, height, width, uniform[:, :3], self._power)[None],
            affine=draw_affine(numbers, uniform[:, 3:9])[None],
            perspective=draw_perspective(numbers, uniform[:, 9:10], uniform[:, 10:14], uniform[:, 14:18])[None],
            colour=colour[None],
            lift=lift[None],
            keep=draw_erasing(numbers, self.size, torch.rand(5, generator=rng, device=device))[None],
            noise=noise.mul_(uniform[:, 18].mul(numbers.noise)[:, None, None, None])[None],
            shift=self._shift(rng),
        )

    def _shift(self, rng: torch.Generator) -> Tensor:
        if not self.wraps:
            return torch.zeros(1, 2, device=rng.device)
        return torch.rand(1, 2, generator=rng, device=rng.device)

    def cut(self, pictures: Tensor, params: CutoutParams, part: slice = slice(None)) -> Tensor:
        """Cut some of each picture's cutouts: (b, 3, h, w) in [0, 1] to (b, k, 3, size, size), differentiable."""
        if self.wraps:
            pictures = shifted(pictures, params.shift)
        if self.cutouts.method == "pooled":
            pictures = pool(pictures, self.size)
        places, inside, scale = self._places(params, part, pictures.shape[-2:])
        cut = look_up(pictures, places, scale) * inside
        if self.augmentations.jitter or self.augmentations.greyscale:
            colour, lift = params.colour[:, part].flatten(0, 1), params.lift[:, part].flatten()
            cut = recolour(cut.flatten(0, 1), colour, lift).view_as(cut)
        return cut * params.keep + params.noise[:, part]

    def _places(self, params: CutoutParams, part: slice, shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
        """Find where each pixel of each cutout lies in the picture, whether it lies in it, and its cutout's scale."""
        boxes = params.boxes[:, part]
        batch, size = boxes.shape[:2], self.size
        places = pixel_centres(size, boxes.device).expand(batch.numel(), -1, -1)
        places = apply_homography(params.perspective[:, part].flatten(0, 1), places)
        inside = is_inside(places)
        places = apply_homography(params.affine[:, part].flatten(0, 1), places)
        if self.augmentations.padding == "zeros":
            inside = inside & is_inside(places)
        if self.cutouts.method == "pooled":  # the pooled picture is the cutout: there is nothing left to crop
            boxes = constant((0.0, 0.0, shape[1], shape[0]), boxes.device).expand_as(boxes)
        extent = constant((shape[1], shape[0]), boxes.device)
        corner, sides = boxes.flatten(0, 1)[:, None].split(2, -1)
        places = corner + (places.clamp(-1, 1) + 1) / 2 * sides  # in pixels
        places = (places / extent * 2 - 1).view(*batch, size, size, 2)
        return places, inside.view(*batch, 1, size, size), (boxes[..., 2:] / size).amax(-1)
