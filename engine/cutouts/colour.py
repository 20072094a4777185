"""The colours of cutouts: jitter and greyscale as one matrix."""

import math

import torch
from torch import Tensor

from engine.devices import constant
from engine.losses import clamp_with_grad
from engine.spec import Augmentations

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""


def draw_colour(numbers: Augmentations, uniform: Tensor) -> tuple[Tensor, Tensor]:
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


def recolour(cutouts: Tensor, colour: Tensor, lift: Tensor) -> Tensor:
    """Apply `colour_change` to (n, 3, h, w)."""
    mean_luma = cutouts.mean((2, 3)) @ constant(LUMA, cutouts.device)
    changed = torch.baddbmm((lift * mean_luma)[:, None, None], colour, cutouts.flatten(2))
    return clamp_with_grad(changed.view_as(cutouts))
