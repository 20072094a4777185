"""A spec as the shell command that paints it again."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from bot.cli.arguments import painting_options
from bot.options import configured_defaults, painting_spec
from bot.settings import ModelSettings
from engine.presets import PRESETS
from engine.prompts import BadPromptError, format_prompts
from engine.spec import BadSpecError, PaintingSpec

_PLACEHOLDER = "a picture"
"""The words of a command whose prompts are given by `--set`."""
_OPTIONS = {
    "size": "--size",
    "steps": "--steps",
    "seed": "--seed",
    "preset": "--preset",
    "generator": "--generator",
    "start": "--start",
    "edit_from": "--from",
    "mask": "--mask",
    "mask_text": "--mask-text",
    "strength": "--strength",
    "perceptors": "--perceptor",
    "image_prompts": "--image-prompt",
    "sets": "--set",
}
"""Arguments of `painting_options` and the options that give them; several values are several options."""


def command_for(spec: PaintingSpec, output: str) -> str:
    """Return the shell command that paints `spec` again, exactly, into the file `output`."""
    arguments = arguments_for(spec)
    options: list[tuple[str, object]] = []
    for name, option in _OPTIONS.items():
        value = arguments.get(name)
        several = value if isinstance(value, tuple) else () if value is None else (value,)
        options += [(option, one) for one in several]
    # Joined by "=", and behind "--", so that no value that begins with a dash is taken for an option.
    joined = [f"{option}={value}" for option, value in [*options, ("--output", output)]]
    picture = arguments.get("picture")
    command = ["imagine", *joined, "--"] if picture is None else ["edit", *joined, "--", picture]
    return shlex.join([_interpreter(), "-m", "bot", *command, arguments["prompt"]])


def arguments_for(spec: PaintingSpec) -> dict[str, Any]:
    """Return arguments of `painting_options` that build `spec`; `sets` holds what plain options leave different."""
    arguments: dict[str, Any] = {
        "prompt": format_prompts(spec.prompts),
        "size": f"{spec.width}x{spec.height}",
        "steps": spec.steps,
        "seed": spec.seed,
        "preset": spec.preset if spec.preset in PRESETS else "paper",
        "generator": spec.generator,
        "perceptors": tuple(_with_weight(choice.name, choice.weight) for choice in spec.perceptors),
        "image_prompts": tuple(_with_weight(p.content, p.weight) for p in spec.prompts if p.kind == "image"),
        "mask": spec.mask,
        "mask_text": spec.mask_text,
    }
    if spec.init_image is not None:
        arguments |= {
            "picture": spec.init_image,
            "edit_from": spec.edit_from,
            "strength": spec.strength,
        }
    try:
        built = _built(arguments)
    except (BadPromptError, BadSpecError):  # prompts that the prompt language cannot say
        arguments |= {"prompt": _PLACEHOLDER, "image_prompts": ()}
        built = _built(arguments)
    if spec.init_image is None and built.start != spec.start:
        arguments["start"] = spec.start
        built = _built(arguments)
    wanted, got = spec.model_dump(mode="json"), built.model_dump(mode="json")
    different = {name: value for name, value in wanted.items() if value != got[name]}
    return arguments | {"sets": tuple(f"{name}={json.dumps(value)}" for name, value in different.items())}


def _built(arguments: dict[str, Any]) -> PaintingSpec:
    models = ModelSettings()
    return painting_spec(painting_options(**arguments), configured_defaults(models), models)


def _interpreter() -> str:
    """Return how to call this very Python from here: the one on the path may be another, or none."""
    if shutil.which("python") == sys.executable:
        return "python"
    path, here = Path(sys.executable), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _with_weight(name: str, weight: float) -> str:
    return name if weight == 1 else f"{name}:{weight!r}"
