"""Mixed precision by hand: bfloat16 networks with float32 master weights, and a schedule."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import nn


class MasterAdamW:
    """AdamW on float32 copies of a network's bfloat16 weights.

    Autocast converts every weight at every use; on a CPU whole networks in bfloat16 are faster, and only the small
    updates need the precision of float32.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        decay: float = 0.01,
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.masters = [p.detach().float().clone() for p in self.parameters]
        matrices = [m for m in self.masters if m.dim() > 1]
        vectors = [m for m in self.masters if m.dim() <= 1]
        groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
        fused = self.masters[0].is_cuda
        self.adam = torch.optim.AdamW(groups, lr=lr, betas=betas, eps=1e-8, fused=fused)
        self.lr = lr

    @torch.no_grad()
    def step(self, scale: float = 1.0, clip: float = 1.0) -> torch.Tensor:
        """Update with the learning rate times `scale`; return the gradients' norm before clipping."""
        reached = [(p, m) for p, m in zip(self.parameters, self.masters, strict=True) if p.grad is not None]
        parameters, masters = [p for p, _ in reached], [m for _, m in reached]
        gradients = [torch.empty_like(m) for m in masters]
        copy_all(gradients, [cast(torch.Tensor, p.grad) for p in parameters])
        for master, gradient in zip(masters, gradients, strict=True):
            master.grad = gradient
        norm = nn.utils.clip_grad_norm_(masters, clip)
        for group in self.adam.param_groups:
            group["lr"] = self.lr * scale
        self.adam.step()
        self.adam.zero_grad()
        copy_all(parameters, masters)
        for parameter in parameters:
            parameter.grad = None
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return the masters, and Adam's moments in bfloat16: they are averages over hundreds of steps of noise."""
        adam = self.adam.state_dict()
        rows = {
            at: {name: tensor.bfloat16() if tensor.dim() else tensor for name, tensor in row.items()}
            for at, row in adam["state"].items()
        }
        return {"masters": self.masters, "adam": {**adam, "state": rows}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        with torch.no_grad():
            for parameter, master, saved in zip(self.parameters, self.masters, state["masters"], strict=True):
                master.copy_(saved)
                parameter.copy_(saved)
        self.adam.load_state_dict(state["adam"])


def copy_all(into: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    """Copy tensors in one launch, changing their type on the way."""
    torch._foreach_copy_(list(into), list(values))  # pyright: ignore[reportPrivateImportUsage]


def schedule(step: int, progress: float, warmup: int = 100, floor: float = 0.02) -> float:
    """Return the share of the learning rate: a linear warm-up in steps, a cosine of the progress down to `floor`."""
    wave = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return min(1.0, (step + 1) / warmup) * wave
