"""Named sets of numbers, each with its source. Whatever a preset does not name keeps `PaintingSpec`'s default."""

from collections.abc import Mapping
from typing import Any

from engine.prompts import Prompt
from engine.spec import Augmentations, BadSpecError, Cutouts, PaintingSpec, Penalty

_PAPER_AUGMENTATIONS = Augmentations(
    brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1
)  # the kinds are the paper's (2.3); the amounts, which it does not print, nerdyrodent's and the notebooks'
_NOTEBOOK_AUGMENTATIONS = Augmentations()  # EleutherAI/notebooks, "MSE regularized" by jbustter
_NONE = Augmentations(flip=0, affine=0, perspective=0, jitter=0, noise=0)

PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    # Crowson, Biderman et al. 2022, section 2: random pixels, Adam at 0.15 for 400 steps, alpha * mean(z^2), falling by
    # 0.005 in all. The paper does not print alpha, nor the number of cutouts: 0.1 is the least of the 0.1 to 0.3 that
    # rkhamilton/vqgan-clip-generator advises for such a pull (`init_weight_method="decay"`), 32 is nerdyrodent's.
    "paper": {
        "start": "pixels",
        "steps": 400,
        "learning_rate": 0.15,
        "cutouts": Cutouts(count=32),
        "augmentations": _PAPER_AUGMENTATIONS,
        "penalties": (Penalty(weight=0.1, schedule="linear", rate=0.005),),
    },
    # Crowson's z+quantize notebook (EleutherAI/notebooks).
    "notebook": {
        "width": 480,
        "height": 480,
        "steps": 500,
        "learning_rate": 0.05,
        "cutouts": Cutouts(count=64),
        "augmentations": _NONE,
    },
    # nerdyrodent/VQGAN-CLIP generate.py, as most people ran it.
    "nerdyrodent": {
        "steps": 500,
        "learning_rate": 0.1,
        "cutouts": Cutouts(method="pooled", count=32),
        "augmentations": Augmentations(
            flip=0,
            affine=0.7,
            degrees=15,
            shear=5,
            perspective=0.7,
            distortion=0.7,
            padding="zeros",
            brightness=0.1,
            contrast=0.1,
            saturation=0.1,
            hue=0.1,
            erasing=0.7,
        ),
    },
    # EleutherAI/notebooks, "MSE regularized" by jbustter: high rate, strong pull to grey that falls away, no clamp.
    "mse": {
        "width": 640,
        "height": 512,
        "steps": 500,
        "learning_rate": 0.95,
        "cutouts": Cutouts(count=64),
        "augmentations": _NOTEBOOK_AUGMENTATIONS,
        "penalties": (Penalty(weight=0.75, schedule="staircase", rate=0.15),),
        "clamp_latent": False,
    },
    # EleutherAI's editing notebook, for `edit_from` with the Gumbel VQGAN, which it samples from; no regulariser.
    "directional": {
        "width": 640,
        "height": 640,
        "steps": 400,
        "learning_rate": 0.15,
        "cutouts": Cutouts(count=64, first_power=0.3),
        "augmentations": _NOTEBOOK_AUGMENTATIONS.model_copy(update={"greyscale": 0.1}),
        "clamp_latent": False,
    },
}

# With a picture to begin with, the regularised notebook pulls to its latent instead of to zero (`z_orig = z.clone()`).
_MSE_FROM_PICTURE: Mapping[str, Any] = {
    "penalties": (Penalty(target="start", weight=0.75, schedule="staircase", rate=0.15),)
}

OURS: Mapping[str, Mapping[str, Any]] = {
    "draft": {
        "width": 256,
        "height": 256,
        "steps": 120,
        "learning_rate": 0.2,
        "cutouts": Cutouts(count=16, overview=4),
        "augmentations": _NOTEBOOK_AUGMENTATIONS,
        "penalties": (Penalty(weight=0.2, schedule="linear", rate=0.2),),
        "learning_rate_schedule": "cosine",
        "ema_decay": 0.9,
    },
    "normal": {
        "steps": 300,
        "learning_rate": 0.2,
        "cutouts": Cutouts(count=32, overview=4),
        "augmentations": _NOTEBOOK_AUGMENTATIONS,
        "penalties": (Penalty(weight=0.2, schedule="linear", rate=0.2),),
        "learning_rate_schedule": "cosine",
        "ema_decay": 0.95,
        "start": "best-of",
        "candidates": 16,
        "coarse": 0.3,
    },
    "fine": {
        "steps": 600,
        "learning_rate": 0.15,
        "cutouts": Cutouts(count=64, overview=8),
        "augmentations": _NOTEBOOK_AUGMENTATIONS,
        "penalties": (Penalty(weight=0.2, schedule="linear", rate=0.2),),
        "learning_rate_schedule": "cosine",
        "ema_decay": 0.97,
        "start": "best-of",
        "candidates": 32,
        "coarse": 0.3,
    },
}

