"""Flags in a prompt, `a cat --ar 16:9 --seed 5`: one grammar for Discord, its forms and the command line."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from bot.escaping import bare
from bot.options import PaintingOptions, read_colours
from bot.refusals import Refusal
from engine.spec import MOST_PICTURES, PLACES, Looks

_DASHES = r"(?<![\w‒–—―-])(?:--|[‒–—―]{1,2})"
"""Two hyphens, or what phones make of them."""
_FLAG = re.compile(rf"{_DASHES}([A-Za-z][\w-]*)(?=[\s=]|$)")
_RATIO = re.compile(r"(\d{1,4})[:x×/](\d{1,4})")
_MOST_RATIO = 8
_MOST_INIT_WEIGHT = 10


def with_flags(options: PaintingOptions) -> PaintingOptions:
    """Take the flags out of a prompt and put what they say in the place of what the options say.

    `--no`, `--inside` and `--outside` and their words stay, behind everything else. Raise `Refusal`, which names a flag
    that there is not or that says nothing that can be used.
    """
    first, *flags = _parts(options.prompt)
    words, kept = [first[1]], []
    for name, after in flags:
        if name in _WORDS:
            kept.append(f"--{name} {after.strip()}")
            continue
        if name == "mask":
            options = _mask(options, after.strip())
            continue
        if name in _SWITCHES:
            options = dataclasses.replace(options, **{name: True})
            words.append(after)
            continue
        value, rest = _value(name, after)
        options = _READERS[name](options, value)
        words.append(rest)
    prompt = " ".join(part for part in (word.strip() for word in words) if part)
    return dataclasses.replace(options, prompt=" ".join([prompt, *kept]).strip())


def _parts(prompt: str) -> list[tuple[str, str]]:
    """Return what stands before the first flag, under no name, then each flag's name and what stands behind it."""
    parts, at, name = [], 0, ""
    for found in _FLAG.finditer(prompt):
        called = found[1].lower()
        if called not in flags():
            if found[0].startswith("--"):
                raise Refusal(
                    f"I do not know --{bare(found[1], 30)}; I know {', '.join(f'--{one}' for one in flags())}."
                )
            continue  # a dash before a word: ordinary text
        parts.append((name, prompt[at : found.start()]))
        name, at = called, found.end()
    return [*parts, (name, prompt[at:])]


def flags() -> tuple[str, ...]:
    """List the flags there are."""
    return (*_WORDS, *_READERS, "mask", *_SWITCHES)


def _value(name: str, after: str) -> tuple[str, str]:
    value, _, rest = after.lstrip(" =\t\n").partition(" ")
    if not value:
        raise Refusal(f"Write a value after --{name}, such as {_EXAMPLES[name]}.")
    return value, rest


def _mask(options: PaintingOptions, words: str) -> PaintingOptions:
    if not words:
        raise Refusal(f"Write after --mask one of {', '.join(PLACES)}, or of a picture to edit what may change.")
    if options.edit is None:
        return dataclasses.replace(options, mask_text=words)
    return dataclasses.replace(options, edit=dataclasses.replace(options.edit, mask_text=words))


def _ratio(options: PaintingOptions, value: str) -> PaintingOptions:
    found = _RATIO.fullmatch(value)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (width and height and max(width, height) <= _MOST_RATIO * min(width, height)):
        raise _bad("ar", value, f"two numbers such as 16:9, one at most {_MOST_RATIO} times the other")
    return dataclasses.replace(options, ratio=(width, height), size=None)


def _weight(options: PaintingOptions, value: str) -> PaintingOptions:
    weight = _number("iw", value, float)
    if not options.image_prompts:
        raise Refusal("--iw says how strongly a picture pulls: add one to paint towards.")
    pictures = tuple(prompt.model_copy(update={"weight": weight}) for prompt in options.image_prompts)
    return dataclasses.replace(options, image_prompts=pictures)


