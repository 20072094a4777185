"""Generators: VQGANs with a plain or a Gumbel quantiser, frozen (Esser et al. 2021, arXiv 2012.09841)."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from engine import third_party
from engine.checkpoints import BadCheckpointError
from engine.devices import Device
from engine.layers import Attention, NormSilu, Residual, Upsample, place, swap

_SCORES_AT_ONCE = 2**24  # distances between tokens and codes held at a time: 64 MiB


class VQGAN(nn.Module):
    """Turn latents into pictures and back.

    A latent z is (b, channels, h / factor, w / factor) in the codebook's space, fp32. The networks run in the
    device's precision, convolutions channels-last.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        ddconfig: Mapping[str, Any] = config["ddconfig"]
        self.kind: str = config["kind"]
        self.channels: int = config["embed_dim"]
        self.factor: int = 2 ** (len(ddconfig["ch_mult"]) - 1)
        with contextlib.redirect_stdout(io.StringIO()):  # the decoder announces its shape
            self.encoder = third_party.Encoder(**ddconfig)
            self.decoder = third_party.Decoder(**ddconfig, give_pre_end=True)
        self.quant_conv = nn.Conv2d(ddconfig["z_channels"], self.channels, 1)
        self.post_quant_conv = nn.Conv2d(self.channels, ddconfig["z_channels"], 1)
        self.embedding = nn.Embedding(config["n_embed"], self.channels)
        if self.kind == "gumbel":
            self.proj = nn.Conv2d(ddconfig["z_channels"], config["n_embed"], 1)

    @property
    def codebook(self) -> Tensor:
        """Return the codewords, (n, channels) fp32."""
        return self.embedding.weight

    def encode(self, pictures: Tensor) -> Tensor:
        """Map pictures (b, 3, h, w) in [0, 1], sides a multiple of `factor`, to latents.

        Not quantised, except that a Gumbel quantiser sees another space than its codebook's: there z is the codeword
        of the largest logit, which is taming's `GumbelVQ.encode` without its noise.
        """
        encoded = self._encoded(pictures)
        return self.likeliest(encoded) if self.kind == "gumbel" else encoded

    def _encoded(self, pictures: Tensor) -> Tensor:
        weight = self.quant_conv.weight
        return self.quant_conv(
            self.encoder((pictures * 2 - 1).to(weight.dtype, memory_format=torch.channels_last))
        ).float()

    def quantise(self, z: Tensor) -> Tensor:
        """Replace each latent vector by its nearest codeword; the gradient goes to z unchanged.

        The loop does so for the Gumbel generator too, as Crowson's notebook and nerdyrodent's generate.py do.
        """
        return _StraightThrough.apply(self._nearest(z.detach()), z)  # type: ignore[no-any-return]

    def _nearest(self, z: Tensor) -> Tensor:
        tokens = z.permute(0, 2, 3, 1).reshape(-1, self.channels)
        # |z - e|^2 = |z|^2 + |e|^2 - 2 z.e, and |z|^2 does not change which e is nearest.
        rows = max(1, _SCORES_AT_ONCE // len(self.codebook))
        nearest = [
            torch.addmm(self._norms, some, self.codebook.t(), alpha=-2).argmin(1) for some in tokens.float().split(rows)
        ]
        batch, _, height, width = z.shape
        return self.codebook[torch.cat(nearest)].view(batch, height, width, self.channels).permute(0, 3, 1, 2)

    # A Gumbel quantiser's own space, which its logits are made of (EleutherAI's editing notebook)

    def encode_logits(self, pictures: Tensor) -> Tensor:
        """Map pictures, as `encode` does, to what a Gumbel quantiser makes logits of."""
        return self._encoded(pictures)

    def likeliest(self, z: Tensor) -> Tensor:
        """Return the codewords of the largest logits."""
        return self._codewords(self._logits(z).argmax(1))

    def sample_logits(self, z: Tensor, rngs: Sequence[torch.Generator]) -> Tensor:
        """Draw a codeword for every cell by its logits, each picture's from its generator.

        Straight through: the gradient is that of the mean of all codewords by their shares, temperature 1 (Jang et al.
        2017, arXiv 1611.01144).
        """
        logits = self._logits(z)
        uniform = torch.cat([torch.rand(logits[:1].shape, generator=rng, device=rng.device) for rng in rngs])
        noisy = logits - (-uniform.clamp(min=torch.finfo(uniform.dtype).tiny).log()).log()
        mean = torch.einsum("bnhw,nc->bchw", noisy.softmax(1), self.codebook)
        return _StraightThrough.apply(self._codewords(noisy.argmax(1)), mean)  # type: ignore[no-any-return]

    def _logits(self, z: Tensor) -> Tensor:
        return self.proj(z.to(self.proj.weight.dtype, memory_format=torch.channels_last)).float()

    def _codewords(self, codes: Tensor) -> Tensor:
        return self.codebook[codes].permute(0, 3, 1, 2)

    # To pictures

    def decode(self, z_q: Tensor, *, in_full: bool = False) -> Tensor:
        """Map quantised latents to pictures (b, 3, h, w), fp32, about [0, 1] but not clamped.

        In full: the last convolution in fp32, since bf16's steps are 1/256 near -1 and 1.
        """
        given = z_q.to(self.post_quant_conv.weight.dtype, memory_format=torch.channels_last)
        return ((self._pixels_in_full if in_full else self.pixels)(given).float() + 1) / 2

    def pixels(self, z_q: Tensor) -> Tensor:
        """Do the networks' part of `decode`, in their own precision, from about -1 to 1."""
        return self.decoder.conv_out(self._last_hidden(z_q))

    def _pixels_in_full(self, z_q: Tensor) -> Tensor:
        last: Any = self.decoder.conv_out
        return last._conv_forward(self._last_hidden(z_q).float(), last.weight.float(), last.bias.float())

    def _last_hidden(self, z_q: Tensor) -> Tensor:
        return self.decoder.norm_out(self.decoder(self.post_quant_conv(z_q)))

    def range(self) -> tuple[Tensor, Tensor]:
        """Return the codebook's least and greatest value per channel, each (1, channels, 1, 1)."""
        return self._range

    # What the frozen codebook is asked for at every step

    @cached_property
    def _norms(self) -> Tensor:
        return self.codebook.square().sum(1)

    @cached_property
    def _range(self) -> tuple[Tensor, Tensor]:
        shape = (1, self.channels, 1, 1)
        return self.codebook.amin(0).view(shape), self.codebook.amax(0).view(shape)


class _StraightThrough(torch.autograd.Function):
    """Forward the codewords, hand the gradient to z (van den Oord et al. 2017, arXiv 1711.00937, section 3.2)."""

    @staticmethod
    def forward(ctx: Any, codewords: Tensor, z: Tensor) -> Tensor:
        del ctx, z
        return codewords

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        del ctx
        return None, grads[0]


def assemble_vqgan(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> VQGAN:
    """Put tensors, under taming's names, into the network of `config` as they are.

    Raise `BadCheckpointError` when they do not fit together.
    """
    names = {"quantize.embedding.weight": "embedding.weight", "quantize.embed.weight": "embedding.weight"}
    renamed = {names.get(name, name.removeprefix("quantize.")): tensor for name, tensor in tensors.items()}
    try:
        with torch.device("meta"):  # no time spent on random values that are about to be replaced
            generator = VQGAN(config)
        generator.load_state_dict(renamed, strict=True, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadCheckpointError("The checkpoint and the .yaml beside it are not of the same VQGAN.") from error
    return generator


def build_vqgan(config: Mapping[str, Any], tensors: Mapping[str, Tensor], device: Device) -> VQGAN:
    """Build a frozen generator of `config` (kind, embed_dim, n_embed, ddconfig) from tensors under taming's names.

    Raise `BadCheckpointError` when a tensor is missing, left over or of another shape.
    """
    generator = assemble_vqgan(config, tensors)
    swap(generator, third_party.AttnBlock, Attention)
    swap(generator, third_party.ResnetBlock, Residual)
    swap(generator, third_party.Upsample, Upsample)
    decoder: Any = generator.decoder
    decoder.norm_out = NormSilu(decoder.norm_out)  # which `VQGAN.decode` calls, as of `give_pre_end`
    codebook = generator.embedding.weight.detach().float()
    place(generator, device, device.dtype)
    # The nearest codeword is decided in fp32: rounding the codebook would change which one that is.
    generator.embedding.weight = nn.Parameter(codebook.to(device.torch_device))
    return generator.eval().requires_grad_(False)
