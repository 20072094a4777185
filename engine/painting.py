"""`Painting`: the loop of VQGAN-CLIP (Crowson, Biderman et al. 2022). Iterate it; each `Iterate` is one step."""

import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from engine.edit import Edit, choose, detail_of, read_edit
from engine.guides import Guide
from engine.losses import (
    clamp_with_grad,
    falls_a_stair,
    latent_penalty,
    look_losses,
    penalty_weight,
    pixels_apart,
    total_variation,
)
from engine.masks import read_region
from engine.models import ModelStore
from engine.motion import active, is_frame, moved, seconds_at
from engine.prompts import Prompt
from engine.recording import Recorder
from engine.seeds import derive_seed, generators
from engine.spec import Motion, PaintingSpec
from engine.start import first_latent, fit, replace_cells
from engine.state import State
from engine.tensors import image_of
from engine.vocabulary import unknown_words_notice

BETAS = (0.9, 0.999)  # paper, section 2
LAST_RATE = 0.1  # of the learning rate, at the end of a cosine schedule
CHECK_EVERY = 10  # steps between looks for NaN: each look makes a GPU wait


class LostError(RuntimeError):
    """The latent holds NaN or infinity; start again from the last good state."""

    def __init__(self) -> None:
        super().__init__("The painting was lost: its numbers grew without bound. Try a lower learning rate.")


@dataclass(frozen=True)
class Iterate:
    """Report one step. Its numbers and pictures are fetched from the device only when asked for."""

    step: int
    """From 1."""
    steps: int
    seconds: float
    """Since this process began to paint it."""
    _losses: Tensor
    """(count, prompts + 1)"""
    _pictures: Tensor
    """(count, 3, h, w)"""

    @property
    def losses(self) -> tuple[float, ...]:
        """Return the loss of each prompt, in the spec's order, then of everything else; means over the pictures."""
        return tuple(self._losses.mean(0).tolist())

    @property
    def loss(self) -> float:
        """Return the whole loss, the mean over the pictures."""
        return float(self._losses.sum(1).mean())

    def picture(self, index: int = 0) -> Image.Image:
        """Return a picture that this step looked at; it is already decoded."""
        return image_of(self._pictures[index])

    def pictures(self) -> list[Image.Image]:
        """Return all pictures that this step looked at."""
        return [image_of(picture) for picture in self._pictures]


