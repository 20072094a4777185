"""Where a painting starts: random codes, random pixels, the best of several, a prior's proposals, or a picture."""

from collections.abc import Callable, Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from engine.drawings import draw_as
from engine.generators import VQGAN
from engine.intent import split_weather
from engine.priors import Prior, Proposals
from engine.prompts import Prompt
from engine.segmentation import find_figure, main_parts
from engine.spec import BadSpecError, PaintingSpec
from engine.weather import put_weather

Grid = tuple[int, int]
"""Rows and columns of a latent."""
Rngs = Sequence[torch.Generator]
"""One generator for each picture."""
Score = Callable[[Tensor], Tensor]
"""The loss of each of some pictures, (b, 3, h, w) to (b,)."""
_NOT_PROPOSED = ("sunset", "fog", "rain")
"""Of `engine.weather.WEATHER`; night and snow are grounds that the prior paints itself."""


def first_latent(
    spec: PaintingSpec,
    vqgan: VQGAN,
    grid: Grid,
    rngs: Rngs,
    score: Score,
    prior: Prior | None,
    region: Tensor | None = None,
) -> Tensor:
    """Return what a painting starts from where there is no picture to edit, (b, c, *grid): one for each generator.

    `region`, (1, 1, h, w), is what words for inside are about.
    """
    if spec.init_latent is not None:
        return from_latent_file(spec.init_latent, vqgan, grid).expand(len(rngs), -1, -1, -1)
    if spec.start == "best-of":
        return best_of(spec.candidates, vqgan, grid, rngs, score)
    if spec.start != "prior":
        return PLAIN[spec.start](vqgan, grid, rngs)
    if prior is None:
        raise BadSpecError(f"The generator '{spec.generator}' has no prior; choose another start.")
    wanted = [prompt for prompt in spec.prompts if prompt.kind == "text" and prompt.weight > 0]

    def proposed(some: Sequence[Prompt]) -> Tensor:
        text = ", ".join(prompt.content for prompt in some)
        weather, rest = split_weather(text, _NOT_PROPOSED)
        z = from_proposals([prior.propose(rest, spec.candidates, rng) for rng in rngs], vqgan, grid, score)
        return in_weather(weather, z, vqgan) if weather else z

    inside = [prompt for prompt in wanted if prompt.where == "inside"]
    if region is None or not inside:
        return proposed(wanted)
    rest = [prompt for prompt in wanted if prompt.where != "inside"]
    return put_inside(proposed(inside), proposed(rest or wanted), region, vqgan)


def random_codes(vqgan: VQGAN, grid: Grid, rngs: Rngs) -> Tensor:
    """Draw a code for every cell (Crowson's notebook), as latents (b, c, *grid)."""
    high = len(vqgan.codebook)
    codes = torch.stack([torch.randint(high, grid, generator=rng, device=rng.device) for rng in rngs])
    return vqgan.codebook[codes].permute(0, 3, 1, 2).contiguous()


def random_pixels(vqgan: VQGAN, grid: Grid, rngs: Rngs) -> Tensor:
    """Encode uniform noise (paper section 2; nerdyrodent's `--init_noise pixels`)."""
    return vqgan.encode(_uniform(3, grid[0] * vqgan.factor, grid[1] * vqgan.factor, rngs))


def random_gradient(vqgan: VQGAN, grid: Grid, rngs: Rngs) -> Tensor:
    """Encode a random linear blend of colours (nerdyrodent's `--init_noise gradient`): four corners, bilinear."""
    size = (grid[0] * vqgan.factor, grid[1] * vqgan.factor)
    return vqgan.encode(F.interpolate(_uniform(3, 2, 2, rngs), size, mode="bilinear", align_corners=True))


PLAIN = {"noise": random_codes, "pixels": random_pixels, "gradient": random_gradient}


def best_of(count: int, vqgan: VQGAN, grid: Grid, rngs: Rngs, score: Score) -> Tensor:
    """Draw gradients and code grids in turn and keep the one that the perceptors like best (FuseDream's start)."""
    kinds = (random_gradient, random_codes)
    return _best([kinds[i % 2](vqgan, grid, rngs) for i in range(count)], vqgan, score)


