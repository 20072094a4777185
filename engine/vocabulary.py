"""What a pair of networks knows: reads a prompt as they were taught to, and says which words mean nothing to them."""

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Self

from engine.spec import PaintingSpec
from engine.third_party import tokenizer

UNKNOWN_WORDS = "These networks "  # how its notice begins
INSTEAD = "imagenet-16384 and ViT-B/32"  # networks to fetch where words are missed
NAMED_AT_MOST = 8
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*", re.UNICODE)
_MODIFIERS = re.compile("[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\u2640\u2642]")  # of an emoji: its form, skin, sex
_JOINER = "\u200d"
_MAN_OR_WOMAN, _ADULT = re.compile(f"[\U0001f468\U0001f469](?={_JOINER})"), "\U0001f9d1"  # at work
_IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "dice": "dice",
    "oxen": "ox",
    "leaves": "leaf",
    "loaves": "loaf",
}
_ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""))
_LONG, _SHORTEST = 6, 4  # letters: of shorter words only a missing or doubled letter is taken for a slip
_ALIKE, _SHORT_ALIKE = 0.8, 0.85  # of difflib's measure


@dataclass(frozen=True)
class Vocabulary:
    """Phrases that mean something to the networks, words that nobody misses, and the names of emoji."""

    phrases: frozenset[str]
    """In lower case, words apart by single spaces."""
    silent: frozenset[str]
    emoji: Mapping[str, str]
    _longest: int = field(init=False, default=1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_longest", max((phrase.count(" ") + 1 for phrase in self.phrases), default=1))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file that `training.vocabulary` writes."""
        data = json.loads(path.read_text())
        return cls(frozenset(data["phrases"]), frozenset(data["silent"]), data["emoji"])

    def read(self, text: str) -> str:
        """Return a text as the networks know its words: emoji by name, slips of spelling mended, compounds apart."""
        return _WORD.sub(lambda word: self._mended(word[0]), self._spelt_out(text))

    def unknown_words(self, texts: Iterable[str]) -> list[str]:
        """Return the words of texts that mean nothing to the networks, each once, as they were written."""
        found = [word for text in texts for word, known in self._parsed(text) if known is False]
        return list(dict.fromkeys(found))

    def knows_any(self, texts: Iterable[str]) -> bool:
        """Return whether anything in the texts means something to the networks."""
        return any(known for text in texts for _, known in self._parsed(text))

    def notice(self, texts: Iterable[str]) -> str | None:
        """Return the line that says what the networks do not know, None if that is nothing."""
        texts = list(texts)
        unknown = self.unknown_words(texts)
        if not unknown:
            return None
        listed = ", ".join(f"“{word}”" for word in unknown[:NAMED_AT_MOST])
        listed += " and others" if len(unknown) > NAMED_AT_MOST else ""
        if not self.knows_any(texts):
            return (
                f"{UNKNOWN_WORDS}know none of these words ({listed}): they read simple English, and paint "
                f"something else. fetch {INSTEAD} for networks that do."
            )
        return (
            f"{UNKNOWN_WORDS}do not know {listed}; they paint the nearest that they know. "
            f"fetch {INSTEAD} for networks that do."
        )

    def _parsed(self, text: str) -> Iterator[tuple[str, bool | None]]:
        """Yield the words of a text, longest phrases first, each with True, False, or None where nobody misses it."""
        written = _WORD.findall(self._spelt_out(text))
        mended = [self._mended(word).split() for word in written]
        words = [(_plain(part), word) for word, parts in zip(written, mended, strict=True) for part in parts]
        words += [(character, character) for character in text if unicodedata.category(character) == "So"
                  and not self._name_of(character)]  # fmt: skip
        at = 0
        while at < len(words):
            length = self._phrase_at([plain for plain, _ in words], at)
            if length:
                yield " ".join(word for _, word in words[at : at + length]), True
            else:
                plain, word = words[at]
                yield (
                    word,
                    None if plain in self.silent or plain.isdigit() or (len(plain) == 1 and plain.isascii()) else False,
                )
            at += length or 1

    def _phrase_at(self, words: list[str], at: int) -> int:
        """Return how many words from `at` on are one known phrase, 0 for none."""
        for length in range(min(self._longest, len(words) - at), 0, -1):
            *before, last = words[at : at + length]
            if any(" ".join((*before, form)) in self.phrases for form in singulars(last)):
                return length
        return 0

    def _mended(self, word: str) -> str:
        """Return a word, or what was meant by it where that is plain."""
        plain = _plain(word)
        if not plain.isascii() or any(form in self._singles or form in self.silent for form in singulars(plain)):
            return word
        if plain in self._joined:
            return self._joined[plain]
        if len(plain) < _SHORTEST or plain.isdigit() or len(tokenizer().encode(plain)) == 1:  # a word of its own
            return word
        return self._apart(plain) or self._nearest(plain) or word

    def _apart(self, word: str) -> str | None:
        """Return two things written as one word."""
        for cut in range(3, len(word) - 2):
            first, second = word[:cut], word[cut:]
            if first in self.phrases and any(form in self.phrases for form in singulars(second)):
                return f"{first} {second}"
        return None

    def _nearest(self, word: str) -> str | None:
        """Return the known word that this is a slip of."""
        alike = _ALIKE if len(word) >= _LONG else _SHORT_ALIKE
        others = [other for other in self._singles if other[0] == word[0] and abs(len(other) - len(word)) < 3]
        return next(iter(difflib.get_close_matches(word, sorted(others), 1, alike)), None)

    @cached_property
    def _singles(self) -> frozenset[str]:
        """All words of phrases."""
        return frozenset(word for phrase in self.phrases for word in phrase.split())

    @cached_property
    def _joined(self) -> dict[str, str]:
        """Phrases by what they are when written as one word."""
        return {phrase.replace(" ", ""): phrase for phrase in self.phrases if " " in phrase}

    def _spelt_out(self, text: str) -> str:
        """Replace emoji by their names."""
        if text.isascii() or not self._emoji_pattern:
            return text
        bare = _MAN_OR_WOMAN.sub(_ADULT, _MODIFIERS.sub("", text))
        return " ".join(self._emoji_pattern.sub(lambda one: f" {self._name_of(one[0])} ", bare).split())

    def _name_of(self, emoji: str) -> str:
        return self.emoji.get(emoji, "")

    @cached_property
    def _emoji_pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.emoji, key=len, reverse=True)
        return re.compile(f"(?:{'|'.join(map(re.escape, longest_first))}){_JOINER}?") if longest_first else None


def unknown_words_notice(spec: PaintingSpec, vocabulary: Vocabulary | None) -> str | None:
    """Return the line that says which words of a painting mean nothing to its networks, None if that is nothing.

    Published perceptors know more words than could be listed; only the embedded one alone is asked.
    """
    if vocabulary is None or any(choice.name != "embedded" for choice in spec.perceptors):
        return None
    texts = [prompt.content for prompt in spec.prompts if prompt.kind == "text"]
    return vocabulary.notice([*texts, *(words for words in (spec.edit_from, spec.mask_text) if words)])


@cache
def shipped_vocabulary(path: Path) -> Vocabulary:
    """Return the vocabulary in a file, read once."""
    return Vocabulary.load(path)


def singulars(word: str) -> Iterator[str]:
    """Yield a word, and what it may be the plural of."""
    yield word
    if word in _IRREGULAR:
        yield _IRREGULAR[word]
    for ending, singular in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            yield word.removesuffix(ending) + singular


def plain_words(text: str) -> list[str]:
    """Return the words of a text as phrases hold them."""
    return [_plain(word) for word in _WORD.findall(text)]


def _plain(word: str) -> str:
    """Return a word in lower case without accents and possessive."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub("['’]s?$", "", plain).replace("’", "'")
