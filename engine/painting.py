"""`Painting`: the loop of VQGAN-CLIP (Crowson, Biderman et al. 2022). Iterate it; each `Iterate` is one step."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from engine import starts
from engine.cutouts import Cutter
from engine.losses import STAIR, clamp_with_grad, latent_penalty, penalty_weight, total_variation
from engine.masks import feather, find_region, to_latent
from engine.models import ModelStore
from engine.prompts import Prompt
from engine.spec import BadSpecError, PaintingSpec
from engine.views import CutterType, View

BETAS = (0.9, 0.999)  # paper, section 2
LAST_RATE = 0.1  # of the learning rate, at the end of a cosine schedule
CHECK_EVERY = 10  # steps between looks for NaN: each look makes a GPU wait
STATE_VERSION = 1


class LostError(RuntimeError):
    """The latent holds NaN or infinity; start again from the last good state."""


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
        self._original, self._mask = self._picture_to_edit()
        self._look_for(spec.prompts)
        self._z: Tensor | None = None
        self._began = 0.0

    def __iter__(self) -> Iterator[Iterate]:
        return self

    def __next__(self) -> Iterate:
        if self.step >= self.spec.steps:
            raise StopIteration
        if self._z is None:
            self._set_latent(self._start())
        self._began = self._began or time.monotonic()
        self._change_stage()
        losses, picture = self._gradient()
        self._descend()
        self.step += 1
        if self.step % CHECK_EVERY == 0:
            self._check()
        return Iterate(self.step, self.spec.steps, time.monotonic() - self._began, losses, picture)

    # The step

    def _gradient(self) -> tuple[Tensor, Tensor]:
        """Leave d loss / dz in z.grad; return the losses and the picture that they judge."""
        z = self._latent
        picture = self._paint(z)
        # The cutouts go back to the picture chunk by chunk, the picture through the decoder once: the loss is a mean
        # over cutouts, so this is exact and needs memory for one chunk only.
        seen = picture.detach().requires_grad_()
        losses = torch.stack([view.look(seen, self._rng) for view in self._views]).sum(0)
        rest = self.spec.total_variation * total_variation(seen)
        if self.spec.total_variation:
            rest.backward()
        picture.backward(seen.grad)
        pull = self._pull(z)
        if pull.requires_grad:
            pull.backward()
        losses[-1] += (rest + pull).detach()
        return losses, seen.detach()

    def _paint(self, z: Tensor) -> Tensor:
        """Decode z; outside the mask the picture is the one to edit."""
        picture = clamp_with_grad(self._vqgan.decode(self._vqgan.quantise(z)))
        if self._mask is None or self._original is None:
            return picture
        height, width = picture.shape[-2:]
        mask, original = (F.interpolate(t, (height, width), mode="area") for t in (self._mask, self._original))
        return original + mask * (picture - original)

    def _pull(self, z: Tensor) -> Tensor:
        """Sum what keeps z small or near its start (paper section 2.4)."""
        total = z.new_zeros(())
        for penalty in self.spec.penalties:
            weight = penalty_weight(penalty, self.step, self.spec.steps)
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
        for group in self._adam.param_groups:
            group["lr"] = self._learning_rate()
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            if self.spec.clamp_latent:
                low, high = self._vqgan.range()
                z.copy_(z.maximum(low).minimum(high))
            self._average.lerp_(z, 1 - self.spec.average)

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
            plain = {
                "noise": starts.random_codes,
                "pixels": starts.random_pixels,
                "gradient": starts.random_gradient,
            }
            z = plain[spec.start](self._vqgan, grid, rng)
        return starts.replace_cells(z, spec.init_noise, self._vqgan, rng) if spec.init_noise else z

    def _propose(self, rng: torch.Generator) -> Tensor:
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
        self._adam = torch.optim.Adam([self._latent], lr=self.spec.learning_rate, betas=BETAS)

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
        return starts.image_of(self._paint(self._average if self.spec.average else self._latent))

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
        self._adam.load_state_dict(state["adam"])
        self._rng.set_state(state["rng"])
        self.step = state["step"]
        return self

    def _check(self) -> None:
        if self._z is not None and not bool(self._z.isfinite().all()):
            raise LostError("The painting was lost: its numbers grew without bound. Try a lower learning rate.")
