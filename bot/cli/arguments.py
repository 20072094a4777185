"""The arguments of `imagine` and `edit`, read into `PaintingOptions` and a checked `PaintingSpec`."""

import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bot.flags import with_flags
from bot.options import EDIT_STRENGTH, EditOptions, PaintingOptions, configured_defaults, painting_spec, read_colours
from bot.settings import ModelSettings
from engine.pictures import painted_size, palette_of, read_mask, read_picture
from engine.prompts import Prompt
from engine.spec import BadSpecError, Looks, PaintingSpec, PerceptorChoice


def painting_options(
    prompt: str,
    *,
    negative: str = "",
    size: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    preset: str | None = None,
    generator: str | None = None,
    perceptors: tuple[str, ...] = (),
    image_prompts: tuple[str, ...] = (),
    start: str | None = None,
    tile: bool = False,
    palette: str | None = None,
    count: int | None = None,
    sets: tuple[str, ...] = (),
    picture: str | None = None,
    edit_from: str | None = None,
    mask: str | None = None,
    mask_text: str | None = None,
    strength: float | None = None,
) -> PaintingOptions:
    """Read the arguments as they were typed; None or empty: not given.

    `perceptors` are `name` or `name:weight`, `image_prompts` are `file` or `file:weight`, `sets` are `field=value` with
    the value as JSON or plain words. With `picture` it is an edit; its file is read where no size is given. Raises
    `BadSpecError` or `BadPictureError`.
    """
    edit = None
    if picture is not None:
        edit = EditOptions(
            picture=str(Path(picture).resolve()),
            picture_size=None if size else painted_size(Path(picture)),
            mask=mask and str(Path(mask).resolve()),
            mask_text=mask_text,
            edit_from=edit_from,
            strength=EDIT_STRENGTH if strength is None else strength,
        )
    return PaintingOptions(
        prompt=prompt,
        negative=negative,
        size=size,
        steps=steps,
        seed=seed,
        preset=preset,
        generator=generator,
        perceptors=tuple(_perceptor(text) for text in perceptors),
        image_prompts=tuple(_image_prompt(text) for text in image_prompts),
        start=start,
        tile=tile,
        looks=Looks() if palette is None else Looks(palette=_palette(palette)),
        count=count,
        edit=edit,
        mask=mask and str(Path(mask).resolve()) if edit is None else None,
        mask_text=mask_text if edit is None else None,
        fields=_fields(sets),
    )


def checked_spec(options: PaintingOptions, models: ModelSettings) -> PaintingSpec:
    """Build the spec and read its pictures; raise `BadPromptError`, `BadSpecError`, `BadPictureError` or `Refusal`."""
    spec = painting_spec(with_flags(options), configured_defaults(models), models)
    for path in pictures_of(spec):
        (read_mask if path == spec.mask else read_picture)(Path(path))
    return spec


def pictures_of(spec: PaintingSpec) -> tuple[str, ...]:
    """List the files that a painting needs."""
    prompts = (prompt.content for prompt in spec.prompts if prompt.kind == "image")
    return tuple(path for path in (spec.init_image, spec.mask, *prompts) if path is not None)


def name_for(spec: PaintingSpec, folder: Path) -> Path:
    """Return a file name made of the prompt that is still free in `folder`."""
    words = re.findall(r"\w+", spec.prompts[0].content if spec.prompts[0].kind == "text" else "painting")
    stem = "-".join(words).lower()[:50].rstrip("-") or "painting"
    return free_name(folder / f"{stem}.png")


def free_name(path: Path) -> Path:
    """Return `path`, or with -2, -3, … behind its stem, so that no file is there."""
    return next(name for name in numbered(path) if not name.exists())


def names_of(path: Path, spec: PaintingSpec) -> list[Path]:
    """Return the name of each picture of a painting that goes to `path`."""
    return [path] if spec.count == 1 else [path.with_stem(f"{path.stem}-{n}") for n in range(1, spec.count + 1)]


def numbered(path: Path) -> Iterator[Path]:
    """Yield `path`, and then with -2, -3, … behind its stem."""
    yield path
    for number in itertools.count(2):
        yield path.with_stem(f"{path.stem}-{number}")


def _palette(text: str) -> tuple[str, ...]:
    return palette_of(read_picture(Path(text))) if Path(text).is_file() else read_colours(text)


def _image_prompt(text: str) -> Prompt:
    file, weight = (text, 1.0) if Path(text).is_file() else _weighted(text)
    return Prompt(kind="image", content=str(Path(file).resolve()), weight=weight)


def _perceptor(text: str) -> PerceptorChoice:
    name, weight = _weighted(text)
    if weight <= 0:
        raise BadSpecError("The weight of a perceptor must be greater than zero.")
    return PerceptorChoice(name=name, weight=weight)


def _weighted(text: str) -> tuple[str, float]:
    """Split `name:weight`; the weight may be missing."""
    name, colon, number = text.rpartition(":")
    try:
        weight = float(number) if colon else math.nan
    except ValueError:
        return text, 1.0
    return (name, weight) if math.isfinite(weight) else (text, 1.0)


def _fields(texts: tuple[str, ...]) -> dict[str, Any]:
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
