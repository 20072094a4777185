"""Sizes and vocabularies of a prior, as its file holds them."""

from dataclasses import dataclass, fields
from typing import Any


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
