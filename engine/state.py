"""What a painting saves to be gone on from, read and checked before any of it is used."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from engine.spec import BadSpecError, PaintingSpec

STATE_VERSION = 2
_FIRST_NAMES = {"z": "z", "z_orig": "first_z", "ema": "average"}
"""What version 1 called the latents."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


class BadStateError(RuntimeError):
    """A saved state that does not fit the painting; nothing of it was taken."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The saved state cannot be gone on from: {why}. Start the painting anew.")


@dataclass(frozen=True)
class State:
    """Hold a state that fits its painting."""

    spec: PaintingSpec
    step: int
    z: Tensor
    z_orig: Tensor
    ema: Tensor
    moments: dict[int, dict[str, Tensor]]
    """Adam's, by parameter; empty where it has taken no step yet."""
    detail: Tensor | None = None
    """What the VQGAN lost of an edit's start, (count, 3, h, w), where it is kept."""

    @classmethod
    def read(cls, saved: Mapping[str, Any], spec: PaintingSpec, shapes: Collection[torch.Size]) -> Self:
        """Read what `to_dict` wrote, in this version or an earlier one, for a painting of `spec`.

        `shapes` are those that its latents may have. Raise `BadStateError`.
        """
        try:
            version = saved["version"]
            names = _FIRST_NAMES if version == 1 else {name: name for name in _FIRST_NAMES}
            z, z_orig, ema = (saved[names[name]] for name in ("z", "z_orig", "ema"))
            own = PaintingSpec.from_json(saved["spec"])
            state = cls(own, saved["step"], z, z_orig, ema, saved["adam"]["state"], saved.get("detail"))
        except (KeyError, TypeError) as error:
            raise BadStateError(f"it lacks {error}") from None
        except BadSpecError as error:
            raise BadStateError(f"its spec cannot be read ({error})") from None
        if version not in (1, STATE_VERSION):
            raise BadStateError(f"it is of version {version}, and this program reads up to {STATE_VERSION}")
        if own.generator != spec.generator:
            raise BadStateError(f"it was painted by {own.generator}, not by {spec.generator}")
        if not isinstance(state.step, int) or not 0 <= state.step <= spec.steps:
            raise BadStateError(f"it stands at step {state.step} of {spec.steps}")
        state._check_latents(shapes)
        state._check_moments()
        state._check_detail(spec.keep_detail and spec.init_image is not None)
        return state

    def _check_latents(self, shapes: Collection[torch.Size]) -> None:
        latents = (self.z, self.z_orig, self.ema)
        if not all(isinstance(one, Tensor) and one.is_floating_point() for one in latents):
            raise BadStateError("its latents are no numbers")
        if self.z.shape not in shapes or any(one.shape != self.z.shape for one in latents):
            raise BadStateError(f"its latents are of shape {tuple(self.z.shape)}")
        if not all(bool(one.isfinite().all()) for one in latents):
            raise BadStateError("its latents hold NaN or infinity")

    def _check_moments(self) -> None:
        for moments in self.moments.values():
            if not {"step", *_MOMENTS} <= set(moments):
                raise BadStateError("its optimiser's moments are not all there")
            if any(moments[name].shape != self.z.shape for name in _MOMENTS):
                raise BadStateError("its optimiser's moments are of another shape")

    def _check_detail(self, wanted: bool) -> None:
        """Refuse a detail of another size than the latents' pictures, or none where the spec keeps it."""
        if wanted == (self.detail is None):
            raise BadStateError("it lacks the detail of its picture, or has one that nobody asked for")
        if self.detail is None:
            return
        rows, columns = self.z.shape[-2:]
        height, width = self.detail.shape[-2:]
        if self.detail.shape[:2] != (len(self.z), 3) or height % rows or width % columns:
            raise BadStateError(f"the detail of its picture is of shape {tuple(self.detail.shape)}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain tensors, numbers and strings."""
        return {
            "version": STATE_VERSION,
            "spec": self.spec.to_json(),
            "step": self.step,
            "z": self.z,
            "z_orig": self.z_orig,
            "ema": self.ema,
            "adam": {"state": self.moments},
            **({} if self.detail is None else {"detail": self.detail}),
        }
