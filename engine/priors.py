"""A text → codes prior: reads a text into what it asks for, then fills the generator's grid of codes in one pass.

The reader names the things, their colours, the ground and the arrangement; whatever the text leaves open is drawn at
random. The painter is a transformer over 2 x 2 patches of codes. It need not keep in its weights what things look like:
it is shown the codes of an icon of each thing from a memory (as in retrieval-augmented diffusion, Blattmann et al.
2022) and learns to place, recolour and ground them, which is the same for all things and therefore quick to learn.
"""

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

from engine.third_party import tokenizer
from engine.vocabulary import Vocabulary

PATCH = 2  # codes along each side of a patch


@dataclass(frozen=True)
class PriorShape:
    """Sizes and vocabularies; the prior file's metadata holds exactly these."""

    concepts: int
    tints: int
    grounds: int
    styles: int
    slots: tuple[tuple[int, ...], ...]
    """Per layout, which of the two things stands at each patch of the grid, row by row."""
    layout_choices: tuple[tuple[int, ...], ...]
    """Per arrangement that a text can ask for, the layouts that show it."""
    spots: tuple[tuple[tuple[int, int, int, int], ...], ...]
    """Per layout, where things stand: which of the two, which memory table (0, 1: large; 2: small), top, left."""
    ground_kinds: tuple[tuple[float, ...], ...]
    """Per kind of surroundings, how likely each ground is when the text names none."""
    ground_of: tuple[int, ...]
    """Per thing, the kind of its surroundings."""
    style_choices: tuple[tuple[int, ...], ...]
    """Per style that a text can ask for, and for none, the artists in whose hand it is painted."""
    ways: tuple[str, ...]
    """Per style that a text can ask for, and for none, the way of drawing (`engine.drawings`), or ""."""
    side: int = 16
    codes: int = 1024
    width: int = 256
    depth: int = 4
    heads: int = 4
    code_width: int = 32
    tokens: int = 4096
    context: int = 32
    reader_width: int = 128
    reader_depth: int = 2

    @classmethod
    def of(cls, config: dict[str, Any]) -> "PriorShape":
        """Build from a file's config."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in config.items() if name in known}
        for name in ("slots", "layout_choices", "style_choices", "ground_kinds"):
            values[name] = tuple(tuple(row) for row in values[name])
        values["spots"] = tuple(tuple(tuple(spot) for spot in spots) for spots in values["spots"])
        values |= {name: tuple(values[name]) for name in ("ground_of", "ways")}
        return cls(**values)


class Conditions(NamedTuple):
    """What a picture shows: indices (batch,) or (batch, 2), one more than the last index meaning none."""

    things: torch.Tensor
    tints: torch.Tensor
    ground: torch.Tensor
    layout: torch.Tensor
    style: torch.Tensor


class Reading(NamedTuple):
    """The reader's logits: things, tints (batch, 2, n + 1), ground, style (batch, n + 1), arrangement (batch, n)."""

    things: torch.Tensor
    tints: torch.Tensor
    ground: torch.Tensor
    arrangement: torch.Tensor
    style: torch.Tensor


class Proposals(NamedTuple):
    """What a painting could start from."""

    codes: torch.Tensor
    """(count, side, side), long, on the generator's grid."""
    way: str
    """How they are to be drawn (`engine.drawings`), "" for as they are."""


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


class Painter(nn.Module):
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


