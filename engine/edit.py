"""Editing a picture: what may change, putting the rest back, and the loss of a directional edit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from engine.edit_start import FULL_STRENGTH, plan_start
from engine.generators import VQGAN
from engine.losses import PromptLoss, clamp_with_grad, spherical_distance
from engine.masks import feather, find_region, integral, read_region, share_inside, soften, to_latent
from engine.outpaint import Seam, extended
from engine.perceptors import Perceptor
from engine.pictures import read_picture
from engine.priors import Prior
from engine.regions import NothingFoundError
from engine.spec import PLACES, PaintingSpec
from engine.tensors import tensor_of

TOWARDS = 1.25
"""How much an edit's change weighs against keeping the rest (EleutherAI's editing notebook)."""


@dataclass(frozen=True)
class Edit:
    """Hold a picture to edit and where it may change."""

    original: Tensor
    """(1, 3, h, w) in [0, 1]."""
    mask: Tensor | None
    """(1, 1, h, w): 1 may change, 0 stays; None: all may change."""
    region: Tensor | None = None
    """(1, 1, h, w): what words for inside and outside are about."""
    starts: tuple[Tensor, ...] = ()
    """Pictures to begin with, (1, 3, h, w), of which the guides choose one; none: the original."""
    seam: Seam | None = None
    """Between the original and what is painted around it."""

    def put_back(self, pictures: Tensor, detail: Tensor | None = None) -> Tensor:
        """Add what the VQGAN lost, and put the original back where the mask is 0, (b, 3, h', w')."""
        if detail is not None:
            pictures = clamp_with_grad(pictures + detail)
        if self.seam is not None:
            pictures = self.seam.matched(pictures, self.original)
        if self.mask is None:
            return pictures
        size = (pictures.shape[-2], pictures.shape[-1])
        mask, original = (F.interpolate(t, size, mode="area") for t in (self.mask, self.original))
        return original + mask * (pictures - original)

    def confine_(self, grad: Tensor) -> None:
        """Zero a latent's gradient (b, c, rows, columns) where nothing may change (paper section 2.5)."""
        if self.mask is not None:
            grad *= to_latent(self.mask, (grad.shape[-2], grad.shape[-1]))


class EmbeddingKept:
    """Keep cutouts like the original's, as a perceptor sees them, each the more the less of it may change."""

    def __init__(self, mask: Tensor, weight: float = 1.0) -> None:
        """Take what may change, (1, 1, h, w)."""
        self._integral, self._weight = integral(mask), weight

    def __call__(self, seen: Tensor, unchanged: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of embedded cutouts (b, n, d), next to the original's in the same boxes (b, n, 4), (b,)."""
        kept = self._weight * (1 - share_inside(self._integral, boxes))
        return (spherical_distance(seen, unchanged) * kept).mean(1)


class DirectionalLoss:
    """Move away from the words for what is there, and keep the rest (EleutherAI's editing notebook)."""

    def __init__(self, words: Tensor, edit: Edit) -> None:
        """Take the embedded words, (1, d)."""
        # The notebook keeps 1 - (the mask's sum over the cutout's pixels) / (its sum over the picture's), which depends
        # on sizes: at its own, 224 and 640, with all of the picture free to change, cutouts are still kept to 0.88; in
        # pictures smaller than 224 it is negative, a push away from the original. Nor does it put the rest back.
        self._kept = EmbeddingKept(torch.ones_like(edit.original[:, :1]) if edit.mask is None else edit.mask)
        self._away = PromptLoss(words, -TOWARDS)

    def __call__(self, seen: Tensor, unchanged: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of embedded cutouts (b, n, d), next to the original's in the same boxes (b, n, 4), (b,)."""
        return self._away(seen) + self._kept(seen, unchanged, boxes)


def _find_if_there(picture: Tensor, words: str, perceptors: Sequence[Perceptor]) -> Tensor | None:
    """Find the region of a directional edit's words; None where they are not found, which is no reason to refuse."""
    try:
        return find_region(picture, words, perceptors)
    except NothingFoundError:
        return None


def choose(starts: Sequence[Tensor], count: int, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Return, for each of `count` pictures, the start that scores lowest, (count, 3, h, w)."""
    if len(starts) == 1:
        return starts[0].expand(count, -1, -1, -1)
    scores = torch.stack([score(start.expand(count, -1, -1, -1)) for start in starts])
    return torch.cat(tuple(starts))[scores.argmin(0)]


def detail_of(pictures: Tensor, z: Tensor, vqgan: VQGAN, strength: float) -> Tensor:
    """Return what latents lose of the pictures that they encode, (b, 3, h, w); none of it where an edit is free."""
    kept = min(1.0, (1 - strength) / (1 - FULL_STRENGTH))
    return kept * (pictures - vqgan.decode(vqgan.quantise(z)).clamp(0, 1))


def read_edit(
    spec: PaintingSpec, vqgan: VQGAN, size: tuple[int, int], perceptors: Sequence[Perceptor], prior: Prior | None
) -> Edit | None:
    """Read what a spec says of an edit, at the painting's size (height, width); None where it starts from no picture.

    Raise `BadPictureError`, or `NothingFoundError` where words name what the picture does not show.
    """
    if spec.init_image is None:
        return None
    device, (height, width) = vqgan.codebook.device, size
    image = read_picture(Path(spec.init_image)).resize((width, height), Image.Resampling.LANCZOS)
    if spec.extend is not None:
        canvas, new = extended(read_picture(Path(spec.init_image)), spec.extend, size, device)
        return Edit(canvas, soften(new, max(1, vqgan.factor // 2)), starts=(canvas,), seam=Seam(new))
    original = tensor_of(image, device)
    if spec.mask is not None or spec.mask_text in PLACES:
        mask = read_region(spec, height, width, device)
    elif spec.mask_text:
        mask = find_region(original, spec.mask_text, perceptors)
    elif spec.edit_from and spec.edit_start != "proposal":
        mask = _find_if_there(original, spec.edit_from, perceptors)
    else:
        mask = None
    region = mask
    if any(prompt.where == "outside" for prompt in spec.prompts):
        mask = None  # they are words for what shall change out there
    plan = plan_start(spec, original, mask, perceptors, vqgan, prior)
    soft = None if plan.mask is None else feather(plan.mask, max(1, vqgan.factor // 8))
    return Edit(original, soft, region, plan.candidates)
