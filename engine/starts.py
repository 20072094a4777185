"""Where a painting starts: random codes, random pixels, the best of several, a prior's proposals, or a picture."""

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from engine.drawings import draw_as
from engine.generators import Generator
from engine.pictures import read_mask, read_picture
from engine.priors import Proposals

Grid = tuple[int, int]
"""Rows and columns of a latent."""
Score = Callable[[Tensor], float]
"""The loss of a picture (1, 3, h, w)."""


def picture_tensor(path: str, height: int, width: int, device: torch.device) -> Tensor:
    """Read a picture and stretch it to size, as (1, 3, height, width) in [0, 1]; raise `BadPictureError`."""
    return tensor_of(read_picture(Path(path)).resize((width, height), Image.Resampling.LANCZOS), device)


def mask_tensor(path: str, height: int, width: int, device: torch.device) -> Tensor:
    """Read a mask and stretch it to size, as (1, 1, height, width) in [0, 1]; raise `BadPictureError`."""
    return tensor_of(read_mask(Path(path)).resize((width, height), Image.Resampling.BOX), device)


def tensor_of(image: Image.Image, device: torch.device) -> Tensor:
    """Turn an 8-bit image into (1, channels, h, w) in [0, 1]."""
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.view(1, image.height, image.width, -1).permute(0, 3, 1, 2).to(device).float() / 255


def image_of(picture: Tensor) -> Image.Image:
    """Turn (1, 3, h, w) in [0, 1] into an RGB image."""
    values = picture[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous().cpu()
    return Image.fromarray(values.numpy())


def random_codes(generator: Generator, grid: Grid, rng: torch.Generator) -> Tensor:
    """Draw a code for every cell (Crowson's notebook), as a latent (1, c, *grid)."""
    codes = torch.randint(len(generator.codebook), (1, *grid), generator=rng, device=rng.device)
    return generator.codebook[codes].permute(0, 3, 1, 2).contiguous()


def random_pixels(generator: Generator, grid: Grid, rng: torch.Generator) -> Tensor:
    """Encode uniform noise (nerdyrodent's `--init_noise pixels`)."""
    height, width = (cells * generator.factor for cells in grid)
    return generator.encode(torch.rand(1, 3, height, width, generator=rng, device=rng.device))


def random_gradient(generator: Generator, grid: Grid, rng: torch.Generator) -> Tensor:
    """Encode a random linear blend of colours (nerdyrodent's `--init_noise gradient`): four corners, bilinear."""
    height, width = (cells * generator.factor for cells in grid)
    corners = torch.rand(1, 3, 2, 2, generator=rng, device=rng.device)
    return generator.encode(F.interpolate(corners, (height, width), mode="bilinear", align_corners=True))


PLAIN = {"noise": random_codes, "pixels": random_pixels, "gradient": random_gradient}


def best_of(count: int, generator: Generator, grid: Grid, rng: torch.Generator, score: Score) -> Tensor:
    """Draw gradients and code grids in turn and keep the one that the perceptors like best (FuseDream's start)."""
    kinds = (random_gradient, random_codes)
    return _best([kinds[i % 2](generator, grid, rng) for i in range(count)], generator, score)


def from_proposals(proposals: Proposals, generator: Generator, grid: Grid, score: Score) -> Tensor:
    """Keep the best of a prior's proposals, drawn in the way that the text asks for and brought to the grid."""
    latents = list(generator.codebook[proposals.codes].permute(0, 3, 1, 2).split(1))
    if proposals.way:
        pictures = (generator.decode(z).clamp(0, 1) for z in latents)
        latents = [generator.encode(draw_as(proposals.way, picture)) for picture in pictures]
    return fit(_best(latents, generator, score), generator, grid)


def from_latent_file(path: str, generator: Generator, grid: Grid) -> Tensor:
    """Read the latent that `Painting.save_latent` wrote, brought to the grid."""
    return fit(load_file(path)["z"].to(generator.codebook.device), generator, grid)


def fit(z: Tensor, generator: Generator, grid: Grid) -> Tensor:
    """Bring a latent to a grid: decode, resize the picture, encode; latents themselves do not resize well."""
    if z.shape[-2:] == grid:
        return z.contiguous()
    height, width = (cells * generator.factor for cells in grid)
    picture = generator.decode(generator.quantise(z)).clamp(0, 1)
    return generator.encode(F.interpolate(picture, (height, width), mode="bicubic", antialias=True).clamp(0, 1))


def replace_cells(z: Tensor, share: float, generator: Generator, rng: torch.Generator) -> Tensor:
    """Put random codes into a random share of a latent's cells: a variation of what was there."""
    fresh = random_codes(generator, (z.shape[-2], z.shape[-1]), rng)
    chosen = torch.rand(1, 1, *z.shape[-2:], generator=rng, device=rng.device) < share
    return torch.where(chosen, fresh, z)


def _best(latents: list[Tensor], generator: Generator, score: Score) -> Tensor:
    if len(latents) == 1:
        return latents[0]
    return min(latents, key=lambda z: score(generator.decode(generator.quantise(z)).clamp(0, 1)))
