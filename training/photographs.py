"""Crops of the few photographs that training sees (`training.large` packs them)."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

HELD_OUT = "chelsea"  # the photograph that is measured


class Photographs:
    """Crops of photographs at random sizes."""

    def __init__(self, path: Path, device: str) -> None:
        packed = np.load(path)
        self.pictures = [
            torch.from_numpy(np.asarray(Image.open(io.BytesIO(packed[name].tobytes()))).copy())
            .permute(2, 0, 1)
            .to(device)
            for name in packed.files
            if name != HELD_OUT
        ]

    def crops(self, count: int, side: int, generator: torch.Generator) -> torch.Tensor:
        """Return squares of photographs, (count, 3, side, side) in 0..1, whole scenes among them, half mirrored."""
        found = []
        for _ in range(count):
            picture = self.pictures[int(torch.randint(len(self.pictures), (1,), generator=generator))]
            height, width = picture.shape[1:]
            share = float(torch.rand(1, generator=generator))
            taken = min(height, width, round(side * (1 + 2 * share * share)))
            top = int(torch.randint(height - taken + 1, (1,), generator=generator))
            left = int(torch.randint(width - taken + 1, (1,), generator=generator))
            part = picture[None, :, top : top + taken, left : left + taken].float() / 255
            part = F.interpolate(part, (side, side), mode="bilinear", antialias=True)
            found.append(part.flip(3) if torch.rand(1, generator=generator) < 0.5 else part)
        return torch.cat(found)
