"""Looking pixels up: bilinear, in a pyramid of the picture where cutouts show it smaller than it is."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.devices import constant, on_gpu


def _wants_fixed_order(pictures: Tensor) -> bool:
    """Return whether torch's own ways back would add up in no fixed order, and that is not wanted (`pick_device`)."""
    return on_gpu(pictures) and torch.are_deterministic_algorithms_enabled()


def pool(picture: Tensor, size: int) -> Tensor:
    """Squash a picture to `size` square, half mean and half maximum (nerdyrodent's `latest` cutouts)."""
    if _wants_fixed_order(picture):
        return _pool_in_order(picture, size)
    return (F.adaptive_avg_pool2d(picture, size) + F.adaptive_max_pool2d(picture, size)) / 2


def shifted(pictures: Tensor, shares: Tensor) -> Tensor:
    """Move pictures (b, 3, h, w) round their edges, each by its shares of height and width, (b, 2) in [0, 1)."""
    height, width = pictures.shape[-2:]
    extent = constant((height, width), pictures.device)
    down, across = (shares * extent).long().unbind(1)
    rows = (torch.arange(height, device=pictures.device) + down[:, None]) % height
    columns = (torch.arange(width, device=pictures.device) + across[:, None]) % width
    each = zip(pictures, rows, columns, strict=True)
    return torch.stack([one.index_select(1, row).index_select(2, column) for one, row, column in each])


def look_up(pictures: Tensor, places: Tensor, scale: Tensor) -> Tensor:
    """Sample pictures (b, 3, h, w) at places (b, k, s, s, 2), in coordinates from -1 to 1, as (b, k, 3, s, s).

    `scale`, (b, k), says how many pixels of the picture one of the cutout covers: it picks the pyramid's level.
    """
    height, width = pictures.shape[-2:]
    levels = 1 + max(0, math.floor(math.log2(max(height, width) / places.shape[-2]) + 0.5))
    if levels > 1:
        pictures, places = _pyramid(pictures, places, scale, levels)
    if _wants_fixed_order(pictures):
        return _sample_in_order(pictures, places)
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


def _sample_in_order(pictures: Tensor, places: Tensor) -> Tensor:
    """Do what `F.grid_sample` does in `look_up` by indexing, whose way back has a fixed order."""
    height, width = pictures.shape[-2:]
    extent = constant((width, height), places.device)
    pixels = (((places + 1) * extent - 1) / 2).clamp(min=0).minimum(extent - 1)
    first = pixels.floor()
    second, share = (first + 1).minimum(extent - 1).long(), pixels - first
    (left, top), (right, bottom), (x, y) = (pair.unbind(-1) for pair in (first.long(), second, share))
    flat = pictures.flatten(2).transpose(1, 2)
    owner = torch.arange(len(pictures), device=pictures.device).view(-1, 1, 1, 1)

    def at(row: Tensor, column: Tensor, weight: Tensor) -> Tensor:
        return flat[owner, row * width + column] * weight[..., None]

    upper = at(top, left, (1 - x) * (1 - y)) + at(top, right, x * (1 - y))
    lower = at(bottom, left, (1 - x) * y) + at(bottom, right, x * y)
    return (upper + lower).movedim(-1, 2)


def _pool_in_order(picture: Tensor, size: int) -> Tensor:
    """Do what `pool` does by indexing, whose way back has a fixed order."""
    rows, in_rows = _windows(picture.shape[-2], size, picture.device)
    columns, in_columns = _windows(picture.shape[-1], size, picture.device)
    windows = picture[:, :, rows][..., columns]  # (b, 3, size, rows of a window, size, its columns)
    inside = in_rows[:, :, None, None] & in_columns
    mean = (windows * inside).sum((3, 5)) / inside.sum((1, 3))
    return (mean + windows.masked_fill(~inside, -math.inf).amax((3, 5))) / 2


def _windows(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the indices of each of `size` windows, as adaptive pooling lays them, and which of them count."""
    cells = torch.arange(size, device=device)
    first, end = cells * length // size, -((cells + 1) * length // -size)
    widest = math.ceil(length / size) + 1
    indices = first[:, None] + torch.arange(widest, device=device)
    return indices.clamp(max=length - 1), indices < end[:, None]
