"""The prompt language: one grammar for the command line and for Discord.

a lighthouse | storm:0.5 | text:-0.3        parts between bars, a weight after a colon
a lighthouse::2 storm::0.5 --no text, fog   Midjourney's: `::weight` ends a part; `--no` pushes away
storm:0.5:0.8                               weight and stop
a lighthouse | noise=7::0.3                 towards a random point, the same for each number
a seed @0 | a tree @4                       in a film: from these seconds on
a beach --inside a ball --outside the sea   words for a part of the picture (a mask or a place), and for the rest
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_PARTS = 32
LONGEST = 2000
"""Characters of all words together; a perceptor reads some 300 of each part."""
LARGEST_WEIGHT = 100.0
FARTHEST = 4.9348
"""Largest squared spherical distance, pi^2 / 2, rounded down."""
NO_WEIGHT = -0.5
"""What `--no` words weigh, as in Midjourney."""

_NUMBER = r"[+-]?(?:(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:e[+-]?[0-9]+)?|nan|inf(?:inity)?)"
_DOUBLE = re.compile(rf":{{2,}}(?:({_NUMBER})(?::({_NUMBER}))?(?=[\s,;]|$))?", re.IGNORECASE)
# Straight after a word, or with a space before the colon: "rating: 5" is text.
_SINGLE = re.compile(rf"(?<=[^\s\d:])(?::|[ ]:[ ]?)({_NUMBER})(?:[ ]?:[ ]?({_NUMBER}))?$", re.IGNORECASE)
_ONLY_WEIGHT = re.compile(rf":{_NUMBER}(?::{_NUMBER})?", re.IGNORECASE)
_NOISE = re.compile(r"noise=([0-9]{1,10})", re.IGNORECASE)
_NO = re.compile(r"(?<![\w-])--no(?![\w‒–—―-])", re.IGNORECASE)
_SPOT = re.compile(r"(?<![\w-])--(inside|outside|no)(?![\w‒–—―-])", re.IGNORECASE)
_SINCE = re.compile(r"\s@(\d{1,4}(?:\.\d{1,3})?)s?\s*$")
_FLAG = re.compile(r"(?<![\w-])--([A-Za-z][\w-]*)")
_PHONE_WORDS = re.compile(r"(?<![\w-])[‒–—―](no|inside|outside)(?![\w‒–—―-])", re.IGNORECASE)
_PHONE_MINUS = re.compile(r"(?<=:)[‒–—―−](?=[0-9.])")
_FULL_WIDTH = {0xFF01 + index: 0x21 + index for index in range(94)}
_MENDED = str.maketrans("‘’‚‛“”„‟", "''''\"\"\"\"") | _FULL_WIDTH
"""Quotes of phones, and the full-width marks of Asian keyboards: a bar, a colon, digits."""
_JOINERS = "\u200c\u200d"  # what holds compound emoji and some scripts together


Where = Literal["everywhere", "inside", "outside"]


class BadPromptError(ValueError):
    """A prompt that cannot be painted; its text is one sentence for the person who wrote it."""


class Prompt(BaseModel):
    """Hold one target of the loss: a text, a picture or noise, how strongly it pulls, and when it stops pulling."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["text", "image", "noise"] = "text"
    content: str = Field(min_length=1)
    """The text, the path of the picture, or the seed of the noise in decimal digits."""
    weight: float = 1.0
    """Negative pushes away."""
    where: Where = "everywhere"
    """Whether it pulls cutouts by how much of them lies inside, or outside, of the spec's mask."""
    since: float | None = Field(default=None, ge=0)
    """From which second of a film it pulls, until the next such time; None: all the time."""
    stop: float | None = None
    """Cutouts past this distance (squared spherical, 0 to 4.93) are left alone: nearer than it to what is wanted,
    farther than it from what is not. None: never. The plain distance, where Crowson's notebook turns its sign with the
    weight's.
    """


