"""Cutouts: random views of the picture, augmented, as the perceptor sees them (paper section 2.3).

`Cutter` composes crop, flip, affine and perspective into one look-up per pixel, jitter and greyscale into one colour
matrix; `engine/kornia_cutouts.py` is the same chain spelled out, transform by transform, for comparison.
"""

import math
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.devices import on_gpu
from engine.spec import Augmentations, Cutouts

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""
ERASED_AREA = (0.1, 0.4)
ERASED_RATIO = (0.3, 1 / 0.3)
"""nerdyrodent/VQGAN-CLIP `Er`: share of the cutout, and height over width."""


@dataclass(frozen=True)
class Draw:
    """Hold the random numbers of one set of n cutouts; maps go from cutout to picture, in coordinates from -1 to 1."""

    boxes: Tensor
    """(n, 4): left, top, width, height, in pixels of the picture."""
    affine: Tensor
    """(n, 3, 3): undoes flip and affine."""
    perspective: Tensor
    """(n, 3, 3): undoes the perspective."""
    colour: Tensor
    """(n, 3, 3): out = colour @ rgb + lift * (the cutout's mean luma)."""
    lift: Tensor
    """(n,): what contrast gives back of the mean luma."""
    keep: Tensor
    """(1, 1, size, size): 0 in the erased box, 1 elsewhere."""
    noise: Tensor
    """(n, 3, size, size), already scaled."""


Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


@cache
def constant(values: Numbers, device: torch.device) -> Tensor:
    """Put fixed numbers on a device once, in fp32: a GPU that is handed them anew is waited for each time.

    They stay for good: a recorded step reads them where they are.
    """
    return torch.tensor(values, dtype=torch.float32, device=device)


