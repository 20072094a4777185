"""Write down what the pair knows: `python -m training.vocabulary --data FILE --out models/embedded-vocabulary.json`.

The words come from where captions are made: the things' names and keywords, colours, grounds, ways of drawing, numbers
and arrangements. Words that captions hold but no picture shows ("oil on canvas", "wooden") are not among them.
"""

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.vocabulary import plain_words
from training.captions import (
    GRADIENT_WORDS,
    GROUND_WORDS,
    LARGE,
    NUMBERS,
    OTHER_COLOUR_WORDS,
    PATTERN_WORDS,
    SCENE_WORDS,
    SMALL,
    STYLE_WORDS,
    TEXTURE_WORDS,
    Writer,
)

SHORT = """a an the and or of on in at by to with without from for as is are be it its this that these those my your his
her their our i you he she we they me him us them there here some any each every all no not one other another both into
onto over under above below behind beside between near next front top left right side middle up down out off around
through against along across inside outside together very so too just like made make showing shows show please draw
paint painted drawn picture pictures image drawing painting illustration photo photograph emoji icon art artwork clip
cartoon style background wall plain coloured colored colour color colours colors scene view kind sort something digital
simple quality high detailed masterpiece minimalist cute nice beautiful pretty lovely wonderful sweet funny single good
best amazing awesome cool great really who what which when where while has have having been being do does can will
little new"""
"""Words that nobody misses: they ask for no thing, or for what every picture of the pair is."""


def grounds() -> list[str]:
    """Return the words of grounds, of patterns and of textures, as single words."""
    frames = [*GROUND_WORDS, *GRADIENT_WORDS, *(frame for frames in PATTERN_WORDS.values() for frame in frames)]
    named = [words for some in (*SCENE_WORDS.values(), *TEXTURE_WORDS.values()) for words in some]
    return [word for text in (*frames, *named) for word in plain_words(text)]


def phrases(concepts: list[dict[str, Any]]) -> set[str]:
    """Return all that captions say and pictures show."""
    names = [concept["names"] for concept in concepts]
    keywords = Writer(names, [concept["keywords"] for concept in concepts]).keywords
    things: Iterable[str] = (noun for nouns in (*names, *keywords) for noun in nouns)
    colours = (word for words in OTHER_COLOUR_WORDS.values() for word in words)
    styles = (word for kinds in STYLE_WORDS.values() for kind in kinds for word in kind)
    numbers = (word for words in NUMBERS.values() for word in words)
    said = {" ".join(plain_words(text)) for text in (*things, *colours, *numbers, *LARGE, *SMALL)}
    return {phrase for phrase in said | set(grounds()) | _without_joints(styles) if phrase} - set(SHORT.split())


def _without_joints(texts: Iterable[str]) -> set[str]:
    """Return ways of drawing without the words that join them to a thing."""
    found = {" ".join(plain_words(text)) for text in texts}
    return {re.sub("^(a|an|the|in|as|by|at|made of) | (of|style)$", "", re.sub(" of$", "", text)) for text in found}


def build(table: dict[str, Any]) -> dict[str, Any]:
    """Return what the vocabulary's file holds."""
    concepts = table["concepts"]
    emoji = {c["emoji"].replace("\ufe0f", ""): c["names"][0] for c in concepts if c["emoji"]}
    return {"phrases": sorted(phrases(concepts)), "silent": sorted(SHORT.split()), "emoji": emoji}


def main() -> None:
    """Write the file from the command line."""
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table = json.loads(np.load(arguments.data)["table"].tobytes())
    arguments.out.write_text(json.dumps(build(table), ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main()
