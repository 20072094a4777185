"""Finding blocked words however they are spelt, in time that grows with the text and never faster.

All words run through the text at once as one automaton whose states are the bits of a number (Shift-And: Baeza-Yates
and Gonnet 1992), so no word and no text makes it go back.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

_STANDS_FOR = {
    "a": "4@",
    "b": "8",
    "e": "3€",
    "g": "9",
    "i": "1!|",
    "l": "1|",
    "o": "0",
    "s": "5$",
    "t": "7+",
    "z": "2",
}
_LOOK_ALIKES = str.maketrans(
    "авекмнорстухіјѕԁɡαβεικνορτυχƒøłđıß", "abekmhopctyxijsdgabeiknoptuxfoldis"
)  # Cyrillic, Greek, Latin
_TOKEN = re.compile(r"[^\W_]+|[\s._*\-]+|[\W_]")
_BETWEEN = re.compile(r"[\s._*\-]+")


def blocked_word(text: str, words: Iterable[str]) -> str | None:
    """Return one of `words` that `text` contains as a whole word, or None.

    Case, accents, invisible characters, look-alike letters, digits and signs in place of letters, repeated letters and
    l e t t e r s spelt out do not hide it.
    """
    automaton = _automaton(frozenset(words))
    plain = plain_text(text)
    found = map(automaton.find, dict.fromkeys((plain, *_joined(plain))))
    return next((word for word in found if word is not None), None)


def plain_text(text: str) -> str:
    """Reduce text to what a reader sees in it: no case, no accents, nothing invisible, Latin for look-alikes."""
    seen = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    visible = "".join(c for c in seen if unicodedata.category(c) not in ("Mn", "Me", "Cf", "Cc") or c in "\n\t")
    return visible.translate(_LOOK_ALIKES)


def _joined(plain: str) -> Iterator[str]:
    """Write single letters with only spaces, dots, lines or stars between them as one word.

    The first or the last of them may be a word of its own, as in `a w o r d`: so each is also left apart.
    """
    tokens = ["", *_TOKEN.findall(plain), ""]
    single = [len(token) == 1 and token.isalnum() for token in tokens]
    pairs = [place for place in range(1, len(tokens) - 1) if single[place - 1] and single[place + 1]]
    gaps = {place for place in pairs if _BETWEEN.fullmatch(tokens[place])}
    first = {place for place in gaps if place - 2 not in gaps}
    last = {place for place in gaps if place + 2 not in gaps}
    for left_out in (gaps, gaps - first, gaps - last, gaps - first - last):
        yield "".join(["" if place in left_out else token for place, token in enumerate(tokens)])


@dataclass(frozen=True, slots=True)
class _Automaton:
    """Hold one bit for each letter of each word; a set bit says that the word matches up to there."""

    words: tuple[str, ...]
    firsts: tuple[int, ...]
    """The number of each word's first bit."""
    begin: int
    go_on: int
    """All bits but the first ones."""
    end: int
    end_of_numbers: int
    """The last bits of words without a letter. Of the others a match without a letter is a number: 455 is no word."""
    repeat: int
    """The bits of what may come more than once."""
    accepts: dict[str, int]
    """The bits that a character may set."""
    accepts_signs: int
    """The bits that all may set that are neither letters nor digits: gaps between the parts of a word."""

    def find(self, plain: str) -> str | None:
        """Return a word that `plain` contains with no letter or digit right before or after it, or None."""
        matched = with_letter = 0
        after_alphanumeric = False
        for character in plain:
            alphanumeric = character.isalnum()
            if not alphanumeric and (hits := self._hits(matched, with_letter)):
                return self._word(hits)
            accepted = self.accepts.get(character, 0) | (0 if alphanumeric else self.accepts_signs)
            begun = 0 if after_alphanumeric else self.begin
            matched = ((matched << 1) & self.go_on | matched & self.repeat | begun) & accepted
            with_letter = ((with_letter << 1) & self.go_on | with_letter & self.repeat) & accepted
            if character.isalpha():
                with_letter = matched
            after_alphanumeric = alphanumeric
        hits = self._hits(matched, with_letter)
        return self._word(hits) if hits else None

    def _hits(self, matched: int, with_letter: int) -> int:
        return with_letter & self.end | matched & self.end_of_numbers

    def _word(self, hits: int) -> str:
        return self.words[bisect_right(self.firsts, (hits & -hits).bit_length() - 1) - 1]


@lru_cache(maxsize=64)
def _automaton(words: frozenset[str]) -> _Automaton:
    known: list[str] = []
    firsts: list[int] = []
    accepts: dict[str, int] = {}
    signs = repeat = end = end_of_numbers = bit = 0
    for word in sorted(words):
        plain = " ".join(plain_text(word).split())
        if not plain:
            continue
        known.append(word)
        firsts.append(bit)
        for place, letter in enumerate(plain):
            mask = 1 << bit
            if letter == " ":
                signs |= mask
            for spelling in "" if letter == " " else letter + _STANDS_FOR.get(letter, ""):
                accepts[spelling] = accepts.get(spelling, 0) | mask
            if plain[place + 1 : place + 2] != letter:
                repeat |= mask
            bit += 1
        end |= 1 << (bit - 1)
        if not any(letter.isalpha() for letter in word):
            end_of_numbers |= 1 << (bit - 1)
    begin = sum(1 << first for first in firsts)
    everything = (1 << bit) - 1
    return _Automaton(
        tuple(known), tuple(firsts), begin, everything & ~begin, end, end_of_numbers, repeat, accepts, signs
    )
