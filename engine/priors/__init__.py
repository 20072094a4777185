"""A text → codes prior: reads a text into what it asks for, then fills the generator's grid of codes in one pass.

The reader names the things, their colours, the ground and the arrangement (`reader`); what the text leaves open is
chosen by rules (`choices`); the transformer paints it (`transformer`).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import nn

from engine.priors.choices import choose_conditions
from engine.priors.reader import Reader, Reading
from engine.priors.shape import PriorShape
from engine.priors.transformer import PriorTransformer
from engine.third_party import tokenizer
from engine.vocabulary import Vocabulary


class Proposals(NamedTuple):
    """What a painting could start from."""

    codes: torch.Tensor
    """(count, side, side), long, on the generator's grid."""
    way: str
    """How they are to be drawn (`engine.drawings`), "" for as they are."""


class Prior(nn.Module):
    """Propose codes for a text."""

    token_rows: torch.Tensor

    def __init__(self, shape: PriorShape) -> None:
        super().__init__()
        self.shape = shape
        self.reader = Reader(shape)
        self.transformer = PriorTransformer(shape)
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

    @torch.no_grad()
    def propose(self, text: str, count: int, generator: torch.Generator) -> Proposals:
        """Return `count` proposals for a text; the same generator gives the same ones."""
        reading = self.read(text)
        conditions = choose_conditions(reading, self.shape, count, generator)
        codes = self.transformer.codes(self.transformer(conditions))
        return Proposals(codes, self.shape.ways[int(reading.style.argmax())])


def memory_file(prior: Path) -> Path:
    """Return where the memory of a prior's file is."""
    return prior.with_name(prior.name.replace("prior", "memory"))


def load_prior(path: Path, device: torch.device | str = "cpu") -> Prior:
    """Read a prior's file; its `config` metadata holds `kind` and the fields of `PriorShape`.

    The memory, which is as large as all else together, lies in a file beside it (`memory_file`). In both, the tensors
    of the transformer are called `painter`.
    """
    tensors: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for file in (path, memory_file(path)):
        with safe_open(file, framework="pt") as handle:
            config |= json.loads(handle.metadata()["config"])
            tensors |= {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    prior = Prior(PriorShape.of(config))
    named = {name.replace("painter.", "transformer.", 1): tensor for name, tensor in tensors.items()}
    prior.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in named.items()})
    return prior.to(device).eval().requires_grad_(False)
