"""What a person asked for, made into a `PaintingSpec`; the same for Discord and the command line."""

import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import ImageColor

from bot.available_models import EMBEDDED, is_here, perceptors, require_generator, usual_generator
from bot.escaping import bare
from bot.jobs import OUTPAINT_STRENGTH
from bot.refusals import Refusal
from bot.settings import LimitSettings, ModelSettings
from engine.presets import BY_PRESETS, EDIT_STRENGTH, OURS, PRESETS, PUBLISHED, edit_area, spec_from_preset
from engine.prompts import BadPromptError, Prompt, format_prompts, parse_prompts, with_suffix
from engine.spec import LARGEST_SEED, LEAST_SIDE, MOST_SIDE, Extend, Looks, Motion, PaintingSpec, PerceptorChoice

SHAPES = {"square": (1, 1), "portrait": (2, 3), "landscape": (3, 2), "widescreen": (16, 9)}
"""Shapes by name, as width to height; they keep the number of pixels that the preset paints."""
SMALL_SIZES = ("128x128", "192x128", "128x192", "256x256")
LARGE_SIZES = ("512x512", "640x384", "384x640", "768x512", "512x768", "768x768", "1024x576", "1024x1024")
HELP = {
    "prompt": "What to paint: a lighthouse::2 storm::0.5 | oil on canvas --no text",
    "edit_prompt": "What it shall show: a house in winter",
    "blend_prompt": "What to paint, beside the pictures",
    "negative": "What to keep out of the picture, separated by commas",
    "size": f"Width x height in pixels, such as 512x384, or {', '.join(SHAPES)}",
    "steps": "How long to paint; more is finer",
    "seed": "The same seed and settings give the same picture; a new one where none is given",
    "preset": "A named set of numbers, of which draft is quick and fine is slow",
    "generator": "Which generator paints",
    "start": "What the picture comes out of: noise, pixels, gradient, best-of, or what a prior proposes",
    "image_prompt": "A picture to paint towards, beside the words",
    "image_weight": "How strongly that picture pulls; the words pull with 1",
    "palette": "A picture in whose colours to paint; in words: --palette red,skyblue,#ffcc00",
    "inside": "What words behind --inside are about is white, behind --outside black; or --mask left, right, top …",
    "count": "How many pictures at once, up to 4, each of another seed; shown 2 x 2 on Discord",
    "tile": "Paint a picture that goes on seamlessly beside itself",
    "picture": "The picture to change",
    "edit_from": "What it shows now: a house in summer; then only the difference is painted",
    "mask": "A black and white picture of the same shape: only what is white changes",
    "mask_text": "Words for the part that may change: the sky",
    "strength": "How far it may leave the picture, from 0.05 to 1",
    "towards": "A second picture, which the first is painted towards, beside the words",
    "weights": "How strongly each picture pulls: 2 1 for twice as much of the first",
}
"""What each option is for, in Discord and on the command line; Discord shows 100 characters."""
_SIZE = re.compile(r"\s*(\d{1,9})\s*(?:[x×*:,]|\s)\s*(\d{1,9})\s*", re.IGNORECASE)
_CELL = 16
_WORDLESS_START = "best-of"
"""A prior proposes by words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditOptions:
    """The picture to edit, and what may change in it."""

    picture: str
    """Path of the picture."""
    picture_size: tuple[int, int] | None = None
    """Width and height in pixels, whose proportions the edit keeps; None where `PaintingOptions.size` is given."""
    mask: str | None = None
    """Path of a picture: white may change, black stays."""
    mask_text: str | None = None
    edit_from: str | None = None
    """What the picture shows now, in words."""
    strength: float = EDIT_STRENGTH
    extend: Extend | None = None
    """Paint around the picture instead of in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintingOptions:
    """What one request says; None or empty: not said, so that the defaults hold."""

    prompt: str
    negative: str = ""
    size: str | None = None
    """Such as `512x384`, or one of `SHAPES`."""
    ratio: tuple[int, int] | None = None
    """Width to height, where `size` says nothing: of as many pixels as the preset paints."""
    steps: int | None = None
    seed: int | None = None
    preset: str | None = None
    generator: str | None = None
    perceptors: tuple[PerceptorChoice, ...] = ()
    start: str | None = None
    image_prompts: tuple[Prompt, ...] = ()
    edit: EditOptions | None = None
    mask: str | None = None
    """Path of a picture whose white is what `--inside` and `--outside` are about, where there is no edit."""
    mask_text: str | None = None
    """One of `PLACES`, in its place."""
    motion: Motion | None = None
    """Make it a film; `steps` are then those before its first frame."""
    tile: bool = False
    looks: Looks = field(default_factory=Looks)
    count: int | None = None
    """How many pictures, of seeds one after the other, as one painting."""
    suffixed: bool = True
    """Whether the words that somebody adds to each prompt are added to this one."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the spec by name, which win over all other options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds where the options say nothing."""

    preset: str
    generator: str
    size: str | None = None
    """None: the preset's. Edits keep the proportions of their picture instead."""
    suffix: str = ""
    """Words added to each prompt."""
    count: int = 1
    """Of pictures, for what is no edit."""


