"""What people typed, made into a `PaintingSpec`: options, then their own defaults, the guild's, the configuration's."""

import math
import re
import secrets
from dataclasses import dataclass
from typing import Any

from bot.available_models import EMBEDDED, is_here, perceptors, require_generator, usual_generator
from bot.queue.preferences import GuildSettings, UserSettings
from bot.refusals import Refusal
from bot.settings import Settings
from engine.presets import OURS, PUBLISHED, spec_from_preset
from engine.prompts import Prompt, parse_prompts
from engine.spec import LARGEST_SEED, PaintingSpec, Start

EDIT_STRENGTH = 0.7
"""How far an edit goes when nobody says: far enough to see, near enough to recognise."""
SMALL_SIZES = ("128x128", "192x128", "128x192", "256x256")
LARGE_SIZES = ("512x512", "640x384", "384x640", "768x512", "512x768", "768x768", "1024x576", "1024x1024")
_SIZE = re.compile(r"\s*(\d{2,4})\s*(?:[x×*:,]|\s)\s*(\d{2,4})\s*", re.IGNORECASE)
_NO = re.compile(r"(?=(?<!\S)--no(?!\S))", re.IGNORECASE)
_CELL = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Hold what a command or a form was given; None: not said."""

    prompt: str
    negative: str = ""
    size: str | None = None
    steps: int | None = None
    seed: int | None = None
    preset: str | None = None
    model: str | None = None
    start: Start | None = None
    image: str | None = None
    """Path of the picture used as an image prompt."""
    image_weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """Hold what an edit starts from."""

    picture: str
    """Path of the picture."""
    width: int
    height: int
    mask: str | None = None
    mask_text: str | None = None
    shows: str | None = None
    """What the picture shows now, in words."""
    strength: float = EDIT_STRENGTH


class Orders:
    """Turn options into specs under the defaults of one person in one guild."""

    def __init__(self, settings: Settings, guild: GuildSettings, user: UserSettings) -> None:
        self._settings = settings
        self._guild = guild
        self._user = user

    def imagine(self, options: Options) -> PaintingSpec:
        """Return the spec of a new picture; raise `Refusal`, `BadPromptError` or `BadSpecError`."""
        changes: dict[str, Any] = {}
        size = options.size or self._user.size or self._guild.size or self._settings.models.size
        if size:
            changes["width"], changes["height"] = parse_size(size)
        if options.start is not None:
            changes["start"] = options.start
        return self._checked(self._spec(options, changes))

    def edit(self, options: Options, canvas: Canvas) -> PaintingSpec:
        """Return the spec of an edit, of the picture's own proportions; raise as `imagine` does."""
        changes: dict[str, Any] = {
            "init_image": canvas.picture,
            "mask": canvas.mask,
            "mask_text": canvas.mask_text,
            "edit_from": canvas.shows,
            "strength": canvas.strength,
            "start": "noise",
            "candidates": 1,
            "coarse": 0.0,  # the picture has its full size already
        }
        preset = self._spec(options, {})
        changes["width"], changes["height"] = like(canvas.width, canvas.height, preset.width * preset.height)
        return self._checked(self._spec(options, changes))

    def _spec(self, options: Options, changes: dict[str, Any]) -> PaintingSpec:
        prompts = parse_prompts(with_suffix(options.prompt, self._user.suffix), options.negative)
        if options.image is not None:
            prompts += (Prompt(kind="image", content=options.image, weight=options.image_weight),)
        models = self._settings.models
        generator = options.model or self._guild.generator or usual_generator(models)
        if options.steps is not None:
            changes["steps"] = options.steps
        return spec_from_preset(
            prompts,
            options.preset or self._user.preset or self._guild.preset or models.preset,
            generator,
            perceptors=perceptors(generator, models),
            seed=new_seed() if options.seed is None else options.seed,
            **changes,
        )

    def _checked(self, spec: PaintingSpec) -> PaintingSpec:
        if spec.start == "prior" and spec.generator != "embedded":
            raise Refusal("Only the model 'embedded' has a prior; choose another start.")
        require_generator(spec.generator, self._settings.models)
        for choice in spec.perceptors:
            if not is_here(choice.name, self._settings.models):
                raise Refusal(f"The perceptor '{choice.name}' is not here; ask the bot's owner to fetch it.")
        limits = self._settings.limits
        if max(spec.width, spec.height) > limits.largest_side:
            raise Refusal(f"Pictures here are at most {limits.largest_side} pixels wide and high.")
        if spec.steps > limits.most_steps:
            raise Refusal(f"A painting here takes at most {limits.most_steps} steps.")
        return spec


def with_suffix(prompt: str, suffix: str) -> str:
    """Add a person's usual words, before any `--no`."""
    wanted, *unwanted = _NO.split(prompt, maxsplit=1)
    return " ".join(part for part in (wanted.rstrip(), suffix, *unwanted) if part)


def parse_size(text: str) -> tuple[int, int]:
    """Read `512x384`; raise `Refusal`."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise Refusal("Write the size as width x height in pixels, for example 512x384.")
    return int(found[1]), int(found[2])


def like(width: int, height: int, area: int) -> tuple[int, int]:
    """Return a size of the same proportions and about `area` pixels, in whole latent cells."""
    scale = math.sqrt(area / (width * height))
    return max(2 * _CELL, round(width * scale / _CELL) * _CELL), max(2 * _CELL, round(height * scale / _CELL) * _CELL)


def new_seed() -> int:
    """Draw a seed."""
    return secrets.randbelow(LARGEST_SEED + 1)


def preset_names() -> tuple[str, ...]:
    """List the presets people can ask for, ours first."""
    return (*OURS, *PUBLISHED)


def sizes(generator: str) -> tuple[str, ...]:
    """List sizes that suit a generator."""
    return SMALL_SIZES if generator == EMBEDDED else LARGE_SIZES
