"""What a painting minimises: small losses, composed by weight."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.spec import Penalty

STAIR = 50
"""Steps between two drops of a staircase penalty (EleutherAI/notebooks, "MSE regularized")."""


def spherical_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return half the squared angle between unit vectors, (…, d) and (…, d) to (…): 0 to pi^2 / 2 = 4.93.

    `2 * arcsin(|a - b| / 2)^2`: the paper's squared spherical distance (section 2) as its notebooks compute it.
    """
    return (a - b).norm(dim=-1).div(2).clamp(max=1).arcsin().square().mul(2)


@dataclass(frozen=True)
class PromptLoss:
    """Pull pictures towards (or, with a negative weight, away from) the embeddings of one prompt."""

    embeddings: Tensor
    """(m, d), unit length."""
    weight: float = 1.0
    stop: float | None = None

    def __call__(self, cutouts: Tensor) -> Tensor:
        """Return the prompt's loss for embedded cutouts (…, n, d), (…): `weight` times the mean over all pairs.

        Pairs already past `stop` (nearer to a wanted prompt, farther from an unwanted one) still count in the value but
        have no gradient, as in Crowson's z+quantize notebook.
        """
        distances = spherical_distance(cutouts[..., None, :], self.embeddings)
        if self.stop is not None:
            done = distances < self.stop if self.weight > 0 else distances > self.stop
            distances = torch.where(done, distances.detach(), distances)
        return self.weight * distances.mean((-2, -1))


def penalty_weight(penalty: Penalty, step: int, steps: int) -> float:
    """Return the penalty's weight at `step` (0 is the first) of `steps`, by its published schedule; never below 0."""
    lost: dict[str, Callable[[], float]] = {
        "constant": lambda: 0.0,
        "linear": lambda: penalty.rate * step / steps,  # paper, section 2.4
        "staircase": lambda: penalty.rate * (step // STAIR),  # EleutherAI/notebooks, "MSE regularized"
        "inverse": lambda: penalty.weight * (1 - 1 / (2 * step + 1)),  # nerdyrodent/VQGAN-CLIP, `--init_weight`
    }
    return max(0.0, penalty.weight - lost[penalty.schedule]())


def total_variation(picture: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels of each of (b, 3, h, w), (b,)."""
    across = (picture[..., :, 1:] - picture[..., :, :-1]).square().mean((1, 2, 3))
    down = (picture[..., 1:, :] - picture[..., :-1, :]).square().mean((1, 2, 3))
    return across + down


def latent_penalty(z: Tensor, target: Tensor | None) -> Tensor:
    """Return `mean((z - target)^2)` of each latent (b, c, h, w), (b,); target None: zero. Paper section 2.4."""
    return (z if target is None else z - target).square().mean((1, 2, 3))


class _ClampWithGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, value: Tensor) -> Tensor:
        ctx.save_for_backward(value)
        return value.clamp(0, 1)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        (value,) = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        (grad,) = grad_outputs
        return grad * (grad * (value - value.clamp(0, 1)) >= 0)


def clamp_with_grad(value: Tensor) -> Tensor:
    """Clamp to [0, 1], keeping every gradient but the one that would push further out (Crowson's notebook)."""
    return _ClampWithGrad.apply(value)  # pyright: ignore[reportReturnType]