def configured_defaults(models: ModelSettings) -> Defaults:
    """Return the defaults of config.yaml."""
    return Defaults(preset=models.preset, generator=usual_generator(models), size=models.size, count=models.count)


def painting_spec(options: PaintingOptions, defaults: Defaults, models: ModelSettings) -> PaintingSpec:
    """Build the spec that was asked for; raise `Refusal`, `BadPromptError` or `BadSpecError`. Reads no file."""
    prompts = options.image_prompts
    if options.prompt.strip() or not prompts:
        words = parse_prompts(options.prompt, options.negative, timed=options.motion is not None)
        prompts = (with_suffix(words, defaults.suffix) if defaults.suffix else words) + prompts
    preset, generator = options.preset or defaults.preset, options.generator or defaults.generator
    changes: dict[str, Any] = {
        "perceptors": options.perceptors or perceptors(generator, models),
        "seed": new_seed() if options.seed is None else options.seed,
        "steps": options.steps,
        "start": options.start or (None if any(prompt.kind == "text" for prompt in prompts) else _WORDLESS_START),
        "mask": options.mask,
        "mask_text": options.mask_text,
        "tile": options.tile or None,
        "looks": None if options.looks == Looks() else options.looks,
        "count": options.count,
    }
    size = options.size
    if options.edit is not None:
        changes |= _edit_fields(options.edit)
    else:
        size = size or (None if options.ratio else defaults.size)
        changes["count"] = options.count or defaults.count
    if size is None and options.ratio is not None:
        changes["width"], changes["height"] = like(*options.ratio, _area(preset, generator))
    elif size is not None:
        changes["width"], changes["height"] = _size(size, preset, generator)
    elif options.edit is not None and options.edit.picture_size is not None:
        width, height = options.edit.picture_size
        changes["width"], changes["height"] = like(width, height, edit_area(width, height, preset, generator))
    given = {name: value for name, value in changes.items() if value is not None}
    timeless = tuple(prompt.model_copy(update={"since": None}) for prompt in prompts)
    spec = spec_from_preset(timeless, preset, generator, **given)
    if options.motion is not None:
        motion = options.motion.model_copy(update={"begin": spec.steps})
        # Frame by frame it neither cools down nor grows.
        spec = spec.but(
            prompts=prompts, motion=motion, steps=motion.steps, learning_rate_schedule="constant", coarse=0.0
        )
    return spec.but(**options.fields) if options.fields else spec


