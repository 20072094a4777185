"""Pictures that the judge learns from: icons bent, recoloured, shaded, softened and half hidden, on any ground.

Nothing here is shared with the perceptor's pictures but the icons' format, so that the two do not err alike.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from training.scenes import SpriteBank, ground_bank

# Luminance and the two directions of colour: the analogue television's Y'IQ, in which a turn of the hue is a rotation.
YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


@dataclass(frozen=True)
class Chance:
    """Random numbers for a batch, drawn on the CPU so that a seed means the same on every device."""

    batch: int
    generator: torch.Generator
    device: str

    def even(self, low: float = 0.0, high: float = 1.0, *shape: int) -> torch.Tensor:
        """Draw evenly between two bounds, (batch, *shape)."""
        drawn = torch.rand(self.batch, *shape, generator=self.generator)
        return (low + (high - low) * drawn).to(self.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Draw from the normal distribution, (batch, *shape)."""
        return torch.randn(self.batch, *shape, generator=self.generator).to(self.device)

    def some(self, share: float) -> torch.Tensor:
        """Choose a share of the batch: (batch, 1, 1, 1) of 0 and 1."""
        return (self.even() < share).float()[:, None, None, None]


class Bender:
    """Compose training pictures from a bank of icons."""

    def __init__(self, bank: SpriteBank, device: str = "cpu") -> None:
        self.pixels, self.device = bank.pixels.to(device), device
        self.grounds: dict[int, torch.Tensor] = {}

    def draw(self, rows: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
        """Return a picture of each icon, (batch, 3, side, side) in 0..1."""
        chance = Chance(len(rows), generator, self.device)
        sprite = self.pixels[rows.to(self.device)].float() / 255
        layer = F.grid_sample(sprite, self._bend(chance, side), align_corners=False)
        alpha = layer[:, 3:]
        canvas = self._ground(chance, side) * (1 - self._shadow(chance, alpha))
        pictures = self._recolour(chance, layer) + canvas * (1 - alpha)
        return self._spoil(chance, pictures).clamp(0, 1)

    @staticmethod
    def _bend(chance: Chance, side: int) -> torch.Tensor:
        """Return where each pixel looks: turned, stretched, slanted, mirrored, moved, and seen from an angle."""
        size = 0.9 * torch.exp(chance.even(-0.45, 0.15))
        turn = chance.normal() * torch.where(chance.even() < 0.3, 0.4, 0.1)
        stretch = torch.exp(0.1 * chance.normal())
        mirror = torch.where(chance.even() < 0.5, -1.0, 1.0)
        cos, sin, slant = torch.cos(turn), torch.sin(turn), 0.12 * chance.normal()
        bend = torch.stack([mirror * cos * stretch, mirror * (sin + slant), -sin / stretch, cos / stretch], 1)
        bend = bend.view(-1, 2, 2) / size[:, None, None]
        room = (0.1 + 0.6 * (0.95 - size).clamp(min=0))[:, None]
        move = -bend @ (room * chance.even(-1, 1, 2))[:, :, None]
        grid = F.affine_grid(torch.cat([bend, move], 2), [chance.batch, 4, side, side], align_corners=False)
        tilt = 0.12 * chance.normal(1, 1, 2).clamp(-2, 2)
        return grid / (1 + (grid.clamp(-1.5, 1.5) * tilt).sum(3, keepdim=True)).clamp(min=0.4)

    @staticmethod
    def _recolour(chance: Chance, layer: torch.Tensor) -> torch.Tensor:
        """Turn the hue, change saturation, contrast and light, and turn some into negatives; all on premultiplied."""
        turn = chance.normal() * torch.where(chance.even() < 0.2, math.pi / 2, 0.15)
        vivid = torch.where(chance.even() < 0.1, 0.0, torch.exp(0.35 * chance.normal()))
        cos, sin, zero = vivid * torch.cos(turn), vivid * torch.sin(turn), torch.zeros_like(turn)
        one = torch.ones_like(turn)
        rotate = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3)
        to_yiq = torch.tensor(YIQ, device=layer.device)
        matrix = torch.linalg.inv(to_yiq) @ rotate @ to_yiq * torch.exp(0.2 * chance.normal(1, 1))
        alpha = layer[:, 3:]
        colours = torch.einsum("bij,bjhw->bihw", matrix, layer[:, :3]) + 0.08 * chance.normal(3, 1, 1) * alpha
        colours = torch.minimum(colours.clamp(min=0), alpha)
        return torch.lerp(colours, alpha - colours, chance.some(0.03))

    def _ground(self, chance: Chance, side: int) -> torch.Tensor:
        """Return grounds of any colour, many of them shaded, and some of those that the bot paints."""
        if side not in self.grounds:
            self.grounds[side] = ground_bank(side).to(self.device)
        bank = self.grounds[side]
        known = bank[(chance.even() * len(bank)).long().clamp(max=len(bank) - 1)]
        ends = chance.even(0, 1, 2, 3, 1, 1)
        ends = torch.lerp(ends, ends.round(), chance.some(0.15)[:, None])
        angle = chance.even(0, 2 * math.pi)[:, None, None]
        line = torch.linspace(-0.7, 0.7, side, device=self.device)
        slope = (0.5 + torch.cos(angle) * line[None, :, None] + torch.sin(angle) * line).clamp(0, 1)[:, None]
        made = torch.lerp(ends[:, 0], ends[:, 1], slope * chance.some(0.25))
        return torch.lerp(made, known, chance.some(0.25))

    @staticmethod
    def _shadow(chance: Chance, alpha: torch.Tensor) -> torch.Tensor:
        """Return how dark the ground is where a thing throws its shadow."""
        down, right = (int(torch.randint(-4, 7, (1,), generator=chance.generator)) for _ in range(2))
        soft = F.avg_pool2d(alpha, 7, 1, 3, count_include_pad=False)
        return soft.roll((down, right), (2, 3)) * chance.some(0.2) * chance.even(0.2, 0.6, 1, 1, 1)

    @staticmethod
    def _spoil(chance: Chance, x: torch.Tensor) -> torch.Tensor:
        """Soften, coarsen, stain and hide a part, each for some pictures."""
        side = x.shape[-1]
        wide = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, 1)
        x = torch.lerp(x, wide, chance.some(0.4) * chance.even(0, 1, 1, 1, 1))
        less = int(side * (0.3 + 0.5 * torch.rand(1, generator=chance.generator)))
        coarse = F.interpolate(x, (less, less), mode="area")
        x = torch.lerp(x, F.interpolate(coarse, (side, side), mode="bilinear"), chance.some(0.3))
        stains = F.interpolate(chance.normal(3, side // 8, side // 8), (side, side), mode="bilinear")
        x = x + stains * chance.some(0.3) * chance.even(0, 0.1, 1, 1, 1)
        place = torch.linspace(0, 1, side, device=x.device)
        centre, half = chance.even(0.1, 0.9, 2, 1), chance.even(0.05, 0.2, 2, 1)
        inside = ((place - centre).abs() < half).float()
        hidden = inside[:, 0, None, :, None] * inside[:, 1, None, None, :] * chance.some(0.25)
        return torch.lerp(x, chance.even(0, 1, 3, 1, 1).expand_as(x), hidden)
