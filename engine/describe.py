"""Say what a picture shows: the words of a list that a perceptor finds nearest (things, colours, styles, places)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from PIL import Image

from engine.perceptors import Perceptor
from engine.prompts import with_article
from engine.tensors import tensor_of

_WORDS = Path(__file__).with_name("describe_words.txt")
_HEADING = re.compile(r"^\[(.+)\]$", re.MULTILINE)
_AS_TEXT: Mapping[str, str] = {"things": "{}", "colours": "something {}", "styles": "{}", "places": "{}"}
_NAMED = {"things": 3, "colours": 2, "styles": 1, "places": 1}


@dataclass(frozen=True)
class Description:
    """The nearest words of each kind, best first, with their cosines."""

    words: Mapping[str, tuple[tuple[str, float], ...]]

    @property
    def prompt(self) -> str:
        """Return a prompt of the best words: the thing, its colour, the place and the style."""
        best = {kind: found[0][0] for kind, found in self.words.items() if found}
        thing = with_article(best["things"]) if "things" in best else "a picture"
        return ", ".join([thing, *(best[kind] for kind in ("colours", "places", "styles") if kind in best)])


@cache
def word_lists() -> Mapping[str, tuple[str, ...]]:
    """Return the words there are, by kind."""
    _, *parts = _HEADING.split(_WORDS.read_text(encoding="utf-8"))
    lists = {kind: lines.splitlines() for kind, lines in zip(parts[::2], parts[1::2], strict=True)}
    return {kind: tuple(line for line in lines if line and line[0] != "#") for kind, lines in lists.items()}


def known_words(perceptor: Perceptor) -> Mapping[str, tuple[str, ...]]:
    """Return the words that a perceptor knows: all, unless it comes with a vocabulary of its own."""
    vocabulary = perceptor.vocabulary
    if vocabulary is None:
        return word_lists()
    known = {kind: tuple(word for word in words if word in vocabulary.phrases) for kind, words in word_lists().items()}
    return {kind: words for kind, words in known.items() if words}


@torch.no_grad()
def describe(picture: Image.Image, perceptor: Perceptor) -> Description:
    """Find the words nearest to a picture, by cosine, of those that the perceptor knows."""
    whole = picture.convert("RGB").resize((perceptor.size, perceptor.size), Image.Resampling.LANCZOS)
    seen = perceptor.encode_image(tensor_of(whole, perceptor.mean.device))[0]
    found: dict[str, tuple[tuple[str, float], ...]] = {}
    for kind, words in known_words(perceptor).items():
        texts = [with_article(word) if kind == "things" else _AS_TEXT[kind].format(word) for word in words]
        cosines = perceptor.encode_list(texts) @ seen
        best = cosines.topk(min(_NAMED[kind], len(words)))
        found[kind] = tuple(
            (words[index], cosine) for index, cosine in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        )
    return Description(found)
