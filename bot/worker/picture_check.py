"""A look at what was painted, for what the owner does not want shown.

Zero-shot classification as in Radford et al. 2021 (arXiv 2103.00020), section 3.1. It is as good as the perceptor that
paints: with one of OpenAI's it finds what it knows; the embedded one knows emoji and clip art, and finds nothing.
"""

import logging
from collections.abc import Sequence

import torch
from PIL import Image

from bot.settings import ModerationSettings
from bot.worker.events import SPOILER_NOTICE
from engine.models import ModelStore
from engine.perceptors import Perceptor
from engine.spec import PaintingSpec
from engine.tensors import tensor_of

log = logging.getLogger(__name__)

REFUSED = "What came out of these words is not shown here; say it differently."
_HARMLESS = (
    "a painting",
    "a drawing",
    "a photograph",
    "a landscape",
    "a building",
    "an animal",
    "a plant",
    "a dressed person",
    "a face",
    "an abstract pattern",
)
"""What a picture shows else: a concept must beat these, not nothing."""


class RefusedPictureError(Exception):
    """A picture that must not be shown; the text is one sentence for the requester."""


class PictureCheck:
    """Judge pictures by the perceptor they were painted with, which is loaded anyway. Lives in the painting thread."""

    def __init__(self, settings: ModerationSettings, models: ModelStore) -> None:
        self._settings = settings
        self._models = models

    def hides(self, picture: Image.Image, spec: PaintingSpec) -> bool:
        """Return whether a picture along the way is to be kept back."""
        if self._settings.pictures == "show" or not self._settings.concepts:
            return False
        perceptor = self._models.perceptor(spec.perceptors[0].name)
        shares = concept_shares(perceptor, picture, self._settings.concepts)
        hidden = sum(shares.values()) >= self._settings.picture_threshold
        if hidden:
            log.debug("A picture is kept back for what it looks like: %s", shares)
        return hidden

    def notices(self, pictures: Sequence[Image.Image], spec: PaintingSpec) -> tuple[str, ...]:
        """Return what is to be said under finished pictures; raise `RefusedPictureError` where one may not be shown."""
        if not any(self.hides(picture, spec) for picture in pictures):
            return ()
        if self._settings.pictures == "refuse":
            raise RefusedPictureError(REFUSED)
        return (SPOILER_NOTICE,)


@torch.no_grad()
def concept_shares(perceptor: Perceptor, picture: Image.Image, concepts: tuple[str, ...]) -> dict[str, float]:
    """Return how much of its attention the perceptor gives each concept, from 0 to 1; the harmless rest is the rest."""
    small = picture.convert("RGB").resize((perceptor.size, perceptor.size), Image.Resampling.BICUBIC)
    seen = perceptor.encode_image(tensor_of(small, perceptor.mean.device))
    words = perceptor.encode_text((*concepts, *_HARMLESS))
    shares = (perceptor.logit_scale * seen @ words.T).softmax(-1)[0].tolist()
    return dict(zip(concepts, shares[: len(concepts)], strict=True))
