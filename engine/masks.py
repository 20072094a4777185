"""Masks: which part of a picture an edit may change. 1 may change, 0 stays."""

from collections.abc import Sequence
from pathlib import Path

import torch
from kornia.filters import box_blur
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from engine.losses import clamp_with_grad
from engine.perceptors import Perceptor
from engine.pictures import read_mask
from engine.prompts import Where
from engine.regions import find_named
from engine.seeds import generators
from engine.spec import PaintingSpec
from engine.tensors import tensor_of

CROPS = 2048
BATCH = 128
_LEAST_SHARE = 0.02
WIDEST, NARROWEST = 0.4, 0.1
"""EleutherAI's editing notebook: crop sides anneal from 0.4 to 0.1 of the picture, each drawn between half and full."""


def feather(mask: Tensor, radius: int) -> Tensor:
    """Soften a mask (1, 1, h, w) over `radius` pixels, inwards only: what was 0 is 0 still."""
    return box_blur(mask, 2 * radius + 1, border_type="replicate").minimum(mask)


def soften(mask: Tensor, radius: int) -> Tensor:
    """Soften a mask (1, 1, h, w) over `radius` pixels on both sides of its borders."""
    window = 2 * radius + 1
    return F.avg_pool2d(F.pad(mask, (radius,) * 4, mode="replicate"), window, stride=1)


def to_latent(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Say which cells of a latent's grid may change, (1, 1, *size) of 0 and 1: all with a pixel that may.

    A share between would do nothing: Adam divides it away again.
    """
    return (F.adaptive_max_pool2d(mask, size) > 0).to(mask.dtype)


def integral(mask: Tensor) -> Tensor:
    """Sum all of a mask (1, 1, h, w) that is above and to the left of each corner, (h + 1, w + 1)."""
    on_cpu = mask[0, 0].double().cpu()  # adding up in this way, a GPU has no order that is always the same
    return F.pad(on_cpu.cumsum(0).cumsum(1), (1, 0, 1, 0)).float().to(mask.device)


def share_inside(corner: Tensor, boxes: Tensor) -> Tensor:
    """Return how much of each box (…, 4: left, top, width, height, whole pixels) a mask lets change, by `integral`."""
    left, top, width, height = boxes.long().unbind(-1)
    right, bottom = left + width, top + height
    inside = corner[bottom, right] - corner[top, right] - corner[bottom, left] + corner[top, left]
    return inside / (width * height)


def place(name: str, height: int, width: int) -> Tensor:
    """Return one of `PLACES` as a hard mask, (1, 1, height, width)."""
    mask = torch.zeros(1, 1, height, width)
    rows = {"top": slice(0, height // 2), "bottom": slice(height // 2, None)}
    columns = {"left": slice(0, width // 2), "right": slice(width // 2, None)}
    if name == "middle":
        rows[name], columns[name] = slice(height // 4, -(height // 4)), slice(width // 4, -(width // 4))
    mask[..., rows.get(name, slice(None)), columns.get(name, slice(None))] = 1
    return mask


def read_region(spec: PaintingSpec, height: int, width: int, device: torch.device) -> Tensor:
    """Read the mask of a spec, a picture or one of `PLACES`, as (1, 1, height, width); raise `BadPictureError`."""
    if spec.mask is None:
        return place(spec.mask_text or "middle", height, width).to(device)
    return tensor_of(read_mask(Path(spec.mask)).resize((width, height), Image.Resampling.BOX), device)


class Spots:
    """Say how much a cutout counts for words about the inside, or the outside, of a region."""

    def __init__(self, region: Tensor) -> None:
        """Take a mask, (1, 1, h, w)."""
        self.region = region
        self._integrals: dict[tuple[int, int], Tensor] = {}

    def shares(self, boxes: Tensor, size: tuple[int, int], where: Where) -> Tensor | None:
        """Return weights for cutouts (b, n, 4) of pictures of some size, (b, n), 1 on the mean; None: all alike."""
        if where == "everywhere":
            return None
        if size not in self._integrals:
            self._integrals[size] = integral(F.interpolate(self.region, size, mode="area"))
        inside = share_inside(self._integrals[size], boxes)
        shares = inside if where == "inside" else 1 - inside
        return shares / shares.mean(1, keepdim=True).clamp(min=_LEAST_SHARE)


def find_region(picture: Tensor, words: str, perceptors: Sequence[Perceptor]) -> Tensor:
    """Find where a picture (1, 3, h, w) shows what the words say, as a hard mask (1, 1, h, w): the self-mask.

    Perceptors too small for the published recipe find it in the way of `engine/regions.py`, which raises
    `NothingFoundError`.
    """
    small = [perceptor for perceptor in perceptors if perceptor.finds_by == "colours"]
    if small:
        return find_named(picture, words, small)
    # Not by the painting's own seed: where the words' region is does not depend on it.
    return find_by_crops(picture, words, perceptors, *generators([0], "mask", picture.device))


@torch.no_grad()
def find_by_crops(picture: Tensor, words: str, perceptors: Sequence[Perceptor], generator: torch.Generator) -> Tensor:
    """Find the region by many crops, each compared with the words.

    Monte-Carlo saliency of paper appendix H as EleutherAI's editing notebook computes it: many random crops, each
    pixel's mean of exp(scale * cos(crop, words)), with one more crop of value 1, normalised and squared; then cut, in
    8 bits, at the mean of what is above zero.

    The notebook takes 16,000 crops, eight times as long. Measured on pictures of two things with the shipped perceptor:
    two masks of 16,000 crops overlap by 0.88, two of 2,048 by 0.81, one of each by 0.84; either lies by 0.94 to 1.00 of
    its area where the thing is.
    """
    total = torch.zeros_like(picture[:, :1])
    for perceptor in perceptors:
        text = perceptor.encode_text([words])
        heat, seen = torch.ones_like(total), torch.ones_like(total)
        for done in range(0, CROPS, BATCH):
            share = WIDEST + (NARROWEST - WIDEST) * done / CROPS
            boxes = _draw_squares(picture.shape[-2:], share, generator)
            crops = [_resize(picture[..., y : y + s, x : x + s], perceptor.size) for x, y, s in boxes]
            likeness = (perceptor.encode_image(torch.cat(crops)) @ text.T)[:, 0] * perceptor.logit_scale
            for (x, y, s), value in zip(boxes, likeness.exp(), strict=True):
                heat[..., y : y + s, x : x + s] += value
                seen[..., y : y + s, x : x + s] += 1
        heat = heat / seen
        total += ((heat - heat.min()) / heat.max()).square()
    levels = (total * (255 / len(perceptors))).floor()
    return (levels >= levels[levels > 0].mean()).float()


def _draw_squares(shape: torch.Size, share: float, generator: torch.Generator) -> list[tuple[int, int, int]]:
    """Draw one batch of squares (left, top, side), each between half and all of `share` of the shorter side."""
    height, width = shape
    uniform = torch.rand(BATCH, 3, generator=generator, device=generator.device).cpu()
    side = (min(height, width) * share * (0.5 + uniform[:, 0] / 2)).clamp(min=8).floor().clamp(max=min(height, width))
    left, top = (uniform[:, 1] * (width - side + 1)).floor(), (uniform[:, 2] * (height - side + 1)).floor()
    return [(int(x), int(y), int(s)) for x, y, s in zip(left, top, side, strict=True)]


def _resize(crop: Tensor, size: int) -> Tensor:
    return clamp_with_grad(F.interpolate(crop, (size, size), mode="bicubic", antialias=True))
