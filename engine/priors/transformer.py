"""The transformer: conditions to the latent of every cell, in one pass over 2 x 2 patches of codes.

It need not keep in its weights what things look like: it is shown the codes of an icon of each thing from a memory (as
in retrieval-augmented diffusion, Blattmann et al. 2022) and learns to place, recolour and ground them, which is the
same for all things and therefore quick to learn.
"""

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from engine.priors.shape import PriorShape

PATCH = 2  # codes along each side of a patch


class Conditions(NamedTuple):
    """What a picture shows: indices (batch,) or (batch, 2), one more than the last index meaning none."""

    things: torch.Tensor
    tints: torch.Tensor
    ground: torch.Tensor
    layout: torch.Tensor
    style: torch.Tensor


class Block(nn.Module):
    """A transformer block whose norms follow the conditions (adaptive layer norm)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, 3 * width)
        self.down = nn.Linear(3 * width, width)
        self.shifts = nn.Parameter(torch.zeros(6 * width))

    def forward(self, x: torch.Tensor, modulation: torch.Tensor) -> torch.Tensor:
        """Mix positions, then channels; `modulation` is (batch, 1, 6 * width)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + self.shifts).chunk(6, -1)
        batch, length, width = x.shape
        h = torch.addcmul(shift1, F.layer_norm(x, (width,)), 1 + scale1)
        q, k, v = self.qkv(h).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # 64 positions: on a CPU two plain products are several times faster to train than the fused attention.
        shares = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        x = torch.addcmul(x, 1 + gate1, self.out((shares @ v).transpose(1, 2).reshape(batch, length, width)))
        h = torch.addcmul(shift2, F.layer_norm(x, (width,)), 1 + scale2)
        return torch.addcmul(x, 1 + gate2, self.down(F.relu(self.up(h))))


class PriorTransformer(nn.Module):
    """Predict the latent of every cell from the conditions and from what memory shows of the things."""

    slot_of: torch.Tensor
    codebook: torch.Tensor
    large: torch.Tensor
    small: torch.Tensor
    blank: torch.Tensor

    def __init__(self, shape: PriorShape) -> None:
        super().__init__()
        self.shape = shape
        width, cells, patch = shape.width, (shape.side // PATCH) ** 2, PATCH**2 * shape.code_width
        self.join = nn.Linear(2 * patch, width)
        self.position = nn.Parameter(0.02 * torch.randn(len(shape.slots), cells, width))
        self.tint = nn.Embedding(shape.tints + 1, width)
        self.ground = nn.Embedding(shape.grounds, width)
        self.layout = nn.Embedding(len(shape.slots), width)
        for table in (self.tint, self.ground, self.layout):
            nn.init.normal_(table.weight, std=0.5)
        self.condition = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.normal_(self.modulation.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(width, shape.heads) for _ in range(shape.depth))
        self.head = nn.Linear(width, patch)
        side, kept = shape.side, (shape.concepts, shape.styles)
        self.register_buffer("slot_of", torch.tensor(shape.slots), persistent=False)
        self.register_buffer("codebook", torch.zeros(shape.codes, shape.code_width))
        self.register_buffer("large", torch.zeros(*kept, 2, 2, side, side, dtype=torch.int16))
        self.register_buffer("small", torch.zeros(*kept, 2, side // 2, side // 2, dtype=torch.int16))
        self.register_buffer("blank", torch.zeros(2, side, side, dtype=torch.int16))

    def recall(self, conditions: Conditions) -> torch.Tensor:
        """Return the codes of the things in their places, on white and on black: (batch, 2, side, side)."""
        seen = self.blank.long()[None].repeat(len(conditions.ground), 1, 1, 1)
        for layout, spots in enumerate(self.shape.spots):
            for slot, table, top, left in spots:
                thing, style = conditions.things[:, slot], conditions.style
                here = (conditions.layout == layout) & (thing < self.shape.concepts)
                thing = thing.clamp(max=self.shape.concepts - 1)
                codes = (self.small[thing, style] if table == 2 else self.large[thing, style, table]).long()
                place = seen[:, :, top : top + codes.shape[-2], left : left + codes.shape[-1]]
                place.copy_(torch.where(here[:, None, None, None], codes, place))  # no waiting for a GPU to say which
        return seen

    def forward(self, conditions: Conditions) -> torch.Tensor:
        """Return latents (batch, cells, 4, code_width), in units of the codebook's standard deviation."""
        common = self.ground(conditions.ground) + self.layout(conditions.layout)
        slots = self.tint(conditions.tints) + common[:, None]
        slots = slots + self.condition(slots)
        # Each position knows the thing that stands there; the norms follow both things together.
        own = self.slot_of[conditions.layout][..., None].to(slots.dtype)
        memory = torch.cat([to_patches(seen) for seen in self.recall(conditions).unbind(1)], 2)
        words = (self.codebook / self.codebook.std())[memory].flatten(2).to(slots.dtype)
        x = self.join(words) + self.position[conditions.layout] + slots[:, :1] + own * (slots[:, 1:] - slots[:, :1])
        modulation = self.modulation(F.silu(slots.sum(1, keepdim=True)))
        for block in self.blocks:
            x = block(x, modulation)
        return self.head(F.layer_norm(x, (x.shape[-1],))).unflatten(-1, (PATCH**2, self.shape.code_width))

    def codes(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the nearest codes (batch, side, side) of predicted latents."""
        book = (self.codebook / self.codebook.std()).float()
        flat = latents.float().flatten(0, 2)
        nearest = (book.square().sum(1) - 2 * flat @ book.T).argmin(1)
        return to_codes(nearest.view(latents.shape[:3]))


def to_patches(codes: torch.Tensor) -> torch.Tensor:
    """Turn codes (batch, side, side) into patches (batch, cells, 4)."""
    batch, half = len(codes), codes.shape[-1] // PATCH
    return codes.view(batch, half, PATCH, half, PATCH).transpose(2, 3).reshape(batch, half * half, PATCH**2)


def to_codes(patches: torch.Tensor) -> torch.Tensor:
    """Turn patches back into codes."""
    batch, half = len(patches), math.isqrt(patches.shape[1])
    return patches.view(batch, half, half, PATCH, PATCH).transpose(2, 3).reshape(batch, PATCH * half, PATCH * half)
