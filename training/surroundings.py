"""Where things stand when a text names no ground (`surroundings.txt`): shares of the grounds for each kind."""

from pathlib import Path

from training.scenes import GROUNDS

FILE = Path(__file__).with_name("surroundings.txt")
# What everything else stands on: a thing shows best on something plain, light and friendly.
PLAIN = {
    **{f"{colour} gradient": 2.0 for colour in ("light blue", "light green", "beige", "pink", "turquoise", "yellow")},
    **dict.fromkeys(("light blue", "light green", "beige", "white", "yellow", "turquoise"), 1.0),
    **{f"{colour} gradient": 0.7 for colour in ("orange", "purple", "blue")},
    "paper": 0.7,
}
SHARES: dict[str, dict[str, float]] = {
    "sea": {"sea": 6, "light blue gradient": 1, "blue gradient": 1, "turquoise gradient": 1, "desert": 0.6},
    "sky": {"sky": 6, "light blue gradient": 1.5, "blue gradient": 1, "meadow": 0.7},
    "space": {"space": 5, "night": 2, "dark blue gradient": 1, "purple gradient": 1},
    "night": {"night": 5, "dark blue gradient": 1.5, "purple gradient": 1, "space": 0.5},
    "snow": {"snow": 5, "light blue gradient": 1.5, "sky": 0.7},
    "desert": {"desert": 5, "beige gradient": 1, "orange gradient": 1, "sky": 0.7},
    "meadow": {"meadow": 5, "sky": 1.2, "light green gradient": 1, "light blue gradient": 1, "beige gradient": 0.5},
}
KINDS = ("", *SHARES)


def read_surroundings() -> dict[str, str]:
    """Return the kind of each thing that has one, by its first name."""
    lines = (line for line in FILE.read_text().splitlines() if line and not line.startswith("#"))
    return {name.strip(): kind for kind, names in (line.split(":") for line in lines) for name in names.split(",")}


def ground_kinds() -> tuple[tuple[float, ...], ...]:
    """Return the shares of the grounds for each of KINDS, adding up to 1."""
    found = []
    for shares in (PLAIN, *SHARES.values()):
        whole = sum(shares.values())
        found.append(tuple(round(shares.get(ground, 0.0) / whole, 4) for ground in GROUNDS))
    return tuple(found)


def kinds_of(names: list[list[str]]) -> tuple[int, ...]:
    """Return the place among KINDS of each thing, by all its names."""
    known = read_surroundings()
    return tuple(KINDS.index(known.get(called[0], "")) for called in names)
