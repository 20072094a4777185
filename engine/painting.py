"""`Painting`: the loop of VQGAN-CLIP (Crowson, Biderman et al. 2022). Iterate it; each `Iterate` is one step."""

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from engine import starts
from engine.cutouts import Cutter
from engine.generators import Generator
from engine.losses import STAIR, clamp_with_grad, latent_penalty, penalty_weight, total_variation
from engine.masks import feather, find_region, to_latent
from engine.models import ModelStore
from engine.perceptors import Perceptor
from engine.priors import Proposals
from engine.prompts import Prompt
from engine.recording import Recorder
from engine.spec import BadSpecError, PaintingSpec
from engine.views import CutterType, View, look_together, saved_bytes

BETAS = (0.9, 0.999)  # paper, section 2
LAST_RATE = 0.1  # of the learning rate, at the end of a cosine schedule
CHECK_EVERY = 10  # steps between looks for NaN: each look makes a GPU wait
STATE_VERSION = 1


class LostError(RuntimeError):
    """The latents of some paintings hold NaN or infinity; start them again from their last good state."""

    def __init__(self, paintings: "Sequence[Painting]") -> None:
        super().__init__("The painting was lost: its numbers grew without bound. Try a lower learning rate.")
        self.paintings = tuple(paintings)


@dataclass(frozen=True)
class Iterate:
    """Report one step. Its numbers and picture are fetched from the device only when asked for."""

    step: int
    """From 1."""
    steps: int
    seconds: float
    """Since this process began to paint it."""
    _losses: Tensor
    _picture: Tensor

    @property
    def losses(self) -> tuple[float, ...]:
        """Return the loss of each prompt, in the spec's order, then the sum of everything else."""
        return tuple(self._losses.tolist())

    @property
    def loss(self) -> float:
        """Return the whole loss."""
        return float(self._losses.sum())

    def picture(self) -> Image.Image:
        """Return the picture that this step looked at; it is already decoded."""
        return starts.image_of(self._picture)


@dataclass(frozen=True)
class Kind:
    """Say what a step asks of the networks; paintings whose steps are of one kind can take them together."""

    generator: Generator
    perceptors: tuple[Perceptor, ...]
    shape: torch.Size
    """Of the latent."""


