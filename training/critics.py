"""What the generator's pictures have to please besides their pixels: the perceptor's first layers, and an adversary."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from training.networks import ClipShape, build_clip, read_weights
from training.perceptor import MEAN, STD


class Features(nn.Module):
    """The perceptor's first layers, frozen: what two pictures should agree in besides their pixels."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        tensors, config = read_weights(path)
        kept = {name.removeprefix("visual."): t for name, t in tensors.items() if name.startswith("visual.")}
        shape = ClipShape(**{key: value for key, value in config.items() if key != "kind"})
        self.tower: Any = build_clip(shape).visual
        self.tower.load_state_dict(kept)
        self.tower.to(torch.bfloat16, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(STD)[:, None, None])

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Map pictures in -1..1 to maps of the stem and the first two levels, each position of unit length."""
        tower: Any = self.tower
        x = ((pictures / 2 + 0.5 - self.get_buffer("mean")) / self.get_buffer("deviation")).to(torch.bfloat16)
        x = x.contiguous(memory_format=torch.channels_last)
        for part in ("1", "2", "3"):
            x = getattr(tower, f"relu{part}")(getattr(tower, f"bn{part}")(getattr(tower, f"conv{part}")(x)))
        maps = [x]
        maps.append(tower.layer1(tower.avgpool(x)))
        maps.append(tower.layer2(maps[-1]))
        return [F.normalize(level.float(), dim=1) for level in maps]


def adversary(width: int = 32) -> nn.Sequential:
    """Return a patch adversary: how real each overlapping patch of 46 pixels looks (Isola et al. 2017)."""
    layers: list[nn.Module] = []
    before = 3
    for level in range(3):
        layers += [nn.Conv2d(before, width << level, 4, 2, 1), nn.LeakyReLU(0.2)]
        before = width << level
    return nn.Sequential(*layers, nn.Conv2d(before, 1, 4, 1, 1))


def apart(features: Features, made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Return how far pictures are from others in the perceptor's first layers (Johnson et al. 2016)."""
    with torch.no_grad():
        wanted = features(real)
    return torch.stack([(a - b).square().sum(1).mean() for a, b in zip(features(made), wanted, strict=True)]).mean()
