"""What a text leaves open, and how it is chosen: by these rules, written by hand, and at random.

- Of the arrangements, the likeliest that has as many places as there are things.
- Of its layouts, and of the artists of a style, any, all alike.
- A ground that the text names is taken. Otherwise one that suits the first thing, as often as its surroundings say,
  never in the colour of a thing; the same for all proposals, since of several a perceptor nearly always likes the
  darkest best.
"""

import math

import torch
from torch import Tensor

from engine.priors.reader import Reading
from engine.priors.shape import PriorShape
from engine.priors.transformer import Conditions


def choose_conditions(reading: Reading, shape: PriorShape, count: int, generator: torch.Generator) -> Conditions:
    """Return the conditions that a reading of one text asks for, `count` times, with its open questions answered."""
    device = reading.things.device

    def draw(shares: Tensor) -> Tensor:
        return torch.multinomial(shares.to(generator.device), count, True, generator=generator).to(device)

    layouts = torch.tensor(_layouts(reading, shape))
    return Conditions(
        things=reading.things.argmax(-1).expand(count, 2),
        tints=reading.tints.argmax(-1).expand(count, 2),
        ground=draw(_grounds(reading, shape))[:1].expand(count),
        layout=layouts.to(device)[draw(torch.ones(len(layouts)))],
        style=draw(_artists(reading, shape)),
    )


def _artists(reading: Reading, shape: PriorShape) -> Tensor:
    """Return the share of each artist: alike for those of the likeliest style."""
    shares = torch.zeros(shape.styles)
    shares[list(shape.style_choices[int(reading.style.argmax())])] = 1
    return shares


def _grounds(reading: Reading, shape: PriorShape) -> Tensor:
    """Return the share of each ground: all of it the named one's, or as the first thing's surroundings have it."""
    named = int(reading.ground.argmax())
    if named < shape.grounds:
        return torch.eye(shape.grounds)[named]
    first = int(reading.things[0, 0].argmax())
    kind = shape.ground_of[first] if first < shape.concepts else 0
    shares = torch.tensor(shape.ground_kinds[kind])
    for tint in reading.tints.argmax(-1).flatten().tolist():
        if tint < shape.tints:  # the grounds begin with the tints, plain and then graded
            shares[[tint, tint + shape.tints]] = 0
    return shares


def _layouts(reading: Reading, shape: PriorShape) -> tuple[int, ...]:
    """Return the layouts of the likeliest arrangement with as many places as there are things."""
    two = int(reading.things[0, 1].argmax()) < shape.concepts
    fits = [(1 in shape.slots[layouts[0]]) == two for layouts in shape.layout_choices]
    likely = reading.arrangement[0].cpu().masked_fill(~torch.tensor(fits), -math.inf)
    return shape.layout_choices[int(likely.argmax())]
