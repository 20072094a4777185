"""Where cutouts lie in the picture: crops, flip, affine, perspective, and the box that is erased."""

import math

import torch
from torch import Tensor

from engine.devices import constant
from engine.spec import Augmentations, Cutouts

ERASED_AREA = (0.1, 0.4)
ERASED_RATIO = (0.3, 1 / 0.3)
"""nerdyrodent/VQGAN-CLIP `Er`: share of the cutout, and height over width."""


def draw_boxes(
    cutouts: Cutouts, size: int, height: int, width: int, uniform: Tensor, power: Tensor | float | None = None
) -> Tensor:
    """Draw crops as Crowson's z+quantize notebook does, (n, 3) uniform numbers to (n, 4) boxes in whole pixels.

    side = floor(u^power * (max - min) + min), max the picture's shorter side, min that or the perceptor's input size.
    A power given takes the place of the spec's.
    """
    largest = min(height, width)
    smallest = min(largest, size)
    side = (uniform[:, 0] ** (cutouts.power if power is None else power) * (largest - smallest) + smallest).floor()
    left = (uniform[:, 1] * (width - side + 1)).floor()
    top = (uniform[:, 2] * (height - side + 1)).floor()
    boxes = torch.stack([left, top, side, side], 1)
    whole = cutouts.count if cutouts.method == "pooled" else cutouts.overview
    if whole:
        boxes[:whole] = constant((0.0, 0.0, width, height), boxes.device)
    return boxes


def draw_affine(numbers: Augmentations, uniform: Tensor) -> Tensor:
    """Draw the inverse of flip, then rotation, shear and shift about the centre: (n, 6) numbers to (n, 3, 3)."""
    happens = (uniform[:, 0] < numbers.affine).float()
    flip = 1 - 2 * (uniform[:, 1] < numbers.flip).float()
    turn = happens * (2 * uniform[:, 2] - 1) * math.radians(numbers.degrees)
    lean = happens * ((2 * uniform[:, 3] - 1) * math.radians(numbers.shear)).tan()
    shift = happens[:, None] * (2 * uniform[:, 4:6] - 1) * 2 * numbers.translate
    cos, sin, one, zero = turn.cos(), turn.sin(), torch.ones_like(turn), torch.zeros_like(turn)
    rotated = torch.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], 1).view(-1, 3, 3)
    sheared = torch.stack([flip, flip * lean, zero, zero, one, zero, zero, zero, one], 1).view(-1, 3, 3)
    shifted = torch.stack([one, zero, -shift[:, 0], zero, one, -shift[:, 1], zero, zero, one], 1).view(-1, 3, 3)
    return sheared @ rotated @ shifted


def draw_perspective(numbers: Augmentations, happens: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Draw a map from a quadrilateral back to the square: its corners move inwards by up to `distortion`, (n, 3, 3)."""
    reach = (happens < numbers.perspective).float() * numbers.distortion
    corners = constant(((-1, -1), (1, -1), (1, 1), (-1, 1)), across.device)
    quadrilateral = corners - corners * reach[:, :, None] * torch.stack([across, down], 2)
    return homography_to_square(quadrilateral)


def homography_to_square(corners: Tensor) -> Tensor:
    """Return the homographies that carry quadrilaterals (n, 4, 2) to the square of corners +-1, as (n, 3, 3).

    Closed form of Heckbert 1989, "Fundamentals of Texture Mapping and Image Warping", section 2.2.3; inverted by
    its adjugate, since a homography's scale is free. Clockwise from the top left.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner.unbind(1) for corner in corners.unbind(1))
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
    from_unit = torch.stack(
        [x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, torch.ones_like(g)], 1
    ).view(-1, 3, 3)
    first, second, third = from_unit.unbind(2)
    cross = torch.linalg.cross
    to_unit = torch.stack([cross(second, third), cross(third, first), cross(first, second)], 1)
    to_unit = to_unit / to_unit[:, 2:, 2:]
    return constant(((2, 0, -1), (0, 2, -1), (0, 0, 1)), to_unit.device) @ to_unit


def draw_erasing(numbers: Augmentations, size: int, uniform: Tensor) -> Tensor:
    """Draw one box to erase from every cutout, as a mask (1, 1, size, size) of what stays."""
    area = ERASED_AREA[0] + uniform[1] * (ERASED_AREA[1] - ERASED_AREA[0])
    ratio = torch.exp(uniform[2] * math.log(ERASED_RATIO[1] / ERASED_RATIO[0])) * ERASED_RATIO[0]
    height, width = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    top, left = uniform[3] * (1 - height), uniform[4] * (1 - width)
    at = (torch.arange(size, device=uniform.device) + 0.5) / size
    rows, columns = (at >= top) & (at < top + height), (at >= left) & (at < left + width)
    erased = rows[:, None] & columns & (uniform[0] < numbers.erasing)
    return (~erased).float()[None, None]


def pixel_centres(size: int, device: torch.device) -> Tensor:
    """Return the centres of the pixels of a square, (1, size^2, 2), in coordinates from -1 to 1."""
    at = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), 2).view(1, size * size, 2)


def apply_homography(homography: Tensor, places: Tensor) -> Tensor:
    """Map (n, p, 2) places by (n, 3, 3)."""
    mapped = places @ homography[:, :, :2].mT + homography[:, None, :, 2]
    return mapped[..., :2] / mapped[..., 2:].clamp(min=1e-6)


def is_inside(places: Tensor) -> Tensor:
    """Return which places (…, 2) lie in the square of corners +-1."""
    return (places.abs() <= 1).all(-1)
