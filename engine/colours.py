"""Colours by name, and changing the colour of what a mask shows while its light and dark stay."""

import math

import torch
from kornia.color import rgb_to_grayscale
from torch import Tensor

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 130, 32),
    "yellow": (250, 212, 50),
    "green": (60, 160, 70),
    "blue": (45, 95, 215),
    "purple": (130, 60, 180),
    "pink": (245, 140, 180),
    "brown": (130, 85, 50),
    "black": (25, 25, 28),
    "white": (250, 250, 250),
    "grey": (140, 140, 145),
    "turquoise": (35, 170, 165),
    "light blue": (150, 205, 240),
    "dark blue": (22, 35, 95),
    "light green": (165, 220, 140),
    "dark green": (25, 80, 45),
    "beige": (236, 220, 190),
}
"""In the order of the embedded prior's tints."""
_YIQ = (
    (0.299, 0.587, 0.114),
    (0.596, -0.274, -0.322),
    (0.211, -0.523, 0.312),
)  # NTSC: a turn of the hue is a rotation of I and Q
_PALER = 0.6
"""How far towards white the lightest parts of a tinted thing go."""


def turn_hue(pictures: Tensor, turns: float) -> Tensor:
    """Turn the hue of pictures (b, 3, h, w) by a share of the colour circle, luma kept (kornia's, in HSV, moves it)."""
    angle = 2 * math.pi * turns
    cos, sin = math.cos(angle), math.sin(angle)
    to_yiq = torch.tensor(_YIQ, dtype=torch.float64)
    turn = torch.tensor(((1.0, 0.0, 0.0), (0.0, cos, -sin), (0.0, sin, cos)), dtype=torch.float64)
    matrix = (torch.linalg.inv(to_yiq) @ turn @ to_yiq).to(pictures)
    return torch.einsum("ij,bjhw->bihw", matrix, pictures).clamp(0, 1)


def tint(pictures: Tensor, colour: tuple[float, float, float], mask: Tensor) -> Tensor:
    """Give what a mask (1, 1, h, w) shows of pictures (1, 3, h, w) a colour (in [0, 1]), its shading kept.

    Its middle brightness becomes the colour itself, darker parts a darker and lighter parts a paler one; what is
    nearly black or white already (outlines, highlights) stays so.
    """
    light = rgb_to_grayscale(pictures)
    inside = light[mask > 0.5]
    middle = float((inside if len(inside) else light).median().clamp(0.05, 0.97))
    target = pictures.new_tensor(colour).view(1, 3, 1, 1)
    paler = target + (1 - target) * ((light - middle) / max(0.15, 1 - middle)) * _PALER
    return torch.where(light < middle, target * (light / middle), paler)
