"""Let the loop fail, in batches: what the perceptor, followed too far, is led to paint.

Short paintings towards a caption with the generator and the perceptor as they stand: from noise, from the picture of
something else, or from a picture of the caption itself. What comes out is no picture of the caption, or a worse one
than the loop began with, however much the perceptor likes it: it learns that as a wrong answer to the text, beside the
picture as it should be. What began as something else still shows that, and is learned as such.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F

from engine.losses import spherical_distance
from training.networks import load_codec
from training.scenes import Painter, Scenes, SpriteBank

FROM_NOISE, FROM_ANOTHER = 0.35, 0.35  # shares of the paintings; the others begin with what the caption says
STRIDES = (0.05, 0.25)  # learning rates: the presets' own, and longer ones, which spoil a picture in fewer steps
FROM_FAR = 4.0  # times as long from noise: it has further to go
CUTOUTS = 4  # of each picture; every other one shows it whole
WRONG, SHAKEN = 0.25, 0.5  # of the pictures that are only rebuilt: share of wrong codes, noise in codebook deviations

Embed = Callable[[torch.Tensor], torch.Tensor]


class Failed(NamedTuple):
    """What came of some scenes, pictures in bytes of the perceptor's size."""

    made: torch.Tensor  # by the loop
    true: torch.Tensor  # the scene itself, as the generator shows it
    rebuilt: torch.Tensor  # the same, some with wrong codes or noise in them
    other: torch.Tensor  # rows of `made` that began as the scene before them


class Shelf:
    """Keep the last so many rows of tensors, to take some of them at random."""

    def __init__(self, room: int) -> None:
        self.room, self.count = room, 0
        self.next = 0
        self.rows: list[torch.Tensor] = []

    def put(self, *parts: torch.Tensor) -> None:
        """Add rows, the same number in each part; the oldest make room."""
        if not self.rows:
            self.rows = [part.new_empty(self.room, *part.shape[1:]) for part in parts]
        at = (torch.arange(len(parts[0])) + self.next) % self.room
        for row, part in zip(self.rows, parts, strict=True):
            row[at.to(row.device)] = part
        self.next = (self.next + len(parts[0])) % self.room
        self.count = min(self.room, self.count + len(parts[0]))

    def take(self, count: int, generator: torch.Generator) -> list[torch.Tensor]:
        """Return rows at random; bytes come back as fractions."""
        pick = torch.randint(0, self.count, (count,), generator=generator, device=generator.device)
        return [row[pick].float() / 255 if row.dtype == torch.uint8 else row[pick] for row in self.rows]


class Practice:
    """Short loops with one generator."""

    def __init__(self, bank: SpriteBank, generator_file: Path, size: int, steps: int, device: str) -> None:
        self.codec = load_codec(generator_file).to(device).requires_grad_(False)
        self.painter = Painter(bank, self.codec.shape.resolution, device)
        self.size, self.steps, self.device = size, steps, device

    def fail(self, scenes: Scenes, words: torch.Tensor, embed: Embed, generator: torch.Generator) -> Failed:
        """Paint towards the scenes' captions, embedded as `words`, with a perceptor's `embed`."""
        with torch.no_grad():
            codes = self.codec.nearest(self.codec.encode(2 * self.painter.draw(scenes) - 1))
        count = len(codes)
        kind = torch.rand(count, generator=generator, device=self.device)
        noise = torch.randint(0, self.codec.shape.n_embed, codes.shape, generator=generator, device=self.device)
        from_noise = (kind < FROM_NOISE)[:, None, None]
        another = (kind >= FROM_NOISE) & (kind < FROM_NOISE + FROM_ANOTHER)
        begun = torch.where(from_noise, noise, torch.where(another[:, None, None], codes.roll(1, 0), codes))
        low, high = (math.log(stride) for stride in STRIDES)
        stride = torch.exp(low + (high - low) * torch.rand(count, generator=generator, device=self.device))
        stride = torch.where(kind < FROM_NOISE, FROM_FAR * stride, stride)[:, None, None, None]
        z = self._climb(self.codec.lookup(begun), stride, words, embed, generator)
        return Failed(
            made=self._small(z),
            true=self._small(self.codec.lookup(codes)),
            rebuilt=self._small(self._shaken(codes, generator)),
            other=another.nonzero()[:, 0],
        )

    def _climb(
        self, z: torch.Tensor, stride: torch.Tensor, words: torch.Tensor, embed: Embed, generator: torch.Generator
    ) -> torch.Tensor:
        """Take steps of Adam towards the words, each latent in its own stride."""
        moved = torch.zeros_like(z, requires_grad=True)
        adam = torch.optim.Adam([moved], lr=1.0, betas=(0.9, 0.999))
        for _ in range(self.steps):
            seen = F.normalize(embed(self._cutouts(self._pictures(z + stride * moved), generator)).float(), dim=-1)
            loss = spherical_distance(seen, words.repeat_interleave(CUTOUTS, 0)).sum() / CUTOUTS
            (moved.grad,) = torch.autograd.grad(loss, moved)
            adam.step()
        return (z + stride * moved).detach()

    def _pictures(self, z: torch.Tensor) -> torch.Tensor:
        """Decode the nearest codes, pictures in 0..1; the gradient goes to z."""
        words = self.codec.lookup(self.codec.nearest(z.detach()))
        return (self.codec.decode(z + (words - z).detach()) / 2 + 0.5).clamp(0, 1)

    def _cutouts(self, pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Show each picture CUTOUTS times, whole and in parts, some mirrored."""
        count = len(pictures) * CUTOUTS
        chance = torch.rand(4, count, generator=generator, device=self.device)
        whole = torch.arange(count, device=self.device) % 2 == 0
        size = torch.where(whole, 1.0, 0.5 + 0.4 * chance[0])
        x, y = ((2 * c - 1) * (1 - size) for c in chance[1:3])
        mirror = torch.where(chance[3] < 0.5, -1.0, 1.0)
        none = torch.zeros_like(size)
        theta = torch.stack([mirror * size, none, x, none, size, y], 1).view(-1, 2, 3)
        soft = F.avg_pool2d(pictures, 2) if pictures.shape[-1] >= 2 * self.size else pictures
        grid = F.affine_grid(theta, [count, 3, self.size, self.size], align_corners=False)
        return F.grid_sample(soft.repeat_interleave(CUTOUTS, 0), grid, padding_mode="border", align_corners=False)

    def _shaken(self, codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return latents: a third as they are, a third with random codes among them, a third with noise."""
        kind = torch.arange(len(codes), device=self.device)[:, None, None] % 3
        share, strength = torch.rand(2, len(codes), 1, 1, generator=generator, device=self.device)
        other = torch.randint(0, self.codec.shape.n_embed, codes.shape, generator=generator, device=self.device)
        swapped = torch.rand(codes.shape, generator=generator, device=self.device) < WRONG * share
        z = self.codec.lookup(torch.where(swapped & (kind == 1), other, codes))
        noise = torch.randn(z.shape, generator=generator, device=self.device) * self.codec.codebook.std()
        return z + SHAKEN * (strength * (kind == 2))[:, None] * noise

    @torch.no_grad()
    def _small(self, z: torch.Tensor) -> torch.Tensor:
        pictures = self._pictures(z)
        return (F.interpolate(pictures, (self.size, self.size), mode="area") * 255).round().byte()