class Painting:
    """Paint what a spec describes, step by step: its pictures are one batch, each with its own seed."""

    def __init__(self, spec: PaintingSpec, models: ModelStore) -> None:
        self.spec = spec
        self.step = 0
        self._models = models
        self._device = models.device.torch_device
        self._vqgan = models.generator(spec.generator, tile=spec.tile)
        self._grid = (max(1, spec.height // self._vqgan.factor), max(1, spec.width // self._vqgan.factor))
        whole = sum(choice.weight for choice in spec.perceptors)
        self._guides = [
            Guide(models.perceptor(choice.name), choice.weight / whole, spec, models.device)
            for choice in spec.perceptors
        ]
        self._rngs = generators(spec.seeds, "steps", self._device)
        self._recorder = Recorder(self._rngs)
        self._penalty_weights = [torch.zeros((), device=self._device) for _ in spec.penalties]
        self._edit = self._read_edit()
        if spec.upscale > 1:
            models.upscaler(spec.generator)  # where it is missing, that is said before anything is painted
        self._in_logits = bool(spec.edit_from) and self._vqgan.kind == "gumbel"
        """Whether z is what a Gumbel VQGAN makes logits of, sampled at each step (EleutherAI's editing notebook)."""
        self._region = self._read_region()
        self._set_prompts(spec.prompts)
        self._z: Tensor | None = None
        self._detail: Tensor | None = None
        """What the VQGAN lost of an edit's start, (count, 3, h, w), as far as it is kept."""
        self._began = 0.0

    def __iter__(self) -> Iterator[Iterate]:
        return self

    def __next__(self) -> Iterate:
        """Take one step; raise `LostError` where a latent is found to hold NaN."""
        if self.is_finished:
            raise StopIteration
        self._began = self._began or time.monotonic()
        self._follow_schedules()
        losses, pictures = self._recorder.run(self._update) if self._models.device.records else self._update()
        self.step += 1
        if self.step % CHECK_EVERY == 0:
            self._check()
        return Iterate(self.step, self.spec.steps, time.monotonic() - self._began, losses, pictures)

    # The step

    def _follow_schedules(self) -> None:
        """Put what changes from step to step where the device reads it."""
        self._change_stage()
        if self.spec.motion is not None:
            self._move(self.spec.motion)
        for penalty, weight in zip(self.spec.penalties, self._penalty_weights, strict=True):
            value = penalty_weight(penalty, self.step, self.spec.steps)
            weight.fill_(value if value <= torch.finfo(weight.dtype).max else math.inf)
        rate = self._learning_rate()
        for group in self._adam.param_groups:
            group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
        for guide in self._guides:
            guide.cutter.set_progress(self.step / self.spec.steps, self._device)
        for rng, seed in zip(self._rngs, self.spec.seeds, strict=True):
            rng.manual_seed(derive_seed(seed, "steps", self.step))  # so that a state needs none, nor the same device

    def _learning_rate(self) -> float:
        if self.spec.learning_rate_schedule == "constant":
            return self.spec.learning_rate
        wave = (1 + math.cos(math.pi * self.step / self.spec.steps)) / 2
        return self.spec.learning_rate * (LAST_RATE + (1 - LAST_RATE) * wave)

    def _change_stage(self) -> None:
        """Go from half to full size when the coarse steps are done; renew Adam where a staircase falls (`mse`)."""
        if self.z.shape[-2:] != self._grid and self.step >= self._coarse_steps:
            with torch.no_grad():
                self._set_latent(fit(self._ema, self._vqgan, self._grid))
        if any(falls_a_stair(penalty, self.step, self.spec.steps) for penalty in self.spec.penalties):
            self._renew_adam()

    def _move(self, motion: Motion) -> None:
        """Go on from the moved picture when a frame is finished, with the words of its time."""
        if is_frame(motion, self.step):
            with torch.no_grad():
                self._set_latent(self._vqgan.encode(moved(self._synthesise(self._codewords()), motion)))
        if self._active_of(self.spec.prompts) != self._active:
            self._set_prompts(self.spec.prompts)

    def _update(self) -> tuple[Tensor, Tensor]:
        """Take z one step down; return the losses (count, prompts + 1), and the pictures that they are of."""
        z = self.z
        self._adam.zero_grad(set_to_none=True)
        pictures = self._synthesise(self._sample(z))
        # Gradients gather at the pictures, chunk of cutouts by chunk, and go through the decoder once: the loss is a
        # mean over cutouts, so this is exact, and needs memory for one chunk only.
        seen = pictures.detach().requires_grad_()
        losses = torch.stack([guide.backward(seen, self._rngs) for guide in self._guides]).sum(0)
        for asked in self._asked_of(seen):
            losses[:, -1] += _backward(asked)
        pictures.backward(seen.grad)
        for regulariser in self._regularisers(z):
            losses[:, -1] += _backward(regulariser)
        assert z.grad is not None
        if self._edit is not None:
            self._edit.confine_(z.grad)
        self._adam.step()
        with torch.no_grad():
            if self.spec.clamp_latent and not self._in_logits:
                low, high = self._vqgan.range()
                z.copy_(z.maximum(low).minimum(high))
            self._ema.lerp_(z, 1 - self.spec.ema_decay)
        return losses, seen.detach()

    def _sample(self, z: Tensor) -> Tensor:
        """Return the codewords of a latent, as the step takes them."""
        return self._vqgan.sample_logits(z, self._rngs) if self._in_logits else self._vqgan.quantise(z)

    def _synthesise(self, codewords: Tensor, *, in_full: bool = False) -> Tensor:
        """Map codewords (b, c, rows, columns) to pictures in [0, 1], the picture to edit where nothing may change."""
        pictures = clamp_with_grad(self._vqgan.decode(codewords, in_full=in_full))
        return pictures if self._edit is None else self._edit.put_back(pictures, self._detail)

    def _asked_of(self, pictures: Tensor) -> Iterator[Tensor]:
        """Yield the losses of pictures that are no guide's, (count,)."""
        if self.spec.total_variation:
            yield self.spec.total_variation * total_variation(pictures)
        if self.spec.init_pixels and self._edit is not None:
            yield self.spec.init_pixels * pixels_apart(pictures, self._edit.original)
        yield from look_losses(self.spec.looks, pictures)

    def _regularisers(self, z: Tensor) -> Iterator[Tensor]:
        """Yield what keeps each z small or near its start (paper section 2.4), (count,)."""
        for penalty, weight in zip(self.spec.penalties, self._penalty_weights, strict=True):
            yield weight * latent_penalty(z, self._z_orig if penalty.target == "start" else None)
        if self.spec.strength < 1:  # in units of the codebook's own spread, so that it means the same for every model
            looseness = self.spec.strength / (1 - self.spec.strength)
            yield latent_penalty(z, self._z_orig) / (looseness * self._vqgan.codebook.var())

    # The start

    @property
    def z(self) -> Tensor:
        """Return the latents, (count, channels, rows, columns); the first time, they are drawn from the seeds."""
        if self._z is None:
            self._set_latent(self._start())
        assert self._z is not None
        return self._z

    def _set_latent(self, z: Tensor) -> None:
        self._z = z.detach().clone().requires_grad_()
        self._z_orig, self._ema = z.detach().clone(), z.detach().clone()
        self._renew_adam()

    def _renew_adam(self) -> None:
        self._adam = torch.optim.Adam([self.z], betas=BETAS, **self._models.device.adam(self.spec.learning_rate))
        self._recorder.forget()

    @torch.no_grad()
    def _start(self) -> Tensor:
        spec = self.spec.model_copy(update={"prompts": self._active})  # of a story, the words it begins with
        rngs = generators(spec.seeds, "start", self._device)
        if self._edit is not None:
            pictures = choose(self._edit.starts, spec.count, self._score)
            z = self._vqgan.encode_logits(pictures) if self._in_logits else self._vqgan.encode(pictures)
            if spec.keep_detail and not self._in_logits:
                self._detail = detail_of(pictures, z, self._vqgan, spec.strength)
        else:
            grid = (self._grid[0] // 2, self._grid[1] // 2) if self._coarse_steps else self._grid
            prior = self._models.prior(spec.generator) if spec.start == "prior" else None
            z = first_latent(spec, self._vqgan, grid, rngs, self._score, prior, self._region)
        return replace_cells(z, spec.init_noise, self._vqgan, rngs) if spec.init_noise else z

    @property
    def _coarse_steps(self) -> int:
        from_nothing = self.spec.init_image is None and self.spec.init_latent is None
        return round(self.spec.coarse * self.spec.steps) if from_nothing and min(self._grid) > 1 else 0

    def _score(self, pictures: Tensor) -> Tensor:
        """Judge one candidate start of each picture, every one by the same cutouts."""
        rngs = generators(self.spec.seeds, "score", self._device)
        return torch.stack([guide.judge(pictures, rngs) for guide in self._guides]).sum(0)

    def _read_edit(self) -> Edit | None:
        size = (self._grid[0] * self._vqgan.factor, self._grid[1] * self._vqgan.factor)
        prior = self._models.prior(self.spec.generator) if self.spec.edit_start == "proposal" else None
        return read_edit(self.spec, self._vqgan, size, [guide.perceptor for guide in self._guides], prior)

    def _read_region(self) -> Tensor | None:
        """Read what words for inside and outside are about."""
        if self._edit is not None:
            return self._edit.region
        if not self.spec.mask and not self.spec.mask_text:
            return None
        width, height = self.size
        return read_region(self.spec, height, width, self._device)

    def _active_of(self, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
        motion = self.spec.motion
        return prompts if motion is None else active(prompts, seconds_at(motion, self.step))

    # While it runs

    def enlarged(self, picture: Image.Image, side: int = 0) -> Image.Image:
        """Return a finished picture as large as `upscale` asks for.

        Of the embedded pair, whose pictures are small, the longer side has at least `side` pixels too.
        """
        side = max(side if self.spec.generator == "embedded" else 0, self.spec.upscale * max(picture.size))
        return (
            self._models.upscaler(self.spec.generator).enlarged(picture, side) if side > max(picture.size) else picture
        )

    def steer(self, prompts: tuple[Prompt, ...]) -> None:
        """Go on from here towards other prompts."""
        steered = self.spec.but(prompts=prompts)
        self._set_prompts(prompts)
        self.spec = steered

    def _set_prompts(self, prompts: tuple[Prompt, ...]) -> None:
        self._recorder.forget()
        self._active = self._active_of(prompts)
        for guide in self._guides:
            guide.set_prompts(self._active, self._region)
            if self._edit is not None:
                guide.set_edit(self._edit)

    @property
    def notices(self) -> list[str]:
        """Return what the person who asked should know: words not read, memory that ran short."""
        missed = unknown_words_notice(self.spec, self._models.vocabulary())
        said = [missed] if missed else []
        return list(dict.fromkeys([*said, *(notice for guide in self._guides for notice in guide.notices)]))

    @property
    def size(self) -> tuple[int, int]:
        """Return the width and height that are painted, in pixels: the spec's, in whole latent cells."""
        rows, columns = self._grid
        return columns * self._vqgan.factor, rows * self._vqgan.factor

    @property
    def is_finished(self) -> bool:
        """Return whether all its steps are taken."""
        return self.step >= self.spec.steps

    @property
    def is_lost(self) -> bool:
        """Return whether a latent holds NaN or infinity; a GPU is waited for."""
        return self._z is not None and not bool(self._z.isfinite().all())

    def _check(self) -> None:
        if self.is_lost:
            raise LostError

    # What comes of it

    def picture(self, index: int = 0) -> Image.Image:
        """Return a picture as it stands after the last step: the moving average's, where the spec has one."""
        return self.pictures()[index]

    @torch.no_grad()
    def pictures(self) -> list[Image.Image]:
        """Return all pictures as they stand after the last step, the decoder's last layer in full precision."""
        self._check()
        return [image_of(picture) for picture in self._synthesise(self._codewords(), in_full=True)]

    @torch.no_grad()
    def encode_latent(self, index: int = 0) -> bytes:
        """Return the latent that `picture` shows as a safetensors file, for `PaintingSpec.init_latent`."""
        z = self._codewords() if self._in_logits else self._shown()
        return save({"z": z[index : index + 1].detach().cpu().contiguous()})

    def _codewords(self) -> Tensor:
        return self._vqgan.likeliest(self._shown()) if self._in_logits else self._vqgan.quantise(self._shown())

    def _shown(self) -> Tensor:
        z = self.z
        return self._ema if self.spec.ema_decay else z

    def state_dict(self) -> dict[str, Any]:
        """Copy all that is needed to go on exactly from here, as plain tensors, numbers and strings."""
        self._check()
        moments = copy.deepcopy(self._adam.state_dict()["state"])
        z, z_orig, ema = (one.detach().clone() for one in (self.z, self._z_orig, self._ema))
        detail = None if self._detail is None else self._detail.clone()
        return State(self.spec, self.step, z, z_orig, ema, moments, detail).to_dict()

    def load_state_dict(self, saved: Mapping[str, Any]) -> Self:
        """Go on from a state of this painting, steered or not, saved on this kind of device or on another.

        Raise `BadStateError`, and change nothing, where it does not fit.
        """
        coarse = (self._grid[0] // 2, self._grid[1] // 2)
        sizes = [self._grid, coarse] if self._coarse_steps else [self._grid]
        shapes = [torch.Size((self.spec.count, self._vqgan.channels, *size)) for size in sizes]
        state = State.read(saved, self.spec, shapes)
        if state.spec.prompts != self.spec.prompts:
            self.steer(state.spec.prompts)
        self._set_latent(state.z.to(self._device))
        self._z_orig, self._ema = state.z_orig.to(self._device), state.ema.to(self._device)
        # How this device steps is not the state's to say.
        self._adam.load_state_dict({**self._adam.state_dict(), "state": state.moments})
        self._detail = None if state.detail is None else state.detail.to(self._device)
        self.step = state.step
        return self


def _backward(losses: Tensor) -> Tensor:
    """Add the gradient of some losses, (count,), to what they are of; return them."""
    losses.sum().backward()
    return losses.detach()
