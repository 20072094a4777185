"""Pictures that tile: a generator whose convolutions go round the edges."""

import copy
from typing import Any

from torch import nn

from engine.generators import VQGAN
from engine.layers import Upsample


def wrapping(vqgan: VQGAN) -> VQGAN:
    """Return a generator of the same weights whose decoder sees, beyond each edge, what is at the opposite one.

    Norms and attention know no place, so that a shifted latent gives the shifted picture.
    """
    shared = {id(tensor): tensor for tensor in (*vqgan.parameters(), *vqgan.buffers())}
    tiled: VQGAN = copy.deepcopy(vqgan, shared)
    decoder: Any = tiled.decoder
    for layer in decoder.modules():
        if isinstance(layer, Upsample):
            layer.wraps = True
        elif isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
            layer.padding_mode = "circular"
    return tiled