def _strength(options: PaintingOptions, value: str) -> PaintingOptions:
    strength = _number("strength", value, float)
    if options.edit is None:
        raise Refusal("--strength says how far an edit goes: it needs a picture to edit.")
    if not 0 < strength <= 1:
        raise _bad("strength", value, "more than 0 and at most 1")
    return dataclasses.replace(options, edit=dataclasses.replace(options.edit, strength=strength))


def _init_loss(name: str) -> Callable[[PaintingOptions, str], PaintingOptions]:
    def read(options: PaintingOptions, value: str) -> PaintingOptions:
        weight = _number(name, value, float)
        if options.edit is None:
            raise Refusal(f"--{name} holds an edit to its picture: it needs a picture to edit.")
        if not 0 <= weight <= _MOST_INIT_WEIGHT:
            raise _bad(name, value, f"a weight from 0 to {_MOST_INIT_WEIGHT}")
        return dataclasses.replace(options, fields={**options.fields, name.replace("-", "_"): weight})

    return read


def _palette(options: PaintingOptions, value: str) -> PaintingOptions:
    return _with_look(options, "palette", value, palette=read_colours(value))


def _edges(options: PaintingOptions, value: str) -> PaintingOptions:
    return _with_look(options, "edges", value, edges=read_colours(value)[0])


def _look(name: str) -> Callable[[PaintingOptions, str], PaintingOptions]:
    return lambda options, value: _with_look(options, name, value, **{name: _number(name, value, float)})


def _with_look(options: PaintingOptions, name: str, value: str, **changes: Any) -> PaintingOptions:
    try:
        return dataclasses.replace(options, looks=Looks(**{**options.looks.model_dump(), **changes}))
    except ValueError:  # the only thing that can be wrong by now
        expected = "at most 16 colours" if name == "palette" else "a weight from 0 to 10"
        raise _bad(name, value, "a weight from -10 to 10" if name == "saturation" else expected) from None


def _count(options: PaintingOptions, value: str) -> PaintingOptions:
    count = _number("count", value, int)
    if not 1 <= count <= MOST_PICTURES:
        raise _bad("count", value, f"1 to {MOST_PICTURES}")
    return dataclasses.replace(options, count=count)


def _whole(name: str) -> Callable[[PaintingOptions, str], PaintingOptions]:
    return lambda options, value: dataclasses.replace(options, **{name: _number(name, value, int)})


def _text(name: str) -> Callable[[PaintingOptions, str], PaintingOptions]:
    return lambda options, value: dataclasses.replace(options, **{name: value})


def _number(name: str, value: str, kind: type[Any]) -> Any:
    try:
        number = kind(value.replace(",", "."))
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e12:  # neither infinite nor no number at all
        raise _bad(name, value, "a whole number" if kind is int else "a number")
    return number


def _bad(name: str, value: str, expected: str) -> Refusal:
    return Refusal(f"--{name} takes {expected}, not {bare(value, 40)}.")


_READERS: dict[str, Callable[[PaintingOptions, str], PaintingOptions]] = {
    "ar": _ratio,
    "size": _text("size"),
    "seed": _whole("seed"),
    "steps": _whole("steps"),
    "count": _count,
    "preset": _text("preset"),
    "iw": _weight,
    "strength": _strength,
    "init-pixels": _init_loss("init-pixels"),
    "init-embedding": _init_loss("init-embedding"),
    "palette": _palette,
    "symmetry": _look("symmetry"),
    "saturation": _look("saturation"),
    "smoothness": _look("smoothness"),
    "edges": _edges,
}
_WORDS = ("no", "inside", "outside")
"""Parts of the prompt language (`engine/prompts.py`): their words go up to the next flag."""
_SWITCHES = ("tile",)
"""Options that are on where they are named."""
_EXAMPLES = {
    "ar": "16:9",
    "size": "512x384",
    "seed": "5",
    "steps": "200",
    "count": "4",
    "preset": "fine",
    "iw": "0.5",
    "strength": "0.7",
    "init-pixels": "1",
    "init-embedding": "1",
    "palette": "red,skyblue,#ffcc00",
    "symmetry": "1",
    "saturation": "1",
    "smoothness": "1",
    "edges": "white",
}