def parse_prompts(text: str, negative: str = "", *, timed: bool = False) -> tuple[Prompt, ...]:
    """Read a prompt, and words to push away, into text prompts; raise `BadPromptError` with one sentence.

    `timed`: parts may say from which second of a film they hold, as in "a seed @0 | a tree @4".

    `:weight` or `:weight:stop` counts at the end of a part only, straight after a word or with a space before the
    colon, where that word ends in no digit and is no web address: so "at 9:30", "16:9", "chapter 3:2" and "rating: 5"
    are text, and "storm:0.5" and "storm : 0.5" weigh.
    `::weight` or `::weight:stop` always ends a part; a `::` with no number directly after it means weight 1.
    """
    everywhere, spots = _spots(_mended(text))
    wanted, *unwanted = _NO.split(everywhere)
    unwanted_too = _NO.split(_mended(negative))
    _refuse_flags(wanted, *unwanted, *unwanted_too, *(words for _, words in spots))
    if any("|" in words for words in unwanted):
        raise BadPromptError("Put `--no` last: everything after it is pushed away, separated by commas.")
    if any(not words.strip(" ,;:") for words in unwanted):
        raise BadPromptError("Write after `--no` what the picture should not show.")
    prompts = [prompt for part in wanted.split("|") for prompt in (_timed(part) if timed else _parts(part))]
    if not prompts and not spots:
        raise BadPromptError("Write what the picture should show.")
    for words in (*unwanted, *unwanted_too):
        prompts += _pushed_away(words)
    for where, words in spots:
        prompts += [prompt.model_copy(update={"where": where}) for part in words.split("|") for prompt in _parts(part)]
    _check_together(prompts)
    return tuple(prompts)


def format_prompts(prompts: tuple[Prompt, ...]) -> str:
    """Write prompts so that `parse_prompts` reads the same ones; image prompts are no text and left out."""

    def joined(where: Where) -> str:
        return " | ".join(_written(prompt) for prompt in prompts if prompt.kind != "image" and prompt.where == where)

    inside, outside = joined("inside"), joined("outside")
    return f"{joined('everywhere')}{inside and f' --inside {inside}'}{outside and f' --outside {outside}'}".strip()


def with_suffix(prompts: tuple[Prompt, ...], suffix: str) -> tuple[Prompt, ...]:
    """Add somebody's usual words, in the language of prompts; every weight and stop of `prompts` survives.

    Plain words go to the end of each text that pulls; parts between bars or with weights become parts of their own,
    and words after `--no` are pushed away. Raise `BadPromptError`, also where all of it becomes too long.
    """
    wanted, *unwanted = _NO.split(_mended(suffix))
    _refuse_flags(wanted, *unwanted)
    added = [prompt for part in wanted.split("|") for prompt in _parts(part)]
    longer = list(prompts)
    if len(added) == 1 and added[0] == Prompt(content=added[0].content):
        words = added.pop().content
        longer = [_with_words(prompt, words) for prompt in prompts]
    longer += [*added, *(prompt for words in unwanted for prompt in _pushed_away(words))]
    _check_together(longer)
    return tuple(longer)


def _timed(part: str) -> Iterator[Prompt]:
    """Read what stands between two bars, with the second from which it holds behind it."""
    found = _SINCE.search(part)
    for prompt in _parts(part[: found.start()] if found else part):
        yield prompt.model_copy(update={"since": float(found[1])}) if found else prompt


def _spots(text: str) -> tuple[str, list[tuple[Where, str]]]:
    """Take the words for a part of the picture out of a prompt: those inside first, then those outside."""
    first, *rest = _SPOT.split(text)
    everywhere, inside, outside = first, [], []
    for name, words in zip(rest[::2], rest[1::2], strict=True):
        if name.lower() == "no":
            everywhere += f" --no {words}"
        elif not words.strip(" ,;:|"):
            raise BadPromptError(f"Write after `--{name.lower()}` what is to be there.")
        else:
            (inside if name.lower() == "inside" else outside).append(words)
    spots: list[tuple[Where, str]] = [("inside", words) for words in inside]
    return everywhere, [*spots, *(("outside", words) for words in outside)]


def _refuse_flags(*texts: str) -> None:
    if flag := next((found[1] for text in texts if (found := _FLAG.search(text))), None):
        raise BadPromptError(f"There is no --{flag:.20} here: take it out, or write it without the two dashes.")


def _with_words(prompt: Prompt, words: str) -> Prompt:
    pulls = prompt.kind == "text" and prompt.weight > 0
    return prompt.model_copy(update={"content": f"{prompt.content}, {words}"}) if pulls else prompt


def _mended(text: str) -> str:
    """Undo what phones do to dashes and quotes, and drop invisible characters."""
    if len(text) > 10 * LONGEST:
        raise _too_long()
    visible = "".join(_shown(character) for character in text.translate(_MENDED))
    visible = _PHONE_WORDS.sub(r"--\1", " ".join(visible.split()))
    return _PHONE_MINUS.sub("-", visible)


