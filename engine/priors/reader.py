"""The reader: a text to the things, colours, ground, arrangement and style that it asks for."""

from typing import NamedTuple

import torch
from torch import nn

from engine.priors.shape import PriorShape


class Reading(NamedTuple):
    """The reader's logits: things, tints (batch, 2, n + 1), ground, style (batch, n + 1), arrangement (batch, n)."""

    things: torch.Tensor
    tints: torch.Tensor
    ground: torch.Tensor
    arrangement: torch.Tensor
    style: torch.Tensor


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
