"""What a sentence asks of a picture, as the prior's reader understands it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.colours import COLOURS
from engine.priors import Prior
from engine.prompts import with_article
from engine.regions import BEHIND, FLOOR, SKY

SURE = 0.75
"""How likely a reading has to be."""
COLOUR_WORDS: dict[str, str] = {
    **{name: name for name in COLOURS},
    "scarlet": "red",
    "crimson": "red",
    "golden": "yellow",
    "gold": "yellow",
    "violet": "purple",
    "lilac": "purple",
    "gray": "grey",
    "silver": "grey",
    "teal": "turquoise",
    "cyan": "turquoise",
    "navy": "dark blue",
    "lime": "light green",
    "cream": "beige",
}
_COLOUR = re.compile(r"\b(" + "|".join(sorted(COLOUR_WORDS, key=len, reverse=True)) + r")\b", re.IGNORECASE)
_WEATHER = {
    "night": r"night|nighttime|midnight|moonlight|under the stars|in the dark",
    "sunset": r"sunset|sunrise|dusk|dawn|evening|golden hour",
    "fog": r"fog|foggy|mist|misty|haze|hazy",
    "rain": r"rain|rainy|raining|storm|stormy|thunderstorm",
    "snow": r"snow|snowy|snowing|winter|wintry|blizzard",
}
_OF_WEATHER = {"fog": "foggy|misty|hazy", "rain": "rainy|raining|stormy"}
_IN = r"(?:at|by|during|in|on|over|through|under|with|and) "
_SAID_OF_ALL = re.compile(rf"\b(at |in |by |during )?(an? |the )?({'|'.join(_WEATHER.values())})\b", re.IGNORECASE)
_GROUNDS = "|".join((*BEHIND, *SKY, *FLOOR))
_GROUND = re.compile(rf"\b(on|in front of|against|with|under|in)? ?(an? |the )?({_GROUNDS})\b", re.IGNORECASE)
_NO_THING = ("a", "an", "the", "of", "on", "in", "with", "at", "and", "is", "under")


@dataclass(frozen=True)
class Intent:
    """What a sentence names; None or "": not named."""

    thing: int | None = None
    """Index in the prior's memory."""
    tint: str | None = None
    """The thing's colour, a name of `COLOURS`."""
    ground: int | None = None
    """Index of a ground that the prior paints; the first are those of `COLOURS`."""
    way: str = ""
    """A way of drawing, a name of `engine.drawings.DRAWINGS`."""
    place: str = ""
    """The part of the ground that is named in a colour: sky, table, ..."""
    weather: str = ""
    """Weather or a time of day, a name of `engine.weather.WEATHER`."""

    @property
    def ground_colour(self) -> str | None:
        """Return the colour of a plain ground."""
        names = tuple(COLOURS)
        return names[self.ground] if self.ground is not None and self.ground < len(names) else None

    def without(self, other: "Intent") -> "Intent":
        """Return what this sentence asks for that another did not: what differs between them."""
        kept = replace(
            self,
            tint=None if self.tint == other.tint else self.tint,
            ground=None if self.ground == other.ground else self.ground,
            place="" if self.ground == other.ground else self.place,
            way="" if self.way == other.way else self.way,
            weather="" if self.weather == other.weather else self.weather,
        )
        return replace(kept, thing=None) if self.thing == other.thing else kept


def read_intent(prior: Prior, text: str) -> Intent:
    """Read a sentence.

    Colours that belong to a thing's name (a red apple, a green apple) are read as its tint, so that a red apple and a
    green one are the same thing in two colours.
    """
    reading, shape, names = prior.read(text), prior.shape, tuple(COLOURS)
    full_thing, thing = _sure(reading.things[0, 0]), _bare_thing(prior, text)
    ground = _known(_sure(reading.ground[0]), shape.grounds)
    tint = _known(_sure(reading.tints[0, 0]), shape.tints)
    colour = None if tint is None else names[tint]
    placed = re.search(rf"{_COLOUR.pattern} ({_GROUNDS})\b", text, re.IGNORECASE)
    if placed:
        ground = names.index(COLOUR_WORDS[placed[1].lower()])
    said = [COLOUR_WORDS[word.lower()] for word in _COLOUR.findall(text)]
    if placed and len(said) == 1:
        colour = None
    elif colour is None and said and (ground is None or len(said) > 1) and (thing is None or full_thing != thing):
        colour = said[0]
    style = _known(_sure(reading.style[0]), len(shape.ways) - 1)
    weather = next((name for name, words in _WEATHER.items() if re.search(rf"\b({words})\b", text, re.IGNORECASE)), "")
    way = "" if style is None or weather == "night" else shape.ways[style]
    place = placed[2].lower() if placed and placed[2].lower() not in BEHIND else ""
    return Intent(thing=thing, tint=colour, ground=ground, way=way, place=place, weather=weather)


def split_weather(text: str, weathers: Sequence[str]) -> tuple[str, str]:
    """Return which of some weathers of `engine.weather.WEATHER` a text says its thing is in, and the rest of the text.

    "" and the whole text where it says none, where weather is the thing itself (a sunset over mountains), or a part of
    the thing's name (a storm cloud, rain boots).
    """
    for weather in weathers:
        beside = rf"(?:\b{_IN}(?:an? |the )?(?:\w+ )?|(?<=,))\s*(?:{_WEATHER[weather]})\b(?=\s*(?:$|[,.;!]|{_IN}))"
        said = f"{beside}|\\b(?:{_OF_WEATHER[weather]})\\b" if weather in _OF_WEATHER else beside
        rest, found = re.subn(said, " ", text, flags=re.IGNORECASE)
        rest = re.sub(r"(\s*,)+", ",", " ".join(rest.split())).strip(", ")
        if found and any(word.lower() not in _NO_THING for word in rest.split()):
            return weather, rest
    return "", text


def _bare_thing(prior: Prior, text: str) -> int | None:
    """Read the thing without its colour, its ground and its weather."""
    bare = _SAID_OF_ALL.sub(" ", _GROUND.sub(" ", _COLOUR.sub(" ", text)))
    words = [word for word in bare.split() if word.lower() not in _NO_THING]
    if not words:
        return None
    return _known(_sure(prior.read(" ".join(bare.split())).things[0, 0]), prior.shape.concepts)


def noun_of(prior: Prior, text: str, thing: int) -> str:
    """Return the words of a text that name a thing, with an article."""
    words = re.findall(r"[\w'-]+", _COLOUR.sub("", text).lower())
    phrases = [" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1)]
    phrases = [phrase for phrase in phrases if phrase not in _NO_THING] or [text]
    scored = [(float(prior.read(with_article(p)).things[0, 0].softmax(0)[thing]), -len(p), p) for p in phrases]
    best = max(score for score, _, _ in scored)
    return with_article(_shortest(scored, best))


def _shortest(scored: list[tuple[float, int, str]], best: float) -> str:
    return max((one for one in scored if one[0] > 0.8 * best), key=lambda one: one[1])[2]


def _sure(logits: Tensor) -> int | None:
    best = torch.softmax(logits, 0).max(0)
    return int(best.indices) if float(best.values) >= SURE else None


def _known(index: int | None, count: int) -> int | None:
    return None if index is None or index >= count else index
