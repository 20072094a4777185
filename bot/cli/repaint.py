"""What the command line was asked for, made into a `PaintingSpec`, and back into the command that repaints it."""

import json
import math
import re
import shlex
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bot.available_models import perceptors, usual_generator
from bot.options import EDIT_STRENGTH, like, new_seed, parse_size
from bot.refusals import Refusal
from bot.settings import ModelSettings
from engine.pictures import read_picture
from engine.presets import PRESETS, spec_from_preset
from engine.prompts import BadPromptError, Prompt, format_prompts, parse_prompts
from engine.spec import BadSpecError, PaintingSpec, PerceptorChoice

SHAPES = {"square": (1, 1), "portrait": (2, 3), "landscape": (3, 2), "widescreen": (16, 9)}
"""Shapes by name, as width to height; they keep the number of pixels that the preset paints."""
_PLACEHOLDER = "a picture"  # the words of a command whose prompts are given by `--set`


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Hold the options of `imagine`, or, with a picture, of `edit`; None or empty: not said."""

    prompt: str
    negative: str = ""
    size: str | None = None
    steps: int | None = None
    seed: int | None = None
    preset: str | None = None
    generator: str | None = None
    perceptors: tuple[str, ...] = ()
    """Each `name` or `name:weight`."""
    image_prompts: tuple[str, ...] = ()
    """Each `file` or `file:weight`."""
    start: str | None = None
    picture: str | None = None
    edit_from: str | None = None
    mask: str | None = None
    mask_text: str | None = None
    strength: float | None = None
    sets: tuple[str, ...] = ()
    """Each `field=value` of the spec, the value as JSON or as plain words."""


def spec_for(wish: Wish, models: ModelSettings) -> PaintingSpec:
    """Build what was asked for; raise `BadPromptError`, `BadSpecError` or `BadPictureError` with one sentence."""
    spec = unchecked_spec(wish, models)
    for path in pictures_of(spec):
        read_picture(Path(path))
    return spec


def command_for(spec: PaintingSpec, output: str) -> str:
    """Return the shell command that paints `spec` again, exactly, into the file `output`."""
    wish = _wish_for(spec)
    values = {
        "--size": wish.size,
        "--steps": wish.steps,
        "--seed": wish.seed,
        "--preset": wish.preset,
        "--generator": wish.generator,
        "--start": wish.start,
        "--from": wish.edit_from,
        "--mask": wish.mask,
        "--mask-text": wish.mask_text,
        "--strength": wish.strength,
    }
    several = {"--perceptor": wish.perceptors, "--image-prompt": wish.image_prompts, "--set": wish.sets}
    options = [(name, value) for name, value in values.items() if value is not None]
    options += [(name, value) for name, many in several.items() for value in many]
    # Joined by "=", and behind "--", so that no value that begins with a dash is taken for an option.
    joined = [f"{name}={value}" for name, value in [*options, ("--output", output)]]
    command = ["imagine", *joined, "--"] if wish.picture is None else ["edit", *joined, "--", wish.picture]
    return shlex.join([_interpreter(), "-m", "bot", *command, wish.prompt])


def _interpreter() -> str:
    """Return how to call this very Python from here: the one on the path may be another, or none."""
    if shutil.which("python") == sys.executable:
        return "python"
    path, here = Path(sys.executable), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def pictures_of(spec: PaintingSpec) -> tuple[str, ...]:
    """List the files that a painting needs."""
    prompts = (prompt.content for prompt in spec.prompts if prompt.kind == "image")
    return tuple(path for path in (spec.init_image, spec.mask, *prompts) if path is not None)


def name_for(spec: PaintingSpec, folder: Path) -> Path:
    """Return a file name made of the prompt that is still free in `folder`."""
    words = re.findall(r"\w+", spec.prompts[0].content if spec.prompts[0].kind == "text" else "painting")
    stem = "-".join(words).lower()[:50].rstrip("-") or "painting"
    path, number = folder / f"{stem}.png", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}.png", number + 1
    return path


def unchecked_spec(wish: Wish, models: ModelSettings) -> PaintingSpec:
    """Build the spec without looking at its pictures, but at the one to edit where no size is given."""
    generator = wish.generator or usual_generator(models)
    preset = wish.preset or models.preset
    area = _area(preset, generator)
    changes: dict[str, Any] = {
        "perceptors": _perceptors(wish, generator, models),
        "seed": new_seed() if wish.seed is None else wish.seed,
        "steps": wish.steps,
        "start": wish.start,
    }
    if wish.picture is not None:
        changes |= _edit(wish, wish.picture)
    size = wish.size or (models.size if wish.picture is None else None)
    if size:
        changes["width"], changes["height"] = _size(size, area)
    elif wish.picture is not None:
        changes["width"], changes["height"] = like(*read_picture(Path(wish.picture)).size, area)
    said = {name: value for name, value in changes.items() if value is not None}
    return spec_from_preset(_prompts(wish), preset, generator, **said).but(**_sets(wish.sets))


def _edit(wish: Wish, picture: str) -> dict[str, Any]:
    return {
        "init_image": str(Path(picture).resolve()),
        "mask": wish.mask and str(Path(wish.mask).resolve()),
        "mask_text": wish.mask_text,
        "edit_from": wish.edit_from,
        "strength": EDIT_STRENGTH if wish.strength is None else wish.strength,
        "start": "noise",
        "candidates": 1,
        "coarse": 0.0,  # the picture has its full size already
    }


def _prompts(wish: Wish) -> tuple[Prompt, ...]:
    images = tuple(_image_prompt(text) for text in wish.image_prompts)
    if images and not wish.prompt.strip():
        return images
    return parse_prompts(wish.prompt, wish.negative) + images


def _image_prompt(text: str) -> Prompt:
    file, weight = (text, 1.0) if Path(text).is_file() else _weighted(text)
    return Prompt(kind="image", content=str(Path(file).resolve()), weight=weight)


def _perceptors(wish: Wish, generator: str, models: ModelSettings) -> tuple[PerceptorChoice, ...]:
    if wish.perceptors:
        weighted = [_weighted(text) for text in wish.perceptors]
    else:
        weighted = [(name, 1.0) for name in perceptors(generator, models)]
    if any(weight <= 0 for _, weight in weighted):
        raise BadSpecError("The weight of a perceptor must be greater than zero.")
    return tuple(PerceptorChoice(name=name, weight=weight) for name, weight in weighted)


def _weighted(text: str) -> tuple[str, float]:
    """Split `name:weight`; the weight may be missing."""
    name, colon, number = text.rpartition(":")
    try:
        weight = float(number) if colon else math.nan
    except ValueError:
        return text, 1.0
    return (name, weight) if math.isfinite(weight) else (text, 1.0)


def _size(text: str, area: int) -> tuple[int, int]:
    if text in SHAPES:
        return like(*SHAPES[text], area)
    try:
        return parse_size(text)
    except Refusal:
        raise BadSpecError(f"Write the size as 512x384, or as one of {', '.join(SHAPES)}.") from None


def _area(preset: str, generator: str) -> int:
    standard = spec_from_preset((Prompt(content=_PLACEHOLDER),), preset, generator)
    return standard.width * standard.height


def _sets(texts: tuple[str, ...]) -> dict[str, Any]:
    """Read `field=value` pairs."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadSpecError(f"Write `--set name=value`, not '{text}'.")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def _wish_for(spec: PaintingSpec) -> Wish:
    """Return the wish that builds `spec`, with `sets` for whatever the plain options leave different."""
    wish = Wish(
        prompt=format_prompts(spec.prompts),
        size=f"{spec.width}x{spec.height}",
        steps=spec.steps,
        seed=spec.seed,
        preset=spec.preset if spec.preset in PRESETS else "paper",
        generator=spec.generator,
        perceptors=tuple(_with_weight(choice.name, choice.weight) for choice in spec.perceptors),
        image_prompts=tuple(_with_weight(p.content, p.weight) for p in spec.prompts if p.kind == "image"),
        picture=spec.init_image,
        edit_from=spec.edit_from,
        mask=spec.mask,
        mask_text=spec.mask_text,
        strength=None if spec.init_image is None else spec.strength,
    )
    try:
        built = unchecked_spec(wish, ModelSettings())
    except (BadPromptError, BadSpecError):  # prompts that the prompt language cannot say
        wish = replace(wish, prompt=_PLACEHOLDER, image_prompts=())
        built = unchecked_spec(wish, ModelSettings())
    if wish.picture is None and built.start != spec.start:
        wish = replace(wish, start=spec.start)
        built = unchecked_spec(wish, ModelSettings())
    wanted, got = spec.model_dump(mode="json"), built.model_dump(mode="json")
    different = {name: value for name, value in wanted.items() if value != got[name]}
    return replace(wish, sets=tuple(f"{name}={json.dumps(value)}" for name, value in different.items()))


def _with_weight(name: str, weight: float) -> str:
    return name if weight == 1 else f"{name}:{weight!r}"
