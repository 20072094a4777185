"""A guide: one perceptor, the cutouts it sees, and the prompts it pulls the picture towards."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from engine.cutouts import CutoutParams, Cutter
from engine.devices import Device
from engine.edit import TOWARDS, DirectionalLoss, Edit, EmbeddingKept
from engine.losses import PromptLoss
from engine.masks import Spots
from engine.memory import even_chunks, fewer_at_once, saved_bytes
from engine.perceptors import Perceptor
from engine.pictures import read_picture
from engine.prompts import Prompt, Where
from engine.seeds import generators
from engine.spec import PaintingSpec
from engine.tensors import tensor_of


class Guide:
    """Pull pictures to where the prompts want them, as one perceptor sees them."""

    def __init__(self, perceptor: Perceptor, weight: float, spec: PaintingSpec, device: Device) -> None:
        self.perceptor = perceptor
        self.weight = weight
        """Its share of the whole loss."""
        self.cutter = Cutter(spec.cutouts, spec.augmentations, perceptor.size, wraps=spec.tile)
        self.notices: list[str] = []
        self.at_once = 0
        """How many cutouts are seen at once; 0: not measured yet."""
        self._spec = spec
        self._count = spec.cutouts.count
        self._device = device
        self._prompts: list[tuple[PromptLoss, Where]] = []
        self._spots: Spots | None = None
        self._edit: Edit | None = None
        self._edit_losses: list[DirectionalLoss | EmbeddingKept] = []

    def set_prompts(self, prompts: tuple[Prompt, ...], region: Tensor | None = None) -> None:
        """Set what to pull towards, and the region, (1, 1, h, w), that words for inside and outside are about."""
        self._spots = None if region is None else Spots(region)
        stronger = TOWARDS if self._spec.edit_from else 1.0
        self._prompts = [
            (PromptLoss(self._encode_prompt(prompt), prompt.weight * stronger, prompt.stop), prompt.where)
            for prompt in prompts
        ]

    def set_edit(self, edit: Edit) -> None:
        """Set what is asked of cutouts beside the original's: a direction away from words, and to stay like it."""
        self._edit, self._edit_losses = edit, []
        if self._spec.edit_from:
            words = self.perceptor.encode_text([self._spec.edit_from])
            self._edit_losses.append(DirectionalLoss(words, edit))
        if self._spec.init_embedding:
            mask = torch.zeros_like(edit.original[:, :1]) if edit.mask is None else edit.mask
            self._edit_losses.append(EmbeddingKept(mask, self._spec.init_embedding))

    def backward(self, pictures: Tensor, rngs: Sequence[torch.Generator]) -> Tensor:
        """Add the gradient of this guide's loss to `pictures.grad`, cutouts drawn from one generator per picture.

        Return the losses of each picture, (b, prompts + 1): the last is what an edit asks for, 0 without one.
        """
        params = self.cutter.draw(pictures.shape[-2], pictures.shape[-1], rngs)
        if not self.at_once:
            self.at_once = self._how_many_fit(pictures, params)
        return self._backward_in_chunks(pictures, params)

    @fewer_at_once
    def _backward_in_chunks(self, pictures: Tensor, params: CutoutParams) -> Tensor:
        total = pictures.new_zeros(len(pictures), len(self._prompts) + 1)
        for part in self._chunks(pictures):
            seen = self._encode(pictures, params, part)
            share = self.weight * seen.shape[1] / self._count
            of_prompts = self._prompt_losses(seen, params, part, pictures)
            losses = share * torch.stack([*of_prompts, self._edit_loss(seen, params, part)], 1)
            losses.sum().backward()
            total += losses.detach()
        return total

    def _prompt_losses(self, seen: Tensor, params: CutoutParams, part: slice, pictures: Tensor) -> list[Tensor]:
        """Return each prompt's loss of some embedded cutouts, (b,)."""
        size = (pictures.shape[-2], pictures.shape[-1])
        losses: list[Tensor] = []
        for loss, where in self._prompts:
            shares = None if self._spots is None else self._spots.shares(params.boxes, size, where)
            losses.append(loss(seen, shares if shares is None else shares[:, part]))
        return losses

    def _encode(self, pictures: Tensor, params: CutoutParams, part: slice) -> Tensor:
        """Embed some of each picture's cutouts, (b, k, d)."""
        cutouts = self.cutter.cut(pictures, params, part)
        return self.perceptor.encode_image(cutouts.flatten(0, 1)).unflatten(0, cutouts.shape[:2])

    def _edit_loss(self, seen: Tensor, params: CutoutParams, part: slice) -> Tensor:
        if self._edit is None or not self._edit_losses:
            return seen.new_zeros(len(seen))
        with torch.no_grad():
            original = self._edit.original.expand(len(seen), -1, -1, -1)
            unchanged = self._encode(original, params, part)
        losses = [loss(seen, unchanged, params.boxes[:, part]) for loss in self._edit_losses]
        return torch.stack(losses).sum(0)

    def _chunks(self, pictures: Tensor) -> list[slice]:
        return even_chunks(self._count, max(1, (self.at_once or 32) // len(pictures)))

    @torch.no_grad()
    def judge(self, pictures: Tensor, rngs: Sequence[torch.Generator]) -> Tensor:
        """Return this guide's loss of each picture, (b,)."""
        params = self.cutter.draw(pictures.shape[-2], pictures.shape[-1], rngs)
        seen = self._encode_all(pictures, params)
        return self.weight * torch.stack(self._prompt_losses(seen, params, slice(None), pictures)).sum(0)

    def _encode_all(self, pictures: Tensor, params: CutoutParams) -> Tensor:
        return torch.cat([self._encode(pictures, params, part) for part in self._chunks(pictures)], 1)

    @torch.no_grad()
    def _encode_prompt(self, prompt: Prompt) -> Tensor:
        """Embed a prompt, (m, d): one vector for a text or noise, one per cutout for a picture (Crowson's notebook)."""
        if prompt.kind == "text":
            if rest := self.perceptor.cut_off(prompt.content):
                self.notices.append(f"The prompt is longer than the model reads; it did not see: “{rest}”.")
            return self.perceptor.encode_text([prompt.content])
        if prompt.kind == "noise":
            return self._noise(int(prompt.content))
        image = read_picture(Path(prompt.content))
        # Keeping its shape, but no larger than the painting (Crowson's notebook).
        shrink = min(1.0, math.sqrt(self._spec.width * self._spec.height / (image.width * image.height)))
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        picture = tensor_of(image.resize(size, Image.Resampling.LANCZOS), self._device.torch_device)
        # Not by the painting's own seed: what is wanted does not depend on it.
        params = self.cutter.draw(picture.shape[-2], picture.shape[-1], generators([0], "prompts", picture.device))
        return self._encode_all(picture, replace(params, shift=torch.zeros_like(params.shift)))[0]

    def _noise(self, seed: int) -> Tensor:
        """Return a random unit vector, (1, d), the same on every device."""
        vector = torch.randn(1, self.perceptor.dims, generator=torch.Generator().manual_seed(seed))
        return F.normalize(vector, dim=-1).to(self._device.torch_device)

    def _how_many_fit(self, pictures: Tensor, params: CutoutParams) -> int:
        """Return how many cutouts fit into memory at once, by what one more keeps for the backward pass."""
        picture = pictures.detach().requires_grad_()
        one, two = (
            saved_bytes(lambda n=n: self._encode(picture, params, slice(0, n)), self.perceptor.parameters())
            for n in (1, 2)
        )
        return self._device.fits(2 * (two - one) // len(pictures))  # as much again passes through