def from_proposals(proposals: Sequence[Proposals], vqgan: VQGAN, grid: Grid, score: Score) -> Tensor:
    """Keep the best of a prior's proposals for each picture, drawn in the way that the text asks for, on the grid."""
    codes = torch.stack([one.codes for one in proposals], 1)  # (candidates, b, rows, columns)
    latents = [vqgan.codebook[some].permute(0, 3, 1, 2) for some in codes]
    if way := proposals[0].way:  # the same text, the same way
        latents = [vqgan.encode(draw_as(way, vqgan.decode(z).clamp(0, 1))) for z in latents]
    return fit(_best(latents, vqgan, score), vqgan, grid)


def in_weather(weather: str, z: Tensor, vqgan: VQGAN) -> Tensor:
    """Put weather, a name of `engine.weather.WEATHER`, into pictures given as latents (b, c, *grid)."""
    pictures = vqgan.decode(vqgan.quantise(z)).clamp(0, 1)
    changed = [put_weather(weather, one, main_parts(find_figure(one))) for one in pictures.split(1)]
    return vqgan.encode(torch.cat(changed))


def put_inside(front: Tensor, behind: Tensor, region: Tensor, vqgan: VQGAN) -> Tensor:
    """Put pictures into the box around a region, as large as fits, before others; all as latents (b, c, *grid)."""
    inner, outer = (vqgan.decode(vqgan.quantise(z)).clamp(0, 1) for z in (front, behind))
    mask = F.interpolate(region, (outer.shape[-2], outer.shape[-1]), mode="area")
    rows, columns = (mask[0, 0].amax(axis).nonzero()[:, 0] for axis in (1, 0))
    if not len(rows):
        return behind
    top, left, bottom, right = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    scale = min((bottom - top) / inner.shape[-2], (right - left) / inner.shape[-1])
    height, width = max(1, int(inner.shape[-2] * scale)), max(1, int(inner.shape[-1] * scale))
    top, left = top + (bottom - top - height) // 2, left + (right - left - width) // 2
    box = (..., slice(top, top + height), slice(left, left + width))
    placed = outer.clone()
    placed[box] = F.interpolate(inner, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
    return vqgan.encode(torch.lerp(outer, placed, mask))


def from_latent_file(path: str, vqgan: VQGAN, grid: Grid) -> Tensor:
    """Read the latent that `Painting.encode_latent` wrote, (1, c, *grid), brought to the grid."""
    return fit(load_file(path)["z"].to(vqgan.codebook.device), vqgan, grid)


def fit(z: Tensor, vqgan: VQGAN, grid: Grid) -> Tensor:
    """Bring latents to a grid: decode, resize the picture, encode; latents themselves do not resize well."""
    if z.shape[-2:] == grid:
        return z.contiguous()
    size = (grid[0] * vqgan.factor, grid[1] * vqgan.factor)
    pictures = vqgan.decode(vqgan.quantise(z)).clamp(0, 1)
    return vqgan.encode(F.interpolate(pictures, size, mode="bicubic", antialias=True).clamp(0, 1))


def replace_cells(z: Tensor, share: float, vqgan: VQGAN, rngs: Rngs) -> Tensor:
    """Put random codes into a random share of the latents' cells: a variation of what was there."""
    fresh = random_codes(vqgan, (z.shape[-2], z.shape[-1]), rngs)
    return torch.where(_uniform(1, z.shape[-2], z.shape[-1], rngs) < share, fresh, z)


def _best(candidates: Sequence[Tensor], vqgan: VQGAN, score: Score) -> Tensor:
    """Return, for each picture, the candidate that scores lowest."""
    if len(candidates) == 1:
        return candidates[0]
    scores = torch.stack([score(vqgan.decode(vqgan.quantise(z)).clamp(0, 1)) for z in candidates])
    pictures = torch.arange(scores.shape[1], device=scores.device)
    return torch.stack(list(candidates))[scores.argmin(0), pictures]


def _uniform(channels: int, height: int, width: int, rngs: Rngs) -> Tensor:
    return torch.cat([torch.rand(1, channels, height, width, generator=rng, device=rng.device) for rng in rngs])