class Cutter:
    """Draw and cut the cutouts of one perceptor."""

    def __init__(self, cutouts: Cutouts, augmentations: Augmentations, size: int) -> None:
        self.cutouts = cutouts
        self.augmentations = augmentations
        self.size = size

    def draw(self, height: int, width: int, generator: torch.Generator) -> Draw:
        """Draw everything random about the next cutouts of a picture of this size, all from `generator`."""
        count, device = self.cutouts.count, generator.device
        colour, lift = _draw_colour(self.augmentations, torch.rand(count, 6, generator=generator, device=device))
        uniform = torch.rand(count, 19, generator=generator, device=device)
        noise = torch.randn(count, 3, self.size, self.size, generator=generator, device=device)
        return Draw(
            boxes=draw_boxes(self.cutouts, self.size, height, width, uniform[:, :3]),
            affine=_draw_affine(self.augmentations, uniform[:, 3:9]),
            perspective=_draw_perspective(self.augmentations, uniform[:, 9:10], uniform[:, 10:14], uniform[:, 14:18]),
            colour=colour,
            lift=lift,
            keep=_draw_erasing(self.augmentations, self.size, torch.rand(5, generator=generator, device=device)),
            noise=noise.mul_(uniform[:, 18].mul(self.augmentations.noise)[:, None, None, None]),
        )

    def cut(self, picture: Tensor, draw: Draw, part: slice = slice(None)) -> Tensor:
        """Cut some of the drawn cutouts: (1, 3, h, w) in [0, 1] to (k, 3, size, size), differentiable."""
        if self.cutouts.method == "pooled":
            picture = pool(picture, self.size)
        cut = _look_up(picture, *self._places(draw, part, picture.shape[-2:]))
        cut = self._recolour(cut, draw.colour[part], draw.lift[part])
        return cut * draw.keep + draw.noise[part]

    def _recolour(self, cut: Tensor, colour: Tensor, lift: Tensor) -> Tensor:
        if not (self.augmentations.jitter or self.augmentations.greyscale):
            return cut
        mean_luma = cut.mean((2, 3)) @ constant(LUMA, cut.device)
        return torch.baddbmm((lift * mean_luma)[:, None, None], colour, cut.flatten(2)).view_as(cut).clamp(0, 1)

    def _places(self, draw: Draw, part: slice, shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
        """Find where each pixel of each cutout lies in the picture, whether it lies in it, and its cutout's scale."""
        places = _centres(self.size, draw.boxes.device).expand(len(draw.boxes[part]), -1, -1)
        places = _apply(draw.perspective[part], places)
        inside = _inside(places)
        places = _apply(draw.affine[part], places)
        if self.augmentations.padding == "zeros":
            inside = inside & _inside(places)
        boxes = draw.boxes[part]
        if self.cutouts.method == "pooled":  # the pooled picture is the cutout: there is nothing left to crop
            boxes = constant((0.0, 0.0, shape[1], shape[0]), boxes.device).expand_as(boxes)
        extent = constant((shape[1], shape[0]), boxes.device)
        places = boxes[:, None, :2] + (places.clamp(-1, 1) + 1) / 2 * boxes[:, None, 2:]  # in pixels
        scale = (boxes[:, 2:] / self.size).amax(1)
        places = (places / extent * 2 - 1).view(-1, self.size, self.size, 2)
        return places, inside.view(-1, 1, self.size, self.size), scale


def pool(picture: Tensor, size: int) -> Tensor:
    """Squash a picture to `size` square, half mean and half maximum (nerdyrodent's `latest` cutouts)."""
    return (F.adaptive_avg_pool2d(picture, size) + F.adaptive_max_pool2d(picture, size)) / 2


def draw_boxes(cutouts: Cutouts, size: int, height: int, width: int, uniform: Tensor) -> Tensor:
    """Draw crops as Crowson's z+quantize notebook does, (n, 3) uniform numbers to (n, 4) boxes in whole pixels.

    side = floor(u^power * (max - min) + min), max the picture's shorter side, min that or the perceptor's input size.
    """
    largest = min(height, width)
    smallest = min(largest, size)
    side = (uniform[:, 0] ** cutouts.power * (largest - smallest) + smallest).floor()
    left = (uniform[:, 1] * (width - side + 1)).floor()
    top = (uniform[:, 2] * (height - side + 1)).floor()
    boxes = torch.stack([left, top, side, side], 1)
    if cutouts.overview:
        boxes[: cutouts.overview] = constant((0.0, 0.0, width, height), boxes.device)
    return boxes


def _draw_affine(numbers: Augmentations, uniform: Tensor) -> Tensor:
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


def _draw_perspective(numbers: Augmentations, happens: Tensor, across: Tensor, down: Tensor) -> Tensor:
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


def _draw_colour(numbers: Augmentations, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Draw brightness, contrast, saturation, hue and greyscale: (n, 6) numbers to (n, 3, 3) and (n,)."""
    happens = (uniform[:, 0] < numbers.jitter).float()[:, None]
    amounts = constant((numbers.brightness, numbers.contrast, numbers.saturation, numbers.hue), uniform.device)
    brightness, contrast, saturation, hue = (happens * (2 * uniform[:, 1:5] - 1) * amounts).unbind(1)
    grey = (uniform[:, 5] < numbers.greyscale).float()
    return colour_change(1 + brightness, 1 + contrast, (1 + saturation) * (1 - grey), hue)


def colour_change(brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> tuple[Tensor, Tensor]:
    """Compose three factors and a hue shift in turns, (n,) each, into a matrix (n, 3, 3) and a lift (n,).

    As kornia's ColorJitter: brightness multiplies, contrast spreads about the mean luma, saturation mixes with luma.
    Hue turns about the grey axis, linear too, where kornia goes through HSV, which is most of its time.
    """
    eye, luma = torch.eye(3, device=hue.device), constant(LUMA, hue.device).expand(3, 3)
    axis = math.sqrt(1 / 3) * constant(
        ((0, -1, 1), (1, 0, -1), (-1, 1, 0)), hue.device
    )  # cross product with (1,1,1)/sqrt(3)
    cos, sin = (2 * math.pi * hue).cos()[:, None, None], (2 * math.pi * hue).sin()[:, None, None]
    turn = cos * eye + sin * axis + (1 - cos) / 3
    mix = saturation[:, None, None]
    colour = turn @ (mix * eye + (1 - mix) * luma) * (brightness * contrast)[:, None, None]
    return colour, brightness * (1 - contrast)  # turning and mixing leave the grey that is given back as it is


def _draw_erasing(numbers: Augmentations, size: int, uniform: Tensor) -> Tensor:
    """Draw one box to erase from every cutout, as a mask (1, 1, size, size) of what stays."""
    area = ERASED_AREA[0] + uniform[1] * (ERASED_AREA[1] - ERASED_AREA[0])
    ratio = torch.exp(uniform[2] * math.log(ERASED_RATIO[1] / ERASED_RATIO[0])) * ERASED_RATIO[0]
    height, width = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    top, left = uniform[3] * (1 - height), uniform[4] * (1 - width)
    at = (torch.arange(size, device=uniform.device) + 0.5) / size
    rows, columns = (at >= top) & (at < top + height), (at >= left) & (at < left + width)
    erased = rows[:, None] & columns & (uniform[0] < numbers.erasing)
    return (~erased).float()[None, None]


def _centres(size: int, device: torch.device) -> Tensor:
    at = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), 2).view(1, size * size, 2)


def _apply(homography: Tensor, places: Tensor) -> Tensor:
    """Map (n, p, 2) places by (n, 3, 3)."""
    mapped = places @ homography[:, :, :2].mT + homography[:, None, :, 2]
    return mapped[..., :2] / mapped[..., 2:].clamp(min=1e-6)


def _inside(places: Tensor) -> Tensor:
    return (places.abs() <= 1).all(-1)


def _look_up(picture: Tensor, places: Tensor, inside: Tensor, scale: Tensor) -> Tensor:
    """Sample (1, 3, h, w) at (n, s, s, 2) places, from the pyramid level that fits each cutout's scale."""
    height, width = picture.shape[-2:]
    levels = 1 + max(0, math.floor(math.log2(max(height, width) / inside.shape[-1]) + 0.5))
    if levels > 1:
        picture, places = _pyramid(picture, places, scale, levels)
    return _sample(picture, places) * inside


def _sample(picture: Tensor, places: Tensor) -> Tensor:
    """Look up (1, 3, h, w) at (n, s, s, 2) places, as (n, 3, s, s)."""
    look_up = partial(F.grid_sample, mode="bilinear", padding_mode="border", align_corners=False)
    if not on_gpu(picture):
        return look_up(picture.expand(len(places), -1, -1, -1), places)
    # As one tall look-up: the way back through n pictures would fill n gradients of the whole picture, and add them up.
    tall = look_up(picture, places.flatten(0, 1)[None])
    return tall[0].unflatten(1, places.shape[:2]).transpose(0, 1)


def _pyramid(picture: Tensor, places: Tensor, scale: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Put the picture and its halvings into one sheet, one below the other, and move places to their level.

    Choosing the level by arithmetic rather than by grouping cutouts keeps every shape the same at every step.
    """
    height, width = picture.shape[-2:]
    pictures, extents, tops = [picture], [(width, height)], [0]
    while len(pictures) < levels:
        tops.append(tops[-1] + pictures[-1].shape[-2])
        pictures.append(F.avg_pool2d(pictures[-1], 2))
        extents.append((pictures[-1].shape[-1], pictures[-1].shape[-2]))
    sheet = torch.cat([F.pad(level, (0, width - level.shape[-1])) for level in pictures], 2)
    level = (scale.log2() + 0.5).floor().long().clamp(0, levels - 1)
    extent = constant(tuple(extents), places.device)[level][:, None, None]
    top = constant(tuple(tops), places.device)[level][:, None, None]
    pixels = ((places + 1) / 2 * extent).clamp(min=0.5).minimum(extent - 0.5)  # no level bleeds into the next
    pixels = torch.stack([pixels[..., 0], pixels[..., 1] + top], -1)
    return sheet, pixels / constant((sheet.shape[-1], sheet.shape[-2]), places.device) * 2 - 1
