"""A view: one perceptor, the cutouts it sees, and what the prompts want of them."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from engine.devices import Device
from engine.losses import Target, spherical_distance
from engine.masks import share_inside
from engine.perceptors import Perceptor
from engine.pictures import read_picture
from engine.prompts import Prompt
from engine.spec import Augmentations, Cutouts, PaintingSpec
from engine.starts import tensor_of

TOWARDS = 1.25
"""How much an edit's change weighs against keeping the rest (EleutherAI's editing notebook)."""


class AnyCutter(Protocol):
    """Draw and cut cutouts; what is drawn has `boxes`, (n, 4) in pixels."""

    def draw(self, height: int, width: int, generator: torch.Generator) -> Any:
        """Draw everything random about the next cutouts."""
        ...

    def cut(self, picture: Tensor, draw: Any, part: slice = ...) -> Tensor:
        """Cut some of the drawn cutouts, (1, 3, h, w) to (k, 3, size, size)."""
        ...


CutterType = Callable[[Cutouts, Augmentations, int], AnyCutter]


class View:
    """Look at pictures through one perceptor and pull them to where the prompts want them."""

    def __init__(
        self, perceptor: Perceptor, weight: float, spec: PaintingSpec, cutter: CutterType, device: Device
    ) -> None:
        self.perceptor = perceptor
        self.notices: list[str] = []
        self._weight = weight
        self._spec = spec
        self._device = device
        self._cutter = cutter(spec.cutouts, spec.augmentations, perceptor.size)
        self._targets: list[Target] = []
        self._edit: _Edit | None = None
        self._chunk = 0

    def look_for(self, prompts: tuple[Prompt, ...], rng: torch.Generator) -> None:
        """Set the prompts; image prompts are cut once, by numbers from `rng` (Crowson's notebook)."""
        stronger = TOWARDS if self._spec.edit_from else 1.0
        self._targets = [
            Target(self._embed_prompt(prompt, rng), prompt.weight * stronger, prompt.stop) for prompt in prompts
        ]

    @torch.no_grad()
    def _embed_prompt(self, prompt: Prompt, rng: torch.Generator) -> Tensor:
        if prompt.kind == "text":
            if rest := self.perceptor.cut_off(prompt.content):
                self.notices.append(f"The prompt is longer than the model reads; it did not see: “{rest}”.")
            return self.perceptor.embed_text([prompt.content])
        image = read_picture(Path(prompt.content))
        # Keeping its shape, but no larger than the painting (Crowson's notebook).
        shrink = min(1.0, math.sqrt(self._spec.width * self._spec.height / (image.width * image.height)))
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        picture = tensor_of(image.resize(size, Image.Resampling.LANCZOS), rng.device)
        return self._embed(picture, self._cutter.draw(picture.shape[-2], picture.shape[-1], rng))

    def move_away_from(self, words: str, original: Tensor, mask: Tensor | None) -> None:
        """Make the edit directional: away from these words, and like the original where the mask is 0."""
        self._edit = _Edit(Target(self.perceptor.embed_text([words]), -TOWARDS), original, mask)

    def look(self, picture: Tensor, rng: torch.Generator) -> Tensor:
        """Add the gradient of this view's loss to `picture.grad`.

        Return the weighted losses, detached: one per prompt, then that of the edit (0 without one).
        When memory runs out, look again at fewer cutouts at once: the same cutouts, so the same result.
        """
        draw = self._cutter.draw(picture.shape[-2], picture.shape[-1], rng)
        before = None if picture.grad is None else picture.grad.clone()
        self._chunk = self._chunk or self._fitting_chunk(picture, draw)
        while True:
            try:
                return self._look(picture, draw)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not out_of_memory(error) or self._chunk == 1:
                    raise
                self._chunk = math.ceil(self._chunk / 2)
                self.notices.append(f"Memory ran short: the cutouts are now seen {self._chunk} at a time.")
            picture.grad = before if before is None else before.clone()

    def _look(self, picture: Tensor, draw: Any) -> Tensor:
        count = self._spec.cutouts.count
        total = picture.new_zeros(len(self._targets) + 1)
        for part in (slice(i, min(i + self._chunk, count)) for i in range(0, count, self._chunk)):
            seen = self.perceptor.embed_pictures(self._cutter.cut(picture, draw, part))
            share = self._weight * (part.stop - part.start) / count
            losses = share * torch.stack(
                [*(target(seen) for target in self._targets), self._edit_loss(seen, draw, part)]
            )
            losses.sum().backward()
            total += losses.detach()
        return total

    @torch.no_grad()
    def judge(self, picture: Tensor, rng: torch.Generator) -> float:
        """Return this view's loss of a picture (1, 3, h, w)."""
        seen = self._embed(picture, self._cutter.draw(picture.shape[-2], picture.shape[-1], rng))
        return self._weight * float(torch.stack([target(seen) for target in self._targets]).sum())

    def _embed(self, picture: Tensor, draw: Any) -> Tensor:
        chunk, count = self._chunk or 32, self._spec.cutouts.count
        parts = [slice(i, min(i + chunk, count)) for i in range(0, count, chunk)]
        return torch.cat([self.perceptor.embed_pictures(self._cutter.cut(picture, draw, part)) for part in parts])

    def _edit_loss(self, seen: Tensor, draw: Any, part: slice) -> Tensor:
        """Move from the old words, and stay like the original's same cutout the more, the less of it may change."""
        if self._edit is None:
            return seen.new_zeros(())
        with torch.no_grad():
            original = self.perceptor.embed_pictures(self._cutter.cut(self._edit.original, draw, part))
            kept = 1 - share_inside(self._edit.mask, draw.boxes[part])
        return self._edit.away(seen) + (spherical_distance(seen, original) * kept).mean()

    def _fitting_chunk(self, picture: Tensor, draw: Any) -> int:
        """Return how many cutouts fit into memory at once, by what one of them keeps for the backward pass."""
        one = picture.detach().requires_grad_()
        run = lambda: self.perceptor.embed_pictures(self._cutter.cut(one, draw, slice(0, 1)))  # noqa: E731
        bytes_each = saved_bytes(run, self.perceptor.parameters())
        return self._device.at_once(self._spec.cutouts.count, 2 * bytes_each)  # as much again passes through


class _Edit:
    def __init__(self, away: Target, original: Tensor, mask: Tensor | None) -> None:
        self.away = away
        self.original = original
        self.mask = torch.ones_like(original[:, :1]) if mask is None else mask


def saved_bytes(run: Callable[[], Tensor], besides: Iterable[Tensor]) -> int:
    """Return the bytes that `run` keeps for its backward pass, leaving out some tensors."""
    counted = {tensor.untyped_storage().data_ptr() for tensor in besides}
    total = 0

    def pack(tensor: Tensor) -> None:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in counted:
            counted.add(storage.data_ptr())
            total += storage.nbytes()
        # Nothing is packed: a node that saves its own output would hold itself for ever.

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed):
        run()
    return total


def out_of_memory(error: RuntimeError) -> bool:
    """Tell running out of memory from other errors; torch's CPU allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
