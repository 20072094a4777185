"""The judge's second opinion: histograms of oriented gradients and coarse colours (Dalal and Triggs 2005).

It names the thing by ridge regression, solved in closed form, and so errs otherwise than a network does.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from training.scenes import Mix, Painter, Sampler, SpriteBank

ORIENTATIONS = 8


def look(pictures: torch.Tensor) -> torch.Tensor:
    """Return features (batch, n) of pictures in 0..1: gradients by direction on two grids, and colours on one."""
    x = F.interpolate(pictures.float(), (64, 64), mode="area")
    smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    right, down = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2], smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
    strength, channel = (right.square() + down.square()).max(1, keepdim=True)
    right, down = right.gather(1, channel), down.gather(1, channel)
    # The sign of an edge depends on the ground, its direction does not.
    angle = torch.atan2(down, right) % math.pi / math.pi * ORIENTATIONS
    bins = torch.arange(ORIENTATIONS)[:, None, None]
    near = (angle - bins).abs()
    votes = (1 - torch.minimum(near, ORIENTATIONS - near)).clamp(min=0) * strength.sqrt().clamp(max=0.5)
    fine, coarse = (F.adaptive_avg_pool2d(votes, size).flatten(1) for size in (10, 5))
    border = torch.cat([x[..., :2, :].flatten(2), x[..., -2:, :].flatten(2)], 2).median(2).values
    colours = F.adaptive_avg_pool2d(x - border[..., None, None], 8).flatten(1)
    parts = [F.normalize(part, dim=1) * weight for part, weight in ((fine, 1.0), (coarse, 0.7), (colours, 0.6))]
    return torch.cat(parts, 1)


@dataclass
class Gradients:
    """Features' mean (n,), and their weights (n, concepts)."""

    mean: torch.Tensor
    weight: torch.Tensor

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map pictures (batch, 3, h, w) in 0..1 to a score for each concept."""
        return (look(pictures) - self.mean) @ self.weight


def fit(bank: SpriteBank, rounds: int = 6, ridge: float = 2e-3, seed: int = 1) -> Gradients:
    """Solve the regression over single things on plain grounds, seen several times with small differences."""
    generator = torch.Generator().manual_seed(seed)
    shares = (1.0, 0.0, 0.0, 0.0)
    sampler = Sampler(bank, Mix(pair=0.0, copies=0.0, tinted=0.1, ground_shares=shares))
    painter = Painter(bank, 64)
    seen, named = [], []
    for _ in range(rounds):
        scenes = sampler.draw(len(bank.pixels), generator)
        scenes.sprite[:, 0] = torch.arange(len(bank.pixels))
        scenes.place[..., :2] += 0.015 * torch.randn(scenes.place[..., :2].shape, generator=generator)
        scenes.place[..., 2] *= torch.exp(0.06 * torch.randn(scenes.place[..., 2].shape, generator=generator))
        pictures = painter.draw(scenes)
        soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        amount = torch.rand(len(pictures), 1, 1, 1, generator=generator)
        seen.append(look(pictures + amount * (soft - pictures)))
        named.append(bank.concept)
    features, concepts = torch.cat(seen).double(), torch.cat(named)
    mean = features.mean(0)
    features = features - mean
    count = torch.bincount(concepts, minlength=len(bank.table["concepts"])).double().clamp(min=1)
    target = F.one_hot(concepts, len(count)).double() / count.sqrt()
    gram = features.T @ features / len(features) + ridge * torch.eye(features.shape[1], dtype=torch.double)
    weight = torch.linalg.solve(gram, features.T @ target / len(features))
    return Gradients(mean.float(), weight.float())
