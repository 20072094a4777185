"""What decides a run of the prior: how long, how large, whose pictures, and which shape follows from a data set."""

import math
from dataclasses import dataclass
from typing import Any

from engine.priors.shape import PriorShape
from training.captions import ARRANGEMENTS, STYLES
from training.scenes import COLOURS, GROUNDS, LAYOUT_NAMES, LAYOUTS, WAYS, Mix, SpriteBank
from training.surroundings import ground_kinds, kinds_of

ARTISTS = ("fluent-flat", "noto", "twemoji", "fluent-3d")  # the vendors it paints like
# Which artists a style means; where a text names none, those that drew every concept.
ARTISTS_OF = {"flat": (0, 2), "3d": (3,)}
MIX = Mix(pair=0.12, copies=0.07, tinted=0.35, ground_shares=(0.5, 0.1, 0.2, 0.2))


@dataclass(frozen=True)
class PriorRun:
    """Everything that decides a run of the prior."""

    width: int = 256
    depth: int = 4
    heads: int = 4
    pictures: int = 12_000  # in each part
    parts: int = 2
    encode_batch: int = 40
    read_steps: int = 1000
    read_batch: int = 160
    paint_steps: int = 1600
    paint_batch: int = 64
    lr: float = 1.5e-3
    seed: int = 0


RUNS = {
    "cpu": PriorRun(),
    "gpu": PriorRun(
        depth=5,
        pictures=40_000,
        parts=10,
        encode_batch=400,
        read_steps=6000,
        read_batch=320,
        paint_steps=40_000,
        paint_batch=512,
        lr=1e-3,
    ),
    "smoke": PriorRun(
        width=32, depth=1, heads=2, pictures=8, parts=1, read_steps=3, read_batch=4, paint_steps=3, paint_batch=4
    ),
}


def artist_vendors(table: dict[str, Any]) -> tuple[int, ...]:
    """Return the vendors whose pictures the prior learns, in the order of ARTISTS."""
    names = [vendor["vendor"] for vendor in table["vendors"]]
    return tuple(names.index(artist) for artist in ARTISTS)


def slot_map(side: int) -> tuple[tuple[int, ...], ...]:
    """Return, per layout, which of the two things each 2 x 2 patch of codes belongs to: the nearest one."""
    half = side // 2
    centres = [((column + 0.5) / half, (row + 0.5) / half) for row in range(half) for column in range(half)]
    slots = []
    for spots in LAYOUTS.values():
        nearest = [min(range(len(spots)), key=lambda k: math.dist(spots[k][:2], centre)) for centre in centres]
        slots.append(tuple(min(k, 1) for k in nearest))
    return tuple(slots)


def spots_of(side: int) -> tuple[tuple[tuple[int, int, int, int], ...], ...]:
    """Return, per layout, which thing stands where on the grid of codes, and from which memory table it comes."""
    found = []
    for name, places in LAYOUTS.items():
        if len(places) == 1:
            found.append(((0, LAYOUT_NAMES.index(name), 0, 0),))
        else:
            tops = [round((y - size / 2) * side) for _, y, size in places]
            lefts = [round((x - size / 2) * side) for x, _, size in places]
            found.append(tuple((min(k, 1), 2, tops[k], lefts[k]) for k in range(len(places))))
    return tuple(found)


def shape_of(run: PriorRun, bank: SpriteBank, side: int, codes: int, dim: int, tokens: int) -> PriorShape:
    """Return the prior's sizes for a data set and a generator."""
    return PriorShape(
        concepts=len(bank.table["concepts"]),
        tints=len(COLOURS),
        grounds=len(GROUNDS),
        styles=len(ARTISTS),
        style_choices=(*(ARTISTS_OF.get(style, (0, 1, 2)) for style in STYLES), (0, 1, 2)),
        ways=(*(style if style in WAYS else "" for style in STYLES), ""),
        slots=slot_map(side),
        layout_choices=tuple(tuple(LAYOUT_NAMES.index(name) for name in names) for names in ARRANGEMENTS.values()),
        spots=spots_of(side),
        ground_kinds=ground_kinds(),
        ground_of=kinds_of(bank.names()),
        side=side,
        codes=codes,
        code_width=dim,
        width=run.width,
        depth=run.depth,
        heads=run.heads,
        tokens=tokens,
    )
