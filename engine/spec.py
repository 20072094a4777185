"""`PaintingSpec`: everything that decides a picture. The only word spoken between the bot and the engine."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from engine import prompts
from engine.prompts import Prompt

Start = Literal["noise", "pixels", "gradient", "best-of", "prior"]
EditStart = Literal["original", "search", "proposal"]
LARGEST_SEED = 2**32 - 1
MOST_PICTURES = 4
PLACES = ("left", "right", "top", "bottom", "middle")
"""Parts of any picture, by name: a half of it, or its middle."""
LEAST_SIDE, MOST_SIDE = 32, 4096
"""Of a picture, in pixels."""


class BadSpecError(ValueError):
    """A painting that cannot be asked for; its text is one sentence for the person who asked."""


class _Numbers(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def checked(cls, **fields: Any) -> Self:
        """Build one; raise `BadSpecError` with one sentence naming the field that is wrong."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise BadSpecError(_sentence(error)) from None


class PerceptorChoice(_Numbers):
    """Name one perceptor of an ensemble and its share of the loss (paper section 2.5)."""

    name: str
    weight: float = Field(default=1.0, gt=0)


class Augmentations(_Numbers):
    """What happens to each cutout (paper section 2.3). Probabilities are per cutout; zero switches a transform off."""

    flip: float = Field(default=0.5, ge=0, le=1)
    affine: float = Field(default=0.8, ge=0, le=1)
    degrees: float = Field(default=30.0, ge=0, le=180)
    translate: float = Field(default=0.1, ge=0, le=1)
    """Largest shift, as a share of the cutout's side."""
    shear: float = Field(default=0.0, ge=0, le=60)
    """Largest shear along x, in degrees."""
    perspective: float = Field(default=0.4, ge=0, le=1)
    distortion: float = Field(default=0.2, ge=0, le=1)
    """Farthest that perspective moves a corner, as a share of half the side."""
    padding: Literal["zeros", "border"] = "border"
    jitter: float = Field(default=0.7, ge=0, le=1)
    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    saturation: float = Field(default=0.01, ge=0, le=1)
    hue: float = Field(default=0.01, ge=0, le=0.5)
    """In turns of the colour circle."""
    greyscale: float = Field(default=0.0, ge=0, le=1)
    erasing: float = Field(default=0.0, ge=0, le=1)
    """Probability of one random box, the same in every cutout of a step."""
    noise: float = Field(default=0.1, ge=0, le=1)
    """Gaussian noise; its standard deviation is drawn per cutout from 0 to this."""


class Cutouts(_Numbers):
    """Say which parts of the picture the perceptor sees at each step."""

    method: Literal["crops", "pooled"] = "crops"
    """`crops`: Crowson's random squares. `pooled`: the whole picture, mean and max pooled (nerdyrodent's default)."""
    count: int = Field(default=32, ge=1, le=512)
    power: float = Field(default=1.0, gt=0, le=10)
    """Crop side = min + (max - min) * u**power: above 1 favours small crops."""
    first_power: float | None = Field(default=None, gt=0, le=10)
    """The power of the first step, from where it goes evenly to `power`; None: the same throughout."""
    overview: int = Field(default=0, ge=0, le=512)
    """How many of the cutouts show the whole picture."""


class Penalty(_Numbers):
    """Pull the latent: `weight * mean((z - target)^2)`, the weight falling by a published schedule."""

    target: Literal["zero", "start"] = "zero"
    weight: float = Field(gt=0)
    schedule: Literal["constant", "linear", "inverse", "staircase"] = "constant"
    """linear: loses `rate` evenly over the run (paper 2.4). inverse: / (2i + 1) (nerdyrodent).
    staircase: loses `rate` every 50 steps, with a fresh Adam each time (the regularised notebook)."""
    rate: float = Field(default=0.0, ge=0)


