"""Mixed precision by hand: bfloat16 networks with float32 master weights, and a schedule in steps."""

import math
from collections.abc import Iterable
from typing import Any

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
        self.adam = torch.optim.AdamW(groups, lr=lr, betas=betas, eps=1e-8)
        self.lr = lr

    def step(self, scale: float = 1.0, clip: float = 1.0) -> float:
        """Update with the learning rate times `scale`; return the gradients' norm before clipping."""
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            master.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        norm = nn.utils.clip_grad_norm_(self.masters, clip)
        for group in self.adam.param_groups:
            group["lr"] = self.lr * scale
        self.adam.step()
        with torch.no_grad():
            for parameter, master in zip(self.parameters, self.masters, strict=True):
                parameter.copy_(master)
        return float(norm)

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


def schedule(step: int, steps: int, warmup: int = 100, floor: float = 0.02) -> float:
    """Return the share of the learning rate: a linear warm-up, then a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
