"""The small pair's networks, built from the published models' own classes, and their files."""

import contextlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from engine.third_party import CLIP, Decoder, Encoder
from training.fastnorm import fuse


@dataclass(frozen=True)
class CodecShape:
    """Sizes of the VQGAN; the names are taming's.

    64 channels, not 32: taming's norms have 32 groups, and groups of one channel forget the picture's colours.
    No residual blocks on the way down, one per level on the way up: that is where an icon's edges are made.
    """

    ch: int = 64
    ch_mult: tuple[int, ...] = (1, 1, 1, 3)
    num_res_blocks: int = 0
    z_channels: int = 128
    embed_dim: int = 32
    n_embed: int = 1024
    resolution: int = 128

    def ddconfig(self) -> dict[str, Any]:
        """Return taming's `ddconfig`."""
        return {
            "double_z": False,
            "z_channels": self.z_channels,
            "resolution": self.resolution,
            "in_channels": 3,
            "out_ch": 3,
            "ch": self.ch,
            "ch_mult": list(self.ch_mult),
            "num_res_blocks": self.num_res_blocks,
            "attn_resolutions": [],
            "dropout": 0.0,
        }


class Quantise(nn.Module):
    """The codebook, under its official name."""

    def __init__(self, shape: CodecShape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.n_embed, shape.embed_dim)


class Codec(nn.Module):
    """A VQGAN with the tensor names of an official state dict; pictures in -1..1."""

    def __init__(self, shape: CodecShape) -> None:
        super().__init__()
        self.shape = shape
        with contextlib.redirect_stdout(io.StringIO()):  # taming prints its sizes
            self.encoder = fuse(Encoder(**shape.ddconfig()))
            self.decoder = fuse(Decoder(**shape.ddconfig()))
        self.quant_conv = nn.Conv2d(shape.z_channels, shape.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(shape.embed_dim, shape.z_channels, 1)
        self.quantize = Quantise(shape)
        _start_as_identity(self)

    @property
    def codebook(self) -> torch.Tensor:
        """Return the codewords, (n_embed, embed_dim) float32."""
        return self.quantize.embedding.weight.detach().float()

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the latents before quantisation, float32."""
        dtype = self.quant_conv.weight.dtype
        pictures = pictures.to(dtype).contiguous(memory_format=torch.channels_last)
        return self.quant_conv(self.encoder(pictures)).float()

    def nearest(self, z: torch.Tensor) -> torch.Tensor:
        """Return the codes (batch, h, w) of latents."""
        flat = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        book = self.codebook
        codes = (book.square().sum(1) - 2 * flat @ book.T).argmin(1)
        return codes.view(z.shape[0], *z.shape[2:])

    def lookup(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the latents (batch, embed_dim, h, w) of codes."""
        return F.embedding(codes, self.codebook).permute(0, 3, 1, 2)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the pictures of latents, float32 in about -1..1."""
        dtype = self.post_quant_conv.weight.dtype
        z = z.to(dtype).contiguous(memory_format=torch.channels_last)
        return self.decoder(self.post_quant_conv(z)).float()


def _start_as_identity(codec: Codec) -> None:
    """Let residual branches start at zero and resampling convolutions near the identity: it learns twice as fast."""
    module: Any  # taming's classes have no types
    for module in codec.modules():
        kind = type(module).__name__
        if kind == "ResnetBlock":
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
        elif kind == "AttnBlock":
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)
        elif kind in ("Upsample", "Downsample"):
            with torch.no_grad():
                weight = module.conv.weight.mul_(0.3)
                weight[..., 1, 1] += torch.eye(len(weight))


@dataclass(frozen=True)
class ClipShape:
    """Sizes of the CLIP; the names are openai-clip's."""

    embed_dim: int = 256
    image_resolution: int = 64
    vision_layers: tuple[int, ...] = (1, 2, 2, 2)
    vision_width: int = 32
    vision_patch_size: None = None
    context_length: int = 24
    vocab_size: int = 49408
    transformer_width: int = 192
    transformer_heads: int = 4
    transformer_layers: int = 2
    token_rows: list[int] = field(default_factory=list, compare=False, repr=False)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `clip.model.CLIP`."""
        names = (
            "embed_dim image_resolution vision_layers vision_width vision_patch_size context_length vocab_size "
            "transformer_width transformer_heads transformer_layers"
        )
        return {name: getattr(self, name) for name in names.split()}


def build_clip(shape: ClipShape) -> Any:
    """Return an untrained CLIP in train mode."""
    return CLIP(**{**shape.arguments(), "vision_layers": tuple(shape.vision_layers)}).float().train()


def save_weights(path: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
    """Write fp16 tensors (integers stay) and a JSON config in the metadata, all at once: others may be reading."""
    half = {
        name: (t.detach().half() if t.is_floating_point() else t.detach()).cpu().contiguous().clone()
        for name, t in tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    save_file(half, partial, metadata={"config": json.dumps(config, sort_keys=True)})
    partial.replace(path)


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return a file's tensors, floats as float32, and its config."""
    with safe_open(path, framework="pt") as handle:
        config = json.loads(handle.metadata()["config"])
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, config


def save_codec(path: Path, codec: Codec) -> None:
    """Write the generator's file."""
    shape = codec.shape
    config = {"kind": "vqgan", "embed_dim": shape.embed_dim, "n_embed": shape.n_embed, "ddconfig": shape.ddconfig()}
    save_weights(path, codec.state_dict(), config)


def load_codec(path: Path, dtype: torch.dtype = torch.bfloat16) -> Codec:
    """Read the generator's file."""
    tensors, config = read_weights(path)
    dd = config["ddconfig"]
    shape = CodecShape(
        ch=dd["ch"],
        ch_mult=tuple(dd["ch_mult"]),
        num_res_blocks=dd["num_res_blocks"],
        z_channels=dd["z_channels"],
        embed_dim=config["embed_dim"],
        n_embed=config["n_embed"],
        resolution=dd["resolution"],
    )
    codec = Codec(shape)
    codec.load_state_dict(tensors)
    codec.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return codec.to(dtype).eval()


def save_clip(path: Path, tensors: dict[str, torch.Tensor], shape: ClipShape) -> None:
    """Write the perceptor's file; its token table holds only the rows that `token_rows` lists."""
    rows = torch.tensor(shape.token_rows, dtype=torch.int32)
    save_weights(path, {**tensors, "token_rows": rows}, {"kind": "clip", **shape.arguments()})
