"""What a painting minimises: small losses, composed by weight."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.devices import constant
from engine.spec import Looks, Penalty

STAIR = 50
"""Steps between two drops of a staircase penalty (EleutherAI/notebooks, "MSE regularized")."""


PIXELS = 10.0
PALETTE, SYMMETRY, SATURATION, SMOOTHNESS, EDGES = 10.0, 40.0, 1.0, 8.0, 3.0
EDGE = 0.08
"""Share of the shorter side that counts as the picture's edge."""


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

    def __call__(self, cutouts: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return the prompt's loss for embedded cutouts (…, n, d), (…): `weight` times the mean over all pairs.

        `shares` (…, n) say how much each cutout counts, 1 on the mean of all; None: all alike.

        Pairs already past `stop` (nearer to a wanted prompt, farther from an unwanted one) still count in the value but
        have no gradient, as in Crowson's z+quantize notebook.
        """
        distances = spherical_distance(cutouts[..., None, :], self.embeddings)
        if self.stop is not None:
            done = distances < self.stop if self.weight > 0 else distances > self.stop
            distances = torch.where(done, distances.detach(), distances)
        of_cutouts = distances.mean(-1)
        return self.weight * (of_cutouts if shares is None else of_cutouts * shares).mean(-1)


def penalty_weight(penalty: Penalty, step: int, steps: int) -> float:
    """Return the penalty's weight at `step` (0 is the first) of `steps`, by its published schedule; never below 0."""
    lost: dict[str, Callable[[], float]] = {
        "constant": lambda: 0.0,
        "linear": lambda: penalty.rate * step / steps,  # paper, section 2.4
        "staircase": lambda: penalty.rate * (step // STAIR),  # EleutherAI/notebooks, "MSE regularized"
        "inverse": lambda: penalty.weight * (1 - 1 / (2 * step + 1)),  # nerdyrodent/VQGAN-CLIP, `--init_weight`
    }
    return max(0.0, penalty.weight - lost[penalty.schedule]())


def falls_a_stair(penalty: Penalty, step: int, steps: int) -> bool:
    """Return whether a staircase penalty weighs less from `step` on, where its notebook begins with a fresh Adam."""
    before, now = (penalty_weight(penalty, one, steps) for one in (max(0, step - 1), step))
    return penalty.schedule == "staircase" and now < before


def total_variation(picture: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels of each of (b, 3, h, w), (b,).

    Squared, as in the notebooks (Crowson's codebook sampling); kornia's `total_variation` is of absolute differences.
    """
    across = (picture[..., :, 1:] - picture[..., :, :-1]).square().mean((1, 2, 3))
    down = (picture[..., 1:, :] - picture[..., :-1, :]).square().mean((1, 2, 3))
    return across + down


def pixels_apart(pictures: Tensor, original: Tensor) -> Tensor:
    """Return the mean squared difference of pictures (b, 3, h, w) and the one to stay near, (1, 3, h, w), (b,)."""
    return PIXELS * (pictures - original).square().mean((1, 2, 3))


# What a look asks of pictures (b, 3, h, w), (b,) each; pixray has losses of these names. The factors are such that a
# weight of 1 is clearly to be seen beside the guides' losses, with the embedded pair.


def palette_loss(pictures: Tensor, colours: Tensor) -> Tensor:
    """Return the mean squared distance of each pixel to the nearest of some colours, (n, 3)."""
    distances = (pictures[:, None] - colours[None, :, :, None, None]).square().sum(2)
    return distances.amin(1).mean((1, 2))


def asymmetry(pictures: Tensor) -> Tensor:
    """Return the mean squared difference of pictures and their mirror images."""
    return (pictures - pictures.flip(-1)).square().mean((1, 2, 3))


def colourfulness(pictures: Tensor) -> Tensor:
    """Return how far the colours are from grey and from each other (Hasler and Süsstrunk 2003; values in [0, 1])."""
    red, green, blue = pictures.unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], 1).flatten(2)
    spread, middle = (opponents.var(2).sum(1) + 1e-8).sqrt(), (opponents.mean(2).square().sum(1) + 1e-8).sqrt()
    return spread + 0.3 * middle


def roughness(pictures: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels: unlike squares, it leaves sharp borders alone."""
    across = (pictures[..., :, 1:] - pictures[..., :, :-1]).abs().mean((1, 2, 3))
    return across + (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean((1, 2, 3))


def edge_loss(pictures: Tensor, colour: Tensor) -> Tensor:
    """Return the mean squared distance of the outermost part of pictures to a colour, (3,)."""
    margin = max(1, round(EDGE * min(pictures.shape[-2:])))
    distances = (pictures - colour[:, None, None]).square().mean(1)
    inner = distances[:, margin:-margin, margin:-margin]
    count = distances[0].numel() - inner[0].numel()
    return (distances.sum((1, 2)) - inner.sum((1, 2))) / count


def look_losses(looks: Looks, pictures: Tensor) -> list[Tensor]:
    """Return what a look asks of pictures (b, 3, h, w), weighted, (b,) each; nothing for what it does not name."""
    losses: list[Tensor] = []
    if looks.palette:
        losses.append(PALETTE * palette_loss(pictures, _colours(looks.palette, pictures.device)))
    if looks.symmetry:
        losses.append(SYMMETRY * looks.symmetry * asymmetry(pictures))
    if looks.saturation:
        losses.append(-SATURATION * looks.saturation * colourfulness(pictures))
    if looks.smoothness:
        losses.append(SMOOTHNESS * looks.smoothness * roughness(pictures))
    if looks.edges is not None:
        losses.append(EDGES * edge_loss(pictures, _colours((looks.edges,), pictures.device)[0]))
    return losses


def _colours(names: tuple[str, ...], device: torch.device) -> Tensor:
    """Return colours such as #ff8000 as (n, 3) in [0, 1]."""
    return constant(tuple(tuple(int(name[at : at + 2], 16) / 255 for at in (1, 3, 5)) for name in names), device)


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