def read_colours(text: str) -> tuple[str, ...]:
    """Read colours between commas, by their names in CSS or as #rrggbb, into #rrggbb; raise `Refusal`."""
    colours: list[str] = []
    for name in text.split(","):
        try:
            colours.append("#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(name.replace(" ", "").lower())[:3]))
        except ValueError:
            raise Refusal(
                f"“{bare(name, 30)}” is no colour that I know: write names such as red or skyblue, or codes such as "
                "#ff8800, with commas between them."
            ) from None
    return tuple(colours)


def blended(pictures: Sequence[str], weights: str | None) -> tuple[Prompt, ...]:
    """Return prompts that pull towards each of some pictures, by weights such as "2 1"; raise `Refusal`."""
    numbers = [1.0] * len(pictures)
    if weights is not None:
        try:
            numbers = [float(number) for number in weights.replace(",", " ").split()]
        except ValueError:
            numbers = []
        if len(numbers) != len(pictures) or not all(0 < number <= 100 for number in numbers):
            raise Refusal(f"Write {len(pictures)} weights above 0, one for each picture, such as 2 1.")
    return tuple(
        Prompt(kind="image", content=picture, weight=number) for picture, number in zip(pictures, numbers, strict=True)
    )


def options_of(spec: PaintingSpec) -> PaintingOptions:
    """Return options that build a spec again; what they cannot say stands in their `fields`."""
    edit = None
    if spec.init_image is not None:
        edit = EditOptions(
            picture=spec.init_image,
            mask=spec.mask,
            mask_text=spec.mask_text,
            edit_from=spec.edit_from,
            strength=spec.strength,
            extend=spec.extend,
        )
    options = PaintingOptions(
        prompt=format_prompts(spec.prompts),
        size=f"{spec.width}x{spec.height}",
        steps=spec.steps if spec.motion is None else spec.motion.begin,
        motion=spec.motion,
        seed=spec.seed,
        preset=spec.preset if spec.preset in PRESETS else "paper",
        generator=spec.generator,
        perceptors=spec.perceptors,
        image_prompts=tuple(prompt for prompt in spec.prompts if prompt.kind == "image"),
        edit=edit,
        mask=spec.mask if edit is None else None,
        mask_text=spec.mask_text if edit is None else None,
        tile=spec.tile,
        looks=spec.looks,
        count=spec.count,
        suffixed=False,
    )
    nothing_said = Defaults(preset=spec.preset, generator=spec.generator)
    try:
        built = painting_spec(options, nothing_said, ModelSettings())
    except BadPromptError:  # prompts that the prompt language cannot say stand in the fields
        options = replace(options, prompt="a picture")
        built = painting_spec(options, nothing_said, ModelSettings())
    wanted, got = spec.model_dump(), built.model_dump()
    return replace(options, fields={name: value for name, value in wanted.items() if value != got[name]})


def remixed(spec: PaintingSpec, prompt: str, size: str, preset: str, seed: int | None) -> PaintingOptions:
    """Return options for a painting like another with other words; another preset brings its own numbers."""
    options = options_of(spec)
    another = preset != options.preset
    fields = {name: value for name, value in options.fields.items() if name not in ("prompts", "preset")}
    if another:
        fields = {name: value for name, value in fields.items() if name not in BY_PRESETS}
    steps = None if another else options.steps
    return replace(options, prompt=prompt, size=size, preset=preset, seed=seed, steps=steps, fields=fields)


def whole_number(text: str, name: str) -> int:
    """Read a whole number, not negative; raise `Refusal`."""
    if not re.fullmatch(r"[0-9]{1,10}", text.strip()):
        raise Refusal(f"Write {name} as a whole number, such as 7.")
    return int(text)


def require_allowed(spec: PaintingSpec, models: ModelSettings, limits: LimitSettings) -> None:
    """Raise `Refusal` where a spec asks for networks that are not here, or for more than the limits allow."""
    if spec.start == "prior" and spec.generator != EMBEDDED:
        raise Refusal("Only the model 'embedded' has a prior; choose another start.")
    require_generator(spec.generator, models)
    for choice in spec.perceptors:
        if not is_here(choice.name, models):
            raise Refusal(f"The perceptor '{choice.name}' is not here; ask the bot's owner to fetch it.")
    if max(spec.width, spec.height) > limits.largest_side:
        raise Refusal(f"Pictures here are at most {limits.largest_side} pixels wide and high.")
    if spec.steps > limits.most_steps:
        raise Refusal(f"A painting here takes at most {limits.most_steps} steps.")
    if spec.count > limits.most_pictures:
        raise Refusal(f"Here --count is at most {limits.most_pictures}.")


def parse_size(text: str) -> tuple[int, int]:
    """Read `512x384` as width and height in pixels; raise `Refusal`."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise Refusal("Write the size as width x height in pixels, for example 512x384.")
    width, height = int(found[1]), int(found[2])
    if not (min(width, height) >= LEAST_SIDE and max(width, height) <= MOST_SIDE):
        raise Refusal(f"Each side is from {LEAST_SIDE} to {MOST_SIDE} pixels, such as 512x384.")
    return width, height


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


def _edit_fields(edit: EditOptions) -> dict[str, Any]:
    return {
        "init_image": edit.picture,
        "mask": edit.mask,
        "mask_text": edit.mask_text,
        "edit_from": edit.edit_from,
        "strength": edit.strength,
        "start": "noise",
        "candidates": 1,
        "coarse": 0.0,  # the picture has its full size already
        **(
            {}
            if edit.extend is None
            else {"extend": edit.extend, "edit_start": "original", "strength": OUTPAINT_STRENGTH}
        ),
    }


def _size(text: str, preset: str, generator: str) -> tuple[int, int]:
    if text.strip().lower() in SHAPES:
        return like(*SHAPES[text.strip().lower()], _area(preset, generator))
    if _SIZE.fullmatch(text) is None:
        raise Refusal(f"Write the size as width x height in pixels, such as 512x384, or as one of {', '.join(SHAPES)}.")
    return parse_size(text)


def _area(preset: str, generator: str) -> int:
    """Return how many pixels a preset paints."""
    standard = spec_from_preset((Prompt(content="a picture"),), preset, generator)
    return standard.width * standard.height
