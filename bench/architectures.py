"""The published networks at their real sizes with random weights: what a step costs does not depend on their values.

"tiny" is none of theirs: it shows within seconds whether everything runs.
"""

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine import third_party
from engine.checkpoints import Checkpoint, read_safetensors
from engine.devices import Device
from engine.generators import VQGAN, build_vqgan
from engine.models import EMBEDDED, ModelStore
from engine.perceptors import Perceptor, build_perceptor, whole_vocabulary

F16 = {
    "double_z": False,
    "z_channels": 256,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 1, 2, 2, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [16],
    "dropout": 0.0,
}
GUMBEL_F8 = {**F16, "ch_mult": [1, 1, 2, 4], "attn_resolutions": [32]}
"""CompVis/taming-transformers, configs of vqgan_imagenet_f16_16384 and vqgan_gumbel_f8."""
TINY = {**F16, "z_channels": 32, "resolution": 32, "ch": 128, "ch_mult": [1, 1], "num_res_blocks": 1}
VQGANS: dict[str, dict[str, Any]] = {
    "imagenet-16384": {"kind": "vqgan", "embed_dim": 256, "n_embed": 16384, "ddconfig": F16},
    "imagenet-1024": {"kind": "vqgan", "embed_dim": 256, "n_embed": 1024, "ddconfig": F16},
    "tiny": {"kind": "vqgan", "embed_dim": 32, "n_embed": 32, "ddconfig": TINY},
}
CLIPS: dict[str, dict[str, Any]] = {
    "ViT-B/32": {"image_resolution": 224, "vision_layers": 12, "vision_width": 768, "vision_patch_size": 32},
    "ViT-B/16": {"image_resolution": 224, "vision_layers": 12, "vision_width": 768, "vision_patch_size": 16},
    "RN50": {
        "embed_dim": 1024,
        "image_resolution": 224,
        "vision_layers": (3, 4, 6, 3),
        "vision_width": 64,
        "vision_patch_size": None,
    },
    "tiny": {
        "embed_dim": 64,
        "image_resolution": 32,
        "vision_layers": 2,
        "vision_width": 64,
        "vision_patch_size": 8,
        "transformer_width": 64,
        "transformer_heads": 1,
        "transformer_layers": 1,
    },
}
_TEXT = {
    "embed_dim": 512,
    "context_length": 77,
    "vocab_size": 49408,
    "transformer_width": 512,
    "transformer_heads": 8,
    "transformer_layers": 12,
}


def random_vqgan(name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the config and random tensors of a published VQGAN, named as in its checkpoint, or the shipped one."""
    if name == "embedded":
        return _in_fp32(read_safetensors(EMBEDDED / "embedded-generator.safetensors"))
    torch.manual_seed(0)
    config = VQGANS[name]
    with contextlib.redirect_stdout(io.StringIO()), torch.device(_quick()):
        parts = {
            "encoder": third_party.Encoder(**config["ddconfig"]),
            "decoder": third_party.Decoder(**config["ddconfig"]),
        }
        inside, outside = config["ddconfig"]["z_channels"], config["embed_dim"]
        parts["quant_conv"], parts["post_quant_conv"] = nn.Conv2d(inside, outside, 1), nn.Conv2d(outside, inside, 1)
    tensors = {f"{part}.{key}": value for part, net in parts.items() for key, value in net.state_dict().items()}
    return config, tensors | {"quantize.embedding.weight": torch.randn(config["n_embed"], config["embed_dim"])}


def clip_config(name: str) -> dict[str, Any]:
    """Return the arguments of CLIP's class for a published CLIP."""
    return {**_TEXT, **CLIPS[name]}


def random_clip(name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the config and random tensors of a published CLIP, named as in its checkpoint, or the shipped one."""
    if name == "embedded":
        config, tensors = read_safetensors(EMBEDDED / "embedded-perceptor.safetensors")
        shape = {key: value for key, value in config.items() if key != "kind"}
        return _in_fp32((shape, whole_vocabulary(tensors, shape["vocab_size"])))
    torch.manual_seed(0)
    config = clip_config(name)
    with torch.device(_quick()):
        return config, third_party.CLIP(**config).state_dict()


def _in_fp32(checkpoint: Checkpoint) -> Checkpoint:
    config, tensors = checkpoint
    return config, {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def _quick() -> str:
    """Return where random numbers are drawn fastest."""
    return "cuda" if torch.cuda.is_available() else "cpu"


class RandomModels(ModelStore):
    """A `ModelStore` whose published models hold random weights."""

    def __init__(self, device: Device) -> None:
        super().__init__(Path(), device)

    def _load_generator(self, name: str) -> VQGAN:
        return build_vqgan(*random_vqgan(name), self.device) if name in VQGANS else super()._load_generator(name)

    def _load_perceptor(self, name: str) -> Perceptor:
        return build_perceptor(*random_clip(name), self.device) if name in CLIPS else super()._load_perceptor(name)