def _shown(character: str) -> str:
    """Return "" for a control, a bidirectional override, half of a surrogate pair; a space for a line break."""
    if character.isspace():
        return " "
    is_flag_tag = "\U000e0020" <= character <= "\U000e007f"
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in _JOINERS and not is_flag_tag
    return "" if hidden else character


def _parts(text: str, weight: float = 1.0) -> Iterator[Prompt]:
    """Read what stands between two bars; `weight` is for words that name none."""
    start = 0
    for double in _DOUBLE.finditer(text):
        words = _trimmed(text[start : double.start()])
        start = double.end()
        if words:
            yield _prompt(words, double[1], double[2], weight)
        elif double[1]:
            raise BadPromptError(f"The weight '{double[0]:.20}' needs words before it.")
    rest = text[start:].strip()
    if _ONLY_WEIGHT.fullmatch(rest):
        raise BadPromptError(f"The weight '{rest:.20}' needs words before it.")
    single = None if "://" in rest.rpartition(" ")[2] else _SINGLE.search(rest)
    words = _trimmed(rest[: single.start()] if single else rest)
    if words:
        yield _prompt(words, single and single[1], single and single[2], weight)
    elif single:
        raise BadPromptError(f"The weight '{single[0]:.20}' needs words before it.")


def _pushed_away(text: str) -> Iterator[Prompt]:
    """Read words separated by commas or bars; their weights, where given, count as negative."""
    for item in re.split(r"\||,(?![0-9])", text):
        for prompt in _parts(item, NO_WEIGHT):
            yield prompt.model_copy(update={"weight": -abs(prompt.weight)})


def _trimmed(words: str) -> str:
    return words.lstrip(" ,;").rstrip(" ,;:")


def _prompt(words: str, weight: str | None, stop: str | None, default: float) -> Prompt:
    noise = _NOISE.fullmatch(words)
    kind, content = ("noise", noise[1]) if noise else ("text", words)
    pull = _number(weight) if weight else default
    if not abs(pull) <= LARGEST_WEIGHT:
        raise BadPromptError(f"The weight '{weight:.20}' must be from {-LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}.")
    if stop is None:
        return Prompt(kind=kind, content=content, weight=pull)
    distance = _number(stop)
    if not 0 <= distance <= FARTHEST:
        raise BadPromptError(f"The stop '{stop:.20}' must be a distance from 0 to {FARTHEST:.2f}.")
    return Prompt(kind=kind, content=content, weight=pull, stop=distance)


def _number(text: str) -> float:
    """Read a number, with a decimal comma if need be; zero has no sign."""
    return float(text.replace(",", ".")) + 0.0


def _check_together(prompts: list[Prompt]) -> None:
    if len(prompts) > MOST_PARTS:
        raise BadPromptError(f"A prompt can have at most {MOST_PARTS} parts, this one has {len(prompts)}.")
    if sum(len(prompt.content) for prompt in prompts) > LONGEST:
        raise _too_long()
    if sum(prompt.weight for prompt in prompts) <= 0:
        raise BadPromptError("The weights of all parts must add up to more than zero.")


def _too_long() -> BadPromptError:
    return BadPromptError(f"A prompt can have at most {LONGEST} characters.")


def _written(prompt: Prompt) -> str:
    since = "" if prompt.since is None else f" @{prompt.since:g}"
    return _written_without_time(prompt) + since


def _written_without_time(prompt: Prompt) -> str:
    weight = repr(prompt.weight).removesuffix(".0")
    content = f"noise={prompt.content}" if prompt.kind == "noise" else prompt.content
    if prompt.stop is not None:
        return f"{content}::{weight}:{prompt.stop!r}"
    return content if _reads_as(content, prompt) else f"{content}::{weight}"


def _reads_as(words: str, prompt: Prompt) -> bool:
    """Say whether the words alone read as this prompt, as they do unless they look like they end in a weight."""
    try:
        return list(_parts(words)) == [prompt.model_copy(update={"where": "everywhere", "since": None})]
    except BadPromptError:
        return False


def with_article(words: str) -> str:
    """Put "a" or "an" before words that begin with no article: perceptors know things by phrases like "a dog"."""
    if words.split()[:1] and words.split(maxsplit=1)[0].lower() in ("a", "an", "the"):
        return words
    return f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}"