PRESETS: Mapping[str, Mapping[str, Any]] = {**PUBLISHED, **OURS}

# The embedded pair starts from what its prior proposes and is already a picture: the loop works on it and stays near
# it, since so small a perceptor, left alone, would climb away from any picture. Of four rates and pulls, those that
# change most while the judge of models/README.md names as many pictures as before.
_FROM_PRIOR: Mapping[str, Any] = {
    "start": "prior",
    "learning_rate": 0.15,
    "cutouts": Cutouts(count=16, overview=6),
    "penalties": (Penalty(target="start", weight=0.3),),
    "ema_decay": 0.8,
    "coarse": 0.0,
}
EMBEDDED: Mapping[str, Mapping[str, Any]] = {
    "draft": {**_FROM_PRIOR, "width": 128, "height": 128, "steps": 15, "candidates": 4},
    "normal": {**_FROM_PRIOR, "width": 128, "height": 128, "steps": 40, "candidates": 8},
    "fine": {**_FROM_PRIOR, "width": 256, "height": 256, "steps": 80, "candidates": 16},
}

EDIT_STRENGTH = 0.7
"""How far an edit goes when nobody says: clearly changed, and clearly the same picture."""
# An edit begins with the best of what is made of its picture before the first step (`engine/edit_start.py`); what the
# published presets say of edits stays as published.
_EDIT: Mapping[str, Any] = {
    "start": "noise",
    "candidates": 1,
    "coarse": 0.0,  # the picture has its full size already
    "strength": EDIT_STRENGTH,
    "edit_start": "search",
}
# It is held near that beginning by `strength` alone, and takes fewer steps than a painting.
_EMBEDDED_EDIT: Mapping[str, Any] = {
    "edit_start": "proposal",
    "keep_detail": True,
    "learning_rate": 0.15,
    "penalties": (),
}
_EMBEDDED_EDIT_STEPS = {"draft": 10, "normal": 24, "fine": 60}
_LARGE_EDIT = 256
"""The embedded pair edits pictures that have as many pixels on so many squared: it keeps 2 to 3 dB more of them than on
128 squared."""
# So has a painting that begins with anything but a proposal, where there is nothing yet to stay near: it takes longer,
# is mostly looked at whole, and gets its shapes while it is small. Strong perspective, empty parts black and no flips
# hold the thing in the middle, in full colours; a judge that knows nothing of the perceptor then names more things
# (bench/RESULTS.md, "Time to equal quality").
_EMBEDDED_AFAR: Mapping[str, Any] = {
    "learning_rate": 0.4,
    "cutouts": Cutouts(count=24, overview=18),
    "augmentations": Augmentations(flip=0, perspective=0.6, distortion=0.45, padding="zeros"),
    "penalties": (),
    "ema_decay": 0.9,
    "coarse": 0.7,
}
_LONGER_FROM_AFAR = 3


BY_PRESETS = frozenset().union(*PRESETS.values(), *EMBEDDED.values(), _EDIT, _EMBEDDED_EDIT, _EMBEDDED_AFAR)
"""The fields of a spec that some preset has a number for."""


def spec_from_preset(
    prompts: tuple[Prompt, ...], preset: str = "normal", generator: str = "embedded", **changes: Any
) -> PaintingSpec:
    """Build the spec of `preset` for `generator`, with `changes` on top; raise `BadSpecError` for an unknown preset."""
    if preset not in PRESETS:
        raise BadSpecError(f"There is no preset '{preset}'; there are {', '.join(PRESETS)}.")
    numbers = dict(PRESETS[preset])
    if changes.get("init_image") and preset in OURS:
        numbers |= _EDIT
    if preset == "mse" and changes.get("init_image"):
        numbers |= _MSE_FROM_PICTURE
    if generator == "embedded":
        numbers |= EMBEDDED.get(preset, {})
        if preset in EMBEDDED and changes.get("init_image"):
            numbers |= {**_EMBEDDED_EDIT, "steps": _EMBEDDED_EDIT_STEPS[preset]}
        elif preset in EMBEDDED and changes.get("start", "prior") != "prior":
            numbers |= {**_EMBEDDED_AFAR, "steps": _LONGER_FROM_AFAR * numbers["steps"]}
        numbers.setdefault("width", 128)
        numbers.setdefault("height", 128)
    return PaintingSpec.checked(**{**numbers, "prompts": prompts, "preset": preset, "generator": generator, **changes})


def edit_area(width: int, height: int, preset: str, generator: str) -> int:
    """Return on how many pixels a picture of this size is edited."""
    standard = spec_from_preset((Prompt(content="a picture"),), preset, generator)
    usual = standard.width * standard.height
    return max(usual, _LARGE_EDIT**2) if generator == "embedded" and width * height >= _LARGE_EDIT**2 else usual