class Painting:
    """Paint what a spec describes, step by step; equal specs on equal devices paint equal pictures."""

    def __init__(self, spec: PaintingSpec, models: ModelStore, cutter: CutterType = Cutter) -> None:
        self.spec = spec
        self.step = 0
        self._models = models
        self._device = models.device.torch_device
        self._vqgan = models.generator(spec.generator)
        self._grid = (max(1, spec.height // self._vqgan.factor), max(1, spec.width // self._vqgan.factor))
        whole = sum(choice.weight for choice in spec.perceptors)
        self._views = [
            View(models.perceptor(choice.name), choice.weight / whole, spec, cutter, models.device)
            for choice in spec.perceptors
        ]
        self._rng = self._fresh_rng("steps")
        self._recorder = Recorder(self._rng)
        self._weights = [torch.zeros((), device=self._device) for _ in spec.penalties]
        self._original, self._mask = self._picture_to_edit()
        self._look_for(spec.prompts)
        self._z: Tensor | None = None
        self._began = 0.0

    def __iter__(self) -> Iterator[Iterate]:
        return self

    def __next__(self) -> Iterate:
        if self.is_finished:
            raise StopIteration
        return step_together([self])[0]

    def prepare(self) -> Kind:
        """Make ready for the next step; return which networks it asks, and for what size."""
        if self._z is None:
            self._set_latent(self._start())
        self._began = self._began or time.monotonic()
        self._change_stage()
        self._follow_schedules()
        return Kind(self._vqgan, tuple(view.perceptor for view in self._views), self._latent.shape)

    # The step, whose work in the networks `step_together` does

    def _compose(self, picture: Tensor) -> Tensor:
        """Put the picture to edit back where the mask is black."""
        if self._mask is None or self._original is None:
            return picture
        height, width = picture.shape[-2:]
        mask, original = (F.interpolate(t, (height, width), mode="area") for t in (self._mask, self._original))
        return original + mask * (picture - original)

    def _other_losses(self, seen: Tensor) -> Tensor:
        """Add the gradients of all losses but the prompts', to `seen.grad` and to z's; return their sum."""
        rest = self.spec.total_variation * total_variation(seen)
        if self.spec.total_variation:
            rest.backward()
        pull = self._pull(self._latent)
        if pull.requires_grad:
            pull.backward()
        return (rest + pull).detach()

    def _pull(self, z: Tensor) -> Tensor:
        """Sum what keeps z small or near its start (paper section 2.4)."""
        total = z.new_zeros(())
        for penalty, weight in zip(self.spec.penalties, self._weights, strict=True):
            target = self._first_z if penalty.target == "start" else None
            total = total + weight * latent_penalty(z, target)
        if self.spec.strength < 1:  # in units of the codebook's own spread, so that it means the same for every model
            looseness = self.spec.strength / (1 - self.spec.strength)
            total = total + latent_penalty(z, self._first_z) / (looseness * self._vqgan.codebook.var())
        return total

    def _descend(self) -> None:
        z = self._latent
        assert z.grad is not None
        if self._mask is not None:
            z.grad *= to_latent(self._mask, (z.shape[-2], z.shape[-1]))
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            if self.spec.clamp_latent:
                low, high = self._vqgan.range()
                z.copy_(z.maximum(low).minimum(high))
            self._average.lerp_(z, 1 - self.spec.average)

    def _report(self, losses: Tensor, seen: Tensor) -> Iterate:
        self.step += 1
        return Iterate(self.step, self.spec.steps, time.monotonic() - self._began, losses, seen)

    def _follow_schedules(self) -> None:
        """Put the numbers that change from step to step where the step reads them."""
        for penalty, weight in zip(self.spec.penalties, self._weights, strict=True):
            value = penalty_weight(penalty, self.step, self.spec.steps)
            weight.fill_(value if value <= torch.finfo(weight.dtype).max else math.inf)
        rate = self._learning_rate()
        for group in self._adam.param_groups:
            group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate

    def _learning_rate(self) -> float:
        if self.spec.learning_rate_schedule == "constant":
            return self.spec.learning_rate
        wave = (1 + math.cos(math.pi * self.step / self.spec.steps)) / 2
        return self.spec.learning_rate * (LAST_RATE + (1 - LAST_RATE) * wave)

    def _change_stage(self) -> None:
        """Go from half to full size when the coarse steps are done; renew Adam at each stair (`mse`)."""
        if self._latent.shape[-2:] != self._grid and self.step >= self._coarse_steps:
            with torch.no_grad():
                self._set_latent(starts.fit(self._average, self._vqgan, self._grid))
        stairs = any(penalty.schedule == "staircase" for penalty in self.spec.penalties)
        if stairs and self.step and self.step % STAIR == 0:
            self._renew_adam()

    # The start

    @property
    def _coarse_steps(self) -> int:
        from_nothing = self.spec.init_image is None and self.spec.init_latent is None
        return round(self.spec.coarse * self.spec.steps) if from_nothing and min(self._grid) > 1 else 0

    @torch.no_grad()
    def _start(self) -> Tensor:
        """Return the first latent, all chance in it drawn from the seed."""
        spec, rng = self.spec, self._fresh_rng("start")
        grid = (self._grid[0] // 2, self._grid[1] // 2) if self._coarse_steps else self._grid
        if self._original is not None:
            z = self._vqgan.encode(self._original)
        elif spec.init_latent is not None:
            z = starts.from_latent_file(spec.init_latent, self._vqgan, grid)
        elif spec.start == "best-of":
            z = starts.best_of(spec.candidates, self._vqgan, grid, rng, self._score)
        elif spec.start == "prior":
            z = starts.from_proposals(self._propose(rng), self._vqgan, grid, self._score)
        else:
            z = starts.PLAIN[spec.start](self._vqgan, grid, rng)
        return starts.replace_cells(z, spec.init_noise, self._vqgan, rng) if spec.init_noise else z

    def _propose(self, rng: torch.Generator) -> Proposals:
        prior = self._models.prior(self.spec.generator)
        if prior is None:
            raise BadSpecError(f"The generator '{self.spec.generator}' has no prior; choose another start.")
        wanted = [p for p in self.spec.prompts if p.kind == "text" and p.weight > 0]
        text = ", ".join(p.content for p in wanted)
        return prior.propose(text, self.spec.candidates, rng)

    def _score(self, picture: Tensor) -> float:
        """Judge a candidate start, every one by the same cutouts."""
        rng = self._fresh_rng("score")
        return sum(view.judge(picture, rng) for view in self._views)

    def _picture_to_edit(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the picture to edit, (1, 3, h, w), and its mask (1, 1, h, w), where there are any."""
        spec, (rows, columns) = self.spec, self._grid
        if spec.init_image is None:
            return None, None
        height, width = rows * self._vqgan.factor, columns * self._vqgan.factor
        original = starts.picture_tensor(spec.init_image, height, width, self._device)
        words = spec.mask_text or (spec.edit_from if spec.mask is None else None)
        if spec.mask is not None:
            mask = starts.mask_tensor(spec.mask, height, width, self._device)
        elif words:
            perceptors = [view.perceptor for view in self._views]
            mask = find_region(original, words, perceptors, self._fresh_rng("mask"))
        else:
            return original, None
        return original, feather(mask)

    def _set_latent(self, z: Tensor) -> None:
        self._z = z.detach().clone().requires_grad_()
        self._first_z, self._average = z.detach().clone(), z.detach().clone()
        self._renew_adam()

    def _renew_adam(self) -> None:
        self._adam = torch.optim.Adam([self._latent], betas=BETAS, **self._models.device.adam(self.spec.learning_rate))
        self._recorder.forget()

    def _fresh_rng(self, purpose: str) -> torch.Generator:
        """Return a generator of its own for each purpose, so that none disturbs another and each can be had again."""
        salt = ("steps", "start", "score", "mask", "prompts").index(purpose)
        return torch.Generator(self._device).manual_seed(self.spec.seed * 8 + salt)

    # While it runs, and after

    @property
    def _latent(self) -> Tensor:
        assert self._z is not None
        return self._z

    @property
    def notices(self) -> list[str]:
        """Return what the person who asked should know: words not read, memory that ran short."""
        return list(dict.fromkeys(notice for view in self._views for notice in view.notices))

    def steer(self, prompts: tuple[Prompt, ...]) -> None:
        """Go on from here towards other prompts."""
        self.spec = self.spec.but(prompts=prompts)
        self._look_for(prompts)

    def _look_for(self, prompts: tuple[Prompt, ...]) -> None:
        self._recorder.forget()
        for view in self._views:
            view.look_for(prompts, self._fresh_rng("prompts"))
            if self._original is not None and self.spec.edit_from:
                view.move_away_from(self.spec.edit_from, self._original, self._mask)

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Return the picture as it stands after the last step: the moving average's, where the spec has one."""
        if self._z is None:
            self._set_latent(self._start())
        self._check()
        z = self._average if self.spec.average else self._latent
        return starts.image_of(self._compose(_decode(self._vqgan, z)))

    def save_latent(self, path: Path) -> None:
        """Write the latent that `picture` shows, for `PaintingSpec.init_latent`."""
        z = self._average if self.spec.average else self._latent
        save_file({"z": z.detach().cpu().contiguous()}, path)

    def state_dict(self) -> dict[str, Any]:
        """Copy all that is needed to go on exactly from here, as plain tensors, numbers and strings."""
        self._check()
        return {
            "version": STATE_VERSION,
            "spec": self.spec.to_json(),
            "step": self.step,
            "z": self._latent.detach().clone(),
            "first_z": self._first_z.clone(),
            "average": self._average.clone(),
            "adam": copy.deepcopy(self._adam.state_dict()),
            "rng": self._rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> Self:
        """Go on from a state of this painting, steered or not."""
        steered = PaintingSpec.from_json(state["spec"])
        if steered.prompts != self.spec.prompts:
            self.steer(steered.prompts)
        self._set_latent(state["z"].to(self._device))
        self._first_z, self._average = (state[name].to(self._device) for name in ("first_z", "average"))
        moments = state["adam"]["state"]  # how this device steps is not the state's to say
        self._adam.load_state_dict({**self._adam.state_dict(), "state": moments})
        self._rng.set_state(state["rng"])
        self.step = state["step"]
        return self

    def _check(self) -> None:
        if self.is_lost:
            raise LostError([self])

    @property
    def is_finished(self) -> bool:
        """Tell whether all its steps are taken."""
        return self.step >= self.spec.steps

    @property
    def is_lost(self) -> bool:
        """Tell whether its latent holds NaN or infinity; a GPU is waited for."""
        return self._z is not None and not bool(self._z.isfinite().all())


def step_together(paintings: Sequence[Painting]) -> list[Iterate]:
    """Take one step of paintings that `prepare` alike, what the networks do for them as one batch.

    Each has its own prompts, seed, Adam and number of steps, and becomes what it would become alone, but for the
    rounding of a batch of another size. They join by being given and leave by not being given any more.
    Raise `ValueError` where their steps are not alike, and `LostError`, after the step, for those that are lost.
    """
    steps = [painting.prepare() for painting in paintings]
    if any(step != steps[0] for step in steps):
        raise ValueError("Only paintings of one size, with the same models, can be stepped together.")
    take, first = partial(_take_step, steps[0].generator, paintings), paintings[0]
    recorded = len(paintings) == 1 and first._models.device.records
    results = first._recorder.run(take) if recorded else take()
    iterates = [painting._report(*result) for painting, result in zip(paintings, results, strict=True)]
    due = [painting for painting in paintings if painting.step % CHECK_EVERY == 0]
    if lost := [painting for painting in due if painting.is_lost]:
        raise LostError(lost)
    return iterates


def _take_step(vqgan: Generator, paintings: Sequence[Painting]) -> list[tuple[Tensor, Tensor]]:
    """Do a step's work on the device; return each painting's losses and the picture that it looked at."""
    decoded = _decode(vqgan, torch.cat([painting._latent for painting in paintings])).split(1)
    pictures = [painting._compose(picture) for painting, picture in zip(paintings, decoded, strict=True)]
    # The cutouts go back to the pictures chunk by chunk, the pictures through the decoder once: the loss is a mean over
    # cutouts, so this is exact and needs memory for one chunk only.
    seen = [picture.detach().requires_grad_() for picture in pictures]
    losses = _look(paintings, seen)
    for painting, picture, total in zip(paintings, seen, losses, strict=True):
        total[-1] += painting._other_losses(picture)
    torch.autograd.backward(pictures, [picture.grad for picture in seen])
    for painting in paintings:
        painting._descend()
    return [(total, picture.detach()) for total, picture in zip(losses, seen, strict=True)]


def most_together(painting: Painting) -> int:
    """Return how many paintings like this fit into memory as one batch, by what the decoder keeps of one picture."""
    kind = painting.prepare()
    z = torch.zeros(kind.shape, device=painting._device, requires_grad=True)
    each = saved_bytes(lambda: _decode(kind.generator, z), kind.generator.parameters())
    return painting._models.device.fits(2 * each)  # as much again passes through


def _look(paintings: Sequence[Painting], pictures: Sequence[Tensor]) -> list[Tensor]:
    """Let each perceptor see the cutouts of all pictures, whose `grad` they add to; return each painting's losses."""
    by_perceptor = zip(*(painting._views for painting in paintings), strict=True)
    losses = [
        look_together(
            [view.glance(picture, p._rng) for view, picture, p in zip(views, pictures, paintings, strict=True)]
        )
        for views in by_perceptor
    ]
    return [torch.stack(own).sum(0) for own in zip(*losses, strict=True)]


def _decode(vqgan: Generator, z: Tensor) -> Tensor:
    """Map latents (b, c, h, w) to pictures in [0, 1]."""
    return clamp_with_grad(vqgan.decode(vqgan.quantise(z)))
