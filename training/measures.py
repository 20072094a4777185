"""What can be measured in a picture without a network: which colours it shows, and where."""

import numpy as np
import torch
from kornia.color import rgb_to_lab
from PIL import Image

from engine.colours import COLOURS


def tensor_of(image: Image.Image) -> torch.Tensor:
    """Turn an RGB image into (3, h, w) in 0..1."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), np.float32).copy()).permute(2, 0, 1) / 255


def commonest_colour(pixels: torch.Tensor) -> str:
    """Name what most pixels (3, n) are nearest to in L*a*b*; light blue and dark blue are blue."""
    table = _lab(torch.tensor(list(COLOURS.values())).T / 255)
    nearest = (_lab(pixels)[:, :, None] - table[:, None]).square().sum(0).argmin(1)
    shares: dict[str, float] = {}
    for name, count in zip(COLOURS, torch.bincount(nearest, minlength=len(COLOURS)).tolist(), strict=True):
        word = name.split()[-1]
        shares[word] = shares.get(word, 0) + count
    return max(shares, key=lambda word: shares[word])


def ground_colour(picture: torch.Tensor) -> str:
    """Name the colour along the picture's border."""
    edge = max(2, picture.shape[-1] // 16)
    return commonest_colour(torch.cat([picture[:, :edge].flatten(1), picture[:, -edge:].flatten(1)], 1))


def thing_colour(picture: torch.Tensor) -> str:
    """Name the colour of what differs from the ground in the picture's middle.

    Shades and outlines are no colours: where a quarter of it is saturated, only that is asked.
    """
    ground = picture[:, :6].flatten(1).median(1).values
    side = picture.shape[-1]
    middle = picture[:, side // 8 : -side // 8, side // 8 : -side // 8].flatten(1)
    apart = middle[:, (middle - ground[:, None]).square().sum(0) > 0.04]
    thing = apart if apart.shape[1] > 20 else middle
    return vivid_colour(thing)


def vivid_colour(pixels: torch.Tensor) -> str:
    """Name the commonest colour of pixels (3, n), of the saturated ones alone where they are a quarter or more."""
    vivid = pixels.amax(0) - pixels.amin(0) > 0.25
    return commonest_colour(pixels[:, vivid] if vivid.float().mean() > 0.25 else pixels)


def _lab(pixels: torch.Tensor) -> torch.Tensor:
    """Turn sRGB pixels (3, n) into CIE L*a*b* (3, n)."""
    return rgb_to_lab(pixels[None, :, None])[0, :, 0]
