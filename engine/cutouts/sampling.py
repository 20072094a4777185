"""Looking pixels up: bilinear, in a pyramid of the picture where cutouts show it smaller than it is."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.devices import constant, on_gpu


def pool(picture: Tensor, size: int) -> Tensor:
    """Squash a picture to `size` square, half mean and half maximum (nerdyrodent's `latest` cutouts)."""
    return (F.adaptive_avg_pool2d(picture, size) + F.adaptive_max_pool2d(picture, size)) / 2


def look_up(pictures: Tensor, places: Tensor, scale: Tensor) -> Tensor:
    """Sample pictures (b, 3, h, w) at places (b, k, s, s, 2), in coordinates from -1 to 1, as (b, k, 3, s, s).

    `scale`, (b, k), says how many pixels of the picture one of the cutout covers: it picks the pyramid's level.
    """
    height, width = pictures.shape[-2:]
    levels = 1 + max(0, math.floor(math.log2(max(height, width) / places.shape[-2]) + 0.5))
    if levels > 1:
        pictures, places = _pyramid(pictures, places, scale, levels)
    sample = partial(F.grid_sample, mode="bilinear", padding_mode="border", align_corners=False)
    if on_gpu(pictures):
        # As one tall look-up: the way back through k pictures would fill k gradients of the whole picture, and add
        # them up.
        tall = sample(pictures, places.flatten(1, 2))
        return tall.unflatten(2, places.shape[1:3]).transpose(1, 2)
    each = zip(pictures, places, strict=True)
    return torch.stack([sample(picture.expand(len(where), -1, -1, -1), where) for picture, where in each])


def _pyramid(pictures: Tensor, places: Tensor, scale: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Put each picture and its halvings into one sheet, one below the other, and move places to their level.

    Choosing the level by arithmetic rather than by grouping cutouts keeps every shape the same at every step.
    """
    height, width = pictures.shape[-2:]
    halvings, extents, tops = [pictures], [(width, height)], [0]
    while len(halvings) < levels:
        tops.append(tops[-1] + halvings[-1].shape[-2])
        halvings.append(F.avg_pool2d(halvings[-1], 2))
        extents.append((halvings[-1].shape[-1], halvings[-1].shape[-2]))
    sheets = torch.cat([F.pad(level, (0, width - level.shape[-1])) for level in halvings], 2)
    level = (scale.log2() + 0.5).floor().long().clamp(0, levels - 1)
    extent = constant(tuple(extents), places.device)[level][:, :, None, None]
    top = constant(tuple(tops), places.device)[level][:, :, None, None]
    pixels = ((places + 1) / 2 * extent).clamp(min=0.5).minimum(extent - 0.5)  # no level bleeds into the next
    pixels = torch.stack([pixels[..., 0], pixels[..., 1] + top], -1)
    return sheets, pixels / constant((sheets.shape[-1], sheets.shape[-2]), places.device) * 2 - 1
