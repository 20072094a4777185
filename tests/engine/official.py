"""Files of the official formats at their real sizes, with random values."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pooch
import pytest
import torch
import yaml
from torch import Tensor, nn

from bench import architectures
from engine import catalog, third_party
from engine.generators import VQGAN

LOSS = {"target": "taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator", "params": {}}
F16 = {
    "model": {
        "target": "taming.models.vqgan.VQModel",
        "params": {"embed_dim": 256, "n_embed": 16384, "ddconfig": architectures.F16, "lossconfig": LOSS},
    }
}
GUMBEL_F8 = {
    "model": {
        "target": "taming.models.vqgan.GumbelVQ",
        "params": {
            **F16["model"]["params"],
            "n_embed": 8192,
            "kl_weight": 1e-8,
            "ddconfig": architectures.GUMBEL_F8,
        },
    }
}
VIT_B_32 = architectures.clip_config("ViT-B/32")
RN50 = architectures.clip_config("RN50")


def random_vqgan(config: Mapping[str, Any], gumbel: bool) -> dict[str, Tensor]:
    """Return tensors under the names of taming's VQModel or GumbelVQ."""
    params = config["model"]["params"]
    tensors = VQGAN({**params, "kind": "gumbel" if gumbel else "vqgan"}).state_dict()
    codebook = tensors.pop("embedding.weight")
    if not gumbel:
        return {**tensors, "quantize.embedding.weight": codebook}
    proj = {f"quantize.{name}": tensors.pop(name) for name in ("proj.weight", "proj.bias")}
    return {**tensors, **proj, "quantize.embed.weight": codebook}


def write_lightning(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write what lightning 1.0 wrote: a class as the key of the callbacks' state, Adam's moments, the loss's nets."""
    lightning = ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    callback = type("ModelCheckpoint", (), {"__module__": lightning.__name__})
    lightning.ModelCheckpoint = callback  # type: ignore[attr-defined]
    parents = {name: ModuleType(name) for name in ("pytorch_lightning", "pytorch_lightning.callbacks")}
    added = {**parents, lightning.__name__: lightning}
    loss = {"loss.discriminator.main.0.weight": torch.zeros(64, 3, 4, 4), "loss.logvar": torch.zeros(())}
    moments = {0: {"step": 3, "exp_avg": torch.zeros(4), "exp_avg_sq": torch.zeros(4)}}
    sys.modules.update(added)
    try:
        torch.save(
            {
                "epoch": 1,
                "global_step": 3,
                "pytorch-lightning_version": "1.0.8",
                "state_dict": {**tensors, **loss},
                "callbacks": {callback: {"best_model_score": torch.tensor(1.0), "best_model_path": "last.ckpt"}},
                "optimizer_states": [{"state": moments, "param_groups": [{"lr": 4.5e-6, "params": [0]}]}],
                "lr_schedulers": [],
            },
            path,
        )
    finally:
        for name in added:
            del sys.modules[name]


def write_yaml(config: Mapping[str, Any], path: Path) -> None:
    path.write_text(yaml.safe_dump(dict(config)))


def random_clip(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return tensors as openai stores them: half precision but for the norms, which keep some spread in a ResNet."""
    clip = third_party.CLIP(**config)
    for name, parameter in clip.named_parameters():
        if name.endswith("bn3.weight"):
            nn.init.constant_(parameter, 0.5)  # openai's start of training is zero, which would hide the branches
    return {
        name: tensor if ".bn" in name or "ln_" in name or "downsample.1" in name else tensor.half()
        for name, tensor in clip.state_dict().items()
    }


class _Holder(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def write_torchscript(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write an archive that `torch.jit.load` opens, with the three numbers that openai's hold beside the tensors."""
    root = _Holder()
    numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
    for name, tensor in {**tensors, **{name: torch.tensor(number) for name, number in numbers.items()}}.items():
        *parents, leaf = name.split(".")
        holder: nn.Module = root
        for parent in parents:
            if parent not in holder._modules:
                holder.add_module(parent, _Holder())
            holder = holder._modules[parent]  # type: ignore[assignment]
        holder.register_buffer(leaf, tensor)
    torch.jit.save(torch.jit.script(root), path)


def expect(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path) -> None:
    """Let the catalogue know the model `name` by the files of its names in `folder`, instead of the published ones."""
    model = catalog.find(name)
    files = tuple(
        replace(file, sha256=pooch.file_hash(str(folder / file.name)), bytes=(folder / file.name).stat().st_size)
        for file in model.files
    )
    monkeypatch.setitem(cast(dict[str, catalog.Model], catalog.catalogue()), name, replace(model, files=files))