class Reader(nn.Module):
    """Read a text into what it asks for: a small transformer over the tokens, pooled by five learned questions."""

    def __init__(self, shape: PriorShape) -> None:
        super().__init__()
        self.context, width = shape.context, shape.reader_width
        self.rows = nn.Embedding(shape.tokens + 2, width)  # then: an unknown token, and nothing
        self.position = nn.Parameter(0.02 * torch.randn(shape.context, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, shape.reader_depth, enable_nested_tensor=False)
        self.questions = nn.Parameter(torch.randn(5, width))
        self.things = nn.Linear(width, shape.concepts + 1)
        self.tints = nn.Linear(width, shape.tints + 1)
        self.ground = nn.Linear(width, shape.grounds + 1)
        self.arrangement = nn.Linear(width, len(shape.layout_choices))
        self.style = nn.Linear(width, len(shape.style_choices))

    def forward(self, tokens: torch.Tensor) -> Reading:
        """Map tokens (batch, context) to logits."""
        x = self.rows(tokens) + self.position
        empty = tokens == self.rows.num_embeddings - 1
        x = self.layers(x, src_key_padding_mask=empty)
        scores = (x @ self.questions.T).masked_fill(empty[..., None], -1e4).softmax(1)
        pooled = scores.transpose(1, 2) @ x  # (batch, 5, width): the two things, ground, arrangement, style
        things, ground, arrangement, style = pooled[:, :2], *pooled[:, 2:].unbind(1)
        return Reading(
            self.things(things),
            self.tints(things),
            self.ground(ground),
            self.arrangement(arrangement),
            self.style(style),
        )


class Prior(nn.Module):
    """Propose codes for a text."""

    token_rows: torch.Tensor

    def __init__(self, shape: PriorShape) -> None:
        super().__init__()
        self.shape = shape
        self.reader = Reader(shape)
        self.painter = Painter(shape)
        self.register_buffer("token_rows", torch.zeros(shape.tokens, dtype=torch.int32))
        self.vocabulary: Vocabulary | None = None
        """What it knows, where that is written down; texts are then read through it."""
        self._row_of: dict[int, int] = {}

    def tokenise(self, text: str) -> list[int]:
        """Return the rows of a text's tokens, as long as the reader's context."""
        if not self._row_of:
            self._row_of = {token: row for row, token in enumerate(self.token_rows.tolist())}
        unknown = self.shape.tokens
        text = text if self.vocabulary is None else self.vocabulary.read(text)
        text = text if " " in text.strip() else f"a {text}"  # captions nearly always say more than one word
        rows = [self._row_of.get(token, unknown) for token in tokenizer().encode(text)][: self.shape.context]
        return (rows or [unknown]) + [unknown + 1] * (self.shape.context - max(1, len(rows)))

    @torch.no_grad()
    def read(self, text: str) -> Reading:
        """Return what the reader makes of one text, as a batch of one."""
        return self.reader(torch.tensor([self.tokenise(text)], device=self.token_rows.device))

    def understand(self, reading: Reading, count: int, generator: torch.Generator) -> Conditions:
        """Return the conditions that one text asks for, `count` times, its open questions answered at random."""
        device, shape, grounds = self.token_rows.device, self.shape, self.shape.grounds

        def draw(shares: torch.Tensor) -> torch.Tensor:
            return torch.multinomial(shares.to(generator.device), count, True, generator=generator).to(device)

        artists = torch.zeros(shape.styles)
        artists[list(shape.style_choices[int(reading.style.argmax())])] = 1
        named = int(reading.ground.argmax())
        shares = self._other_grounds(reading) if named == grounds else torch.eye(grounds)[named]
        choices = torch.tensor(self._layouts(reading))
        return Conditions(
            things=reading.things.argmax(-1).expand(count, 2),
            tints=reading.tints.argmax(-1).expand(count, 2),
            # One for all: of several, perceptors would nearly always like the darkest best.
            ground=draw(shares)[:1].expand(count),
            layout=choices.to(device)[draw(torch.ones(len(choices)))],
            style=draw(artists),
        )

    def _other_grounds(self, reading: Reading) -> torch.Tensor:
        """Return the shares of the grounds that suit the first thing, without those in the colour of a thing."""
        first = int(reading.things[0, 0].argmax())
        kind = self.shape.ground_of[first] if first < self.shape.concepts else 0
        shares = torch.tensor(self.shape.ground_kinds[kind])
        for tint in reading.tints.argmax(-1).flatten().tolist():
            if tint < self.shape.tints:  # the grounds begin with the tints, plain and then graded
                shares[[tint, tint + self.shape.tints]] = 0
        return shares

    def _layouts(self, reading: Reading) -> tuple[int, ...]:
        """Return the layouts of the likeliest arrangement with as many places as there are things."""
        two = int(reading.things[0, 1].argmax()) < self.shape.concepts
        fits = [(1 in self.shape.slots[layouts[0]]) == two for layouts in self.shape.layout_choices]
        likely = reading.arrangement[0].cpu().masked_fill(~torch.tensor(fits), -math.inf)
        return self.shape.layout_choices[int(likely.argmax())]

    @torch.no_grad()
    def propose(self, text: str, count: int, generator: torch.Generator) -> Proposals:
        """Return `count` proposals for a text; the same generator gives the same ones."""
        reading = self.read(text)
        codes = self.painter.codes(self.painter(self.understand(reading, count, generator)))
        return Proposals(codes, self.shape.ways[int(reading.style.argmax())])


def memory_file(prior: Path) -> Path:
    """Return where the memory of a prior's file is."""
    return prior.with_name(prior.name.replace("prior", "memory"))


def load_prior(path: Path, device: torch.device | str = "cpu") -> Prior:
    """Read a prior's file; its `config` metadata holds `kind` and the fields of `PriorShape`.

    The memory, which is as large as all else together, lies in a file beside it (`memory_file`).
    """
    tensors: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for file in (path, memory_file(path)):
        with safe_open(file, framework="pt") as handle:
            config |= json.loads(handle.metadata()["config"])
            tensors |= {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    prior = Prior(PriorShape.of(config))
    prior.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()})
    return prior.to(device).eval().requires_grad_(False)