class Looks(_Numbers):
    """Say what a picture shall look like, whatever it shows. Weights: 0 is off, 1 is clearly to be seen."""

    palette: tuple[Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")], ...] = Field(default=(), max_length=16)
    """Colours to paint in, as #rrggbb; none: any."""
    symmetry: float = Field(default=0.0, ge=0, le=10)
    """How strongly left shall mirror right."""
    saturation: float = Field(default=0.0, ge=-10, le=10)
    """Above 0 more colourful, below 0 greyer."""
    smoothness: float = Field(default=0.0, ge=0, le=10)
    """How strongly neighbouring pixels shall be alike: flat areas with sharp borders."""
    edges: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")] | None = None
    """The colour in which the picture shall end on all four sides."""


class Motion(_Numbers):
    """Make the painting a film: after its first steps, each frame is a few steps on the moved picture."""

    seconds: float = Field(default=8.0, ge=0.5, le=60)
    fps: int = Field(default=8, ge=2, le=30)
    begin: int = Field(default=1, ge=1, le=10_000)
    """Steps before the first frame."""
    each: int = Field(default=3, ge=1, le=50)
    """Steps for each frame after it."""
    zoom: float = Field(default=1.1, ge=0.25, le=4)
    """How many times larger the picture becomes in a second; below 1 smaller."""
    turn: float = Field(default=0.0, ge=-180, le=180)
    """Degrees in a second, clockwise."""
    right: float = Field(default=0.0, ge=-1, le=1)
    """Shares of the width in a second."""
    down: float = Field(default=0.0, ge=-1, le=1)
    format: Literal["mp4", "gif"] = "mp4"

    @property
    def steps(self) -> int:
        """Return how many steps the film takes in all."""
        return self.begin + self.each * max(1, round(self.seconds * self.fps) - 1)


class Extend(_Numbers):
    """Say how much is added on each side of a picture, as shares of its width or height."""

    left: float = Field(default=0.0, ge=0, le=2)
    up: float = Field(default=0.0, ge=0, le=2)
    right: float = Field(default=0.0, ge=0, le=2)
    down: float = Field(default=0.0, ge=0, le=2)


class PaintingSpec(_Numbers):
    """Describe one painting completely."""

    version: Literal[1] = 1
    prompts: tuple[Prompt, ...] = Field(min_length=1, max_length=32)
    width: int = Field(default=512, ge=LEAST_SIDE, le=MOST_SIDE)
    height: int = Field(default=512, ge=LEAST_SIDE, le=MOST_SIDE)
    """Asked for, in pixels; the picture is this, rounded down to whole latent cells."""
    steps: int = Field(default=400, ge=1, le=10_000)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    count: int = Field(default=1, ge=1, le=MOST_PICTURES)
    """How many pictures are painted at once, as one batch; each has a seed of its own (`seeds`)."""
    preset: str = "paper"
    generator: str = "embedded"
    perceptors: tuple[PerceptorChoice, ...] = Field(default=(PerceptorChoice(name="embedded"),), min_length=1)

    start: Start = "noise"
    candidates: int = Field(default=1, ge=1, le=256)
    """How many starts `best-of` and `prior` propose; the perceptors pick one."""
    init_image: str | None = None
    """Path of the picture to start from; it takes the place of `start`."""
    init_latent: str | None = None
    """Path of another painting's latent (`Painting.encode_latent`) to start from; it takes the place of `start`."""
    init_noise: float = Field(default=0.0, ge=0, le=1)
    """Share of the starting latent's cells that are replaced by random codes, for variations."""
    edit_from: str | None = None
    """What the picture shows now: makes the edit directional (paper section 4, EleutherAI's editing notebook)."""
    edit_start: EditStart = "original"
    """`original`: the picture as it is. `search`: the best of its recolourings. `proposal`: with what the prior
    understood put in, a colour, a ground, a thing, where the sentence asks for it; else as `search`."""
    extend: Extend | None = None
    """Set the picture into a larger canvas, which is the size of the painting: only what is new is painted."""
    motion: Motion | None = None
    """Make it a film."""
    keep_detail: bool = False
    """Add to each picture of an edit what the VQGAN lost of its start."""
    mask: str | None = None
    """Path of a mask: white may change, black stays. What prompts say `inside` and `outside` is about it, too; with
    words for outside, all may change."""
    mask_text: str | None = None
    """Words for the region that may change, in place of a mask: one of `PLACES`, or what CLIP finds (paper appendix H).
    """
    strength: float = Field(default=1.0, gt=0, le=1)
    """How far an edit may leave its picture: below 1 the latent is pulled back to its start."""

    init_pixels: float = Field(default=0.0, ge=0, le=10)
    """How strongly an edit's pixels are held to its picture's (pixray's `init_weight_pix`)."""
    init_embedding: float = Field(default=0.0, ge=0, le=10)
    """How strongly an edit's cutouts shall look to the perceptors like its picture's, each as far as it lies outside of
    the mask; without one, wholly."""

    learning_rate: float = Field(default=0.15, gt=0, le=10)
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    cutouts: Cutouts = Cutouts()
    augmentations: Augmentations = Augmentations()
    penalties: tuple[Penalty, ...] = ()
    total_variation: float = Field(default=0.0, ge=0)
    looks: Looks = Looks()
    clamp_latent: bool = True
    """Keep z inside the codebook's range, channel by channel, after each step."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of z whose picture is shown; 0 shows z itself."""
    coarse: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps painted at half size first."""

    tile: bool = False
    """Paint a picture that goes on seamlessly where it is laid beside itself, in both directions."""
    upscale: int = Field(default=1, ge=1, le=4)
    """How many times larger the finished picture is made by super-resolution; published generators need its model."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seed of each picture: `seed`, `seed + 1` and so on."""
        return tuple((self.seed + index) % (LARGEST_SEED + 1) for index in range(self.count))

    def alone(self, index: int) -> Self:
        """Return the spec that paints one of its pictures, by itself; the same up to rounding."""
        return self.but(seed=self.seeds[index], count=1)

    @model_validator(mode="before")
    @classmethod
    def _earlier_names(cls, fields: Any) -> Any:
        """Read specs saved before `ema_decay` was called so."""
        if isinstance(fields, dict) and "average" in fields and "ema_decay" not in fields:
            return {("ema_decay" if name == "average" else name): value for name, value in fields.items()}
        return fields

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        """Refuse what JSON cannot hold, now rather than when the picture is saved."""
        files = (self.init_image, self.init_latent, self.mask, *(p.content for p in self.prompts if p.kind == "image"))
        texts = (self.edit_from, self.mask_text, *(p.content for p in self.prompts if p.kind == "text"))
        for name, what in (*((file, "the name of a file") for file in files), *((text, "text") for text in texts)):
            if name is not None and not _is_unicode(name):
                raise ValueError(f"{what} holds bytes that are no UTF-8, so that it cannot be saved: {name!r:.60}")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if sum(prompt.weight for prompt in self.prompts) <= 0:
            raise ValueError("the weights of all prompts must add up to more than zero")
        if self.mask and self.mask_text:
            raise ValueError("give either a mask picture or mask words, not both")
        self._check_regions()
        if self.init_image is not None and self.init_latent is not None:
            raise ValueError("give either a picture or a latent to start from, not both")
        if self.init_image is None and (self.init_pixels or self.init_embedding):
            raise ValueError("init_pixels and init_embedding are about the picture that an edit starts from")
        if self.extend is not None and (self.init_image is None or self.mask or self.mask_text or self.edit_from):
            raise ValueError(
                "a canvas is extended around a picture, and all of what is new is painted: no masks, no `from`"
            )
        self._check_film()
        if self.tile and (self.mask or self.mask_text or self.edit_from):
            raise ValueError("a picture that tiles is edited as a whole: leave out the mask, its words and `from`")
        if self.cutouts.overview > self.cutouts.count:
            raise ValueError("there cannot be more overview cutouts than cutouts")
        return self

    def _check_film(self) -> None:
        times = [prompt.since for prompt in self.prompts if prompt.since is not None]
        if self.motion is None:
            if times:
                raise ValueError("words for a time of a film, such as @4, are for animations")
            return
        if self.init_image is not None or self.count != 1:
            raise ValueError("an animation is one painting from words")
        if self.steps != self.motion.steps:
            raise ValueError(f"this animation takes {self.motion.steps} steps, not {self.steps}")
        if times and min(times) > 0 and len(times) == len(self.prompts):
            raise ValueError("the first words of a story begin @0")

    def _check_regions(self) -> None:
        spots = any(prompt.where != "everywhere" for prompt in self.prompts)
        if spots and not (self.mask or self.mask_text):
            raise ValueError(
                f"words for inside or outside need a mask: a picture, or --mask with one of {', '.join(PLACES)}"
            )
        if self.init_image is None and (self.edit_from or (not spots and (self.mask or self.mask_text))):
            raise ValueError("masks and `edit_from` need a picture to edit, or words for --inside or --outside")
        if self.init_image is None and self.mask_text and self.mask_text not in PLACES:
            raise ValueError(f"where there is no picture yet, --mask is one of {', '.join(PLACES)}")

    @field_validator("perceptors", mode="before")
    @classmethod
    def _names_are_choices(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote; raise `BadSpecError` for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BadSpecError(_sentence(error)) from None

    def to_json(self) -> str:
        """Write the spec as one line of JSON that a later version still reads."""
        return self.model_dump_json()

    def but(self, **changes: Any) -> Self:
        """Return a checked copy with some fields changed."""
        return self.checked(**{**self.model_dump(), **changes})


def _is_unicode(text: str) -> bool:
    """Return whether a text has no half of a surrogate pair, which is how Python holds bytes that are no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


_EXPECTED = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a plain number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "too_long": "can have at most {max_length} entries",
    "missing": "is missing",
    "model_type": "must be a set of named values",
}
"""Pydantic's kinds of complaint, in words for people."""


def _sentence(error: ValidationError) -> str:
    """Turn pydantic's first complaint into one sentence for people."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"There is no setting called '{where}'."
    message = first["msg"].removeprefix("Value error, ")
    if not where:
        return f"{message[0].upper()}{message[1:]}."
    if first["type"] not in _EXPECTED:
        return f"{where}: {message[0].lower()}{message[1:]}."
    value = first["input"]
    said = "" if value == "" or isinstance(value, list | tuple | dict) else f", not {value!r:.40}"
    limits = {name: _written(limit) for name, limit in first.get("ctx", {}).items()}
    return f"{where} {_EXPECTED[first['type']].format(**limits)}{said}."


def _written(value: Any) -> Any:
    """Write a number in full, without an exponent."""
    return f"{value:.12f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


@cache
def spec_version() -> str:
    """Return a hash of the code that reads specs: equal ones read the same specs."""
    return hashlib.sha256(b"".join(Path(path).read_bytes() for path in (__file__, prompts.__file__))).hexdigest()[:16]
