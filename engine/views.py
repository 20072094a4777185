"""A view: one perceptor, the cutouts it sees, and what the prompts want of them."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from engine.devices import Device, even
from engine.losses import Target, spherical_distance
from engine.masks import share_inside
from engine.perceptors import Perceptor
from engine.pictures import read_picture
from engine.prompts import Prompt
from engine.spec import Augmentations, Cutouts, PaintingSpec
from engine.starts import tensor_of

_NO_MEMORY = (
    *("can't allocate memory", "could not create a primitive", "could not create a memory", "bad_alloc"),
    *("can't start new thread", "unable to start watchdog thread"),  # there was none left for its stack
)
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
        self.fits = 0
        """How many cutouts fit into memory at once; 0 before the first look."""

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

    def glance(self, picture: Tensor, rng: torch.Generator) -> "Look":
        """Draw the next cutouts of a picture (1, 3, h, w) that gathers its gradient in `grad`."""
        return Look(self, picture, self._cutter.draw(picture.shape[-2], picture.shape[-1], rng))

    def losses(self, seen: Tensor, look: "Look", part: slice) -> Tensor:
        """Return the weighted losses of some embedded cutouts: one per prompt, then the edit's (0 without one)."""
        share = self._weight * len(seen) / self.count
        return share * torch.stack(
            [*(target(seen) for target in self._targets), self._edit_loss(seen, look.draw, part)]
        )

    def no_losses(self, like: Tensor) -> Tensor:
        """Return zeros in the shape of `losses`."""
        return like.new_zeros(len(self._targets) + 1)

    def cut(self, look: "Look", part: slice) -> Tensor:
        """Cut some of the cutouts that a glance drew."""
        return self._cutter.cut(look.picture, look.draw, part)

    @property
    def count(self) -> int:
        """Return how many cutouts it looks at."""
        return self._spec.cutouts.count

    @torch.no_grad()
    def judge(self, picture: Tensor, rng: torch.Generator) -> float:
        """Return this view's loss of a picture (1, 3, h, w)."""
        seen = self._embed(picture, self._cutter.draw(picture.shape[-2], picture.shape[-1], rng))
        return self._weight * float(torch.stack([target(seen) for target in self._targets]).sum())

    def _embed(self, picture: Tensor, draw: Any) -> Tensor:
        chunk = self.fits or 32
        parts = [slice(i, min(i + chunk, self.count)) for i in range(0, self.count, chunk)]
        return torch.cat([self.perceptor.embed_pictures(self._cutter.cut(picture, draw, part)) for part in parts])

    def _edit_loss(self, seen: Tensor, draw: Any, part: slice) -> Tensor:
        """Move from the old words, and stay like the original's same cutout the more, the less of it may change."""
        if self._edit is None:
            return seen.new_zeros(())
        with torch.no_grad():
            original = self.perceptor.embed_pictures(self._cutter.cut(self._edit.original, draw, part))
            kept = 1 - share_inside(self._edit.mask, draw.boxes[part])
        return self._edit.away(seen) + (spherical_distance(seen, original) * kept).mean()

    def weigh(self, look: "Look") -> None:
        """Find out how many cutouts fit into memory at once, by what one of them keeps for the backward pass."""
        one = Look(self, look.picture.detach().requires_grad_(), look.draw)
        run = lambda: self.perceptor.embed_pictures(one.cut(slice(0, 1)))  # noqa: E731
        self.fits = self._device.fits(2 * saved_bytes(run, self.perceptor.parameters()))  # as much again passes through


class _Edit:
    def __init__(self, away: Target, original: Tensor, mask: Tensor | None) -> None:
        self.away = away
        self.original = original
        self.mask = torch.ones_like(original[:, :1]) if mask is None else mask


@dataclass(frozen=True)
class Look:
    """Hold what one view looks at in one step."""

    view: View
    picture: Tensor
    draw: Any

    def cut(self, part: slice) -> Tensor:
        """Cut some of the cutouts."""
        return self.view.cut(self, part)


def look_together(looks: Sequence[Look]) -> list[Tensor]:
    """Add the gradient of each look's loss to its `picture.grad`, all cutouts seen as one batch by the one perceptor.

    Return each look's losses (`View.losses`), detached. When memory runs out, look again at fewer cutouts at once: the
    same cutouts, so the same result.
    """
    before = [None if look.picture.grad is None else look.picture.grad.clone() for look in looks]
    for look in looks:
        if not look.view.fits:
            look.view.weigh(look)
    while True:
        chunk = even(sum(look.view.count for look in looks), min(look.view.fits for look in looks))
        try:
            return _look(looks, chunk)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not out_of_memory(error) or chunk == 1:
                raise
        fewer = math.ceil(chunk / 2)
        for look, grad in zip(looks, before, strict=True):
            look.view.fits = fewer
            look.view.notices.append(f"Memory ran short: the cutouts are now seen {fewer} at a time.")
            look.picture.grad = None if grad is None else grad.clone()


def _look(looks: Sequence[Look], chunk: int) -> list[Tensor]:
    totals = [look.view.no_losses(look.picture) for look in looks]
    for dealt in _deal([look.view.count for look in looks], chunk):
        cutouts = [looks[i].cut(part) for i, part in dealt]
        seen = looks[0].view.perceptor.embed_pictures(cutouts[0] if len(cutouts) == 1 else torch.cat(cutouts))
        each = zip(dealt, seen.split([len(some) for some in cutouts]), strict=True)
        losses = {i: looks[i].view.losses(some, looks[i], part) for (i, part), some in each}
        torch.cat(list(losses.values())).sum().backward()
        for i, some in losses.items():
            totals[i] += some.detach()
    return totals


def _deal(counts: Sequence[int], chunk: int) -> Iterator[list[tuple[int, slice]]]:
    """Deal several rows of cutouts, end to end, into chunks; yield each as pairs of a row's number and its part."""
    starts = list(itertools.accumulate(counts, initial=0))
    for first in range(0, starts[-1], chunk):
        parts = [
            slice(max(0, first - start), min(n, first + chunk - start))
            for n, start in zip(counts, starts, strict=False)
        ]
        yield [(i, part) for i, part in enumerate(parts) if part.start < part.stop]


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


def out_of_memory(error: Exception) -> bool:
    """Tell running out of memory from other errors; on CPUs torch and oneDNN raise a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(said in str(error) for said in _NO_MEMORY)
