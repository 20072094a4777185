"""Official checkpoints: read without running their code, then kept as safetensors, which map instead of loading."""

import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

Checkpoint = tuple[dict[str, Any], dict[str, Tensor]]
"""What a network is built from: its config and its tensors by name."""

UNREADABLE = (RuntimeError, ValueError, TypeError, LookupError, EOFError, pickle.UnpicklingError)
"""What `torch.load` raises of a file that is damaged, and what is made of it where it is another's."""

_KINDS = {"taming.models.vqgan.VQModel": "vqgan", "taming.models.vqgan.GumbelVQ": "gumbel"}
_TRANSFORMER = "taming.models.cond_transformer.Net2NetTransformer"
_FIRST_STAGE = "first_stage_model."
_CLIP_NUMBERS = ("input_resolution", "context_length", "vocab_size")  # beside the tensors; their shapes say the same


class BadCheckpointError(Exception):
    """A file that is not the checkpoint it should be; its text is one sentence for people."""


class _Placeholder:
    """Stand in for lightning's ModelCheckpoint, which old checkpoints name as the key of its saved numbers."""


_PLACEHOLDERS: list[Any] = [(_Placeholder, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")]


def read_vqgan(checkpoint: Path, config: Path) -> Checkpoint:
    """Read a VQGAN from taming's .ckpt and .yaml; out of a transformer's checkpoint, its first stage.

    Return its config (kind, embed_dim, n_embed, ddconfig) and its tensors without those of the training loss; raise
    `BadCheckpointError`. Nothing that the pickle names is run.
    """
    model, prefix = _first_stage(config)
    try:
        with torch.serialization.safe_globals(_PLACEHOLDERS):
            saved = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(checkpoint))
        tensors: Mapping[str, Tensor] = saved["state_dict"]
    except UNREADABLE as error:
        raise BadCheckpointError(f"{checkpoint} is not a VQGAN checkpoint; delete it and fetch it again.") from error
    kept = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return model, {name: tensor for name, tensor in kept.items() if not name.startswith("loss.")}


def _first_stage(path: Path) -> tuple[dict[str, Any], str]:
    """Return a VQGAN's config from its .yaml, and what its tensors' names begin with."""
    try:
        model, prefix = yaml.safe_load(path.read_text())["model"], ""
        if model["target"] == _TRANSFORMER:
            model, prefix = model["params"]["first_stage_config"], _FIRST_STAGE
        params = model["params"]
        config = {name: params[name] for name in ("embed_dim", "n_embed", "ddconfig")}
        return {"kind": _KINDS[model["target"]], **config}, prefix
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise BadCheckpointError(f"{path} does not describe a VQGAN; delete it and fetch it again.") from error


def read_clip(path: Path) -> Checkpoint:
    """Read a CLIP model from openai's TorchScript .pt, or from open_clip's .safetensors or .bin.

    Return what its tensors do not say, and them under openai's names, which are open_clip's too; raise
    `BadCheckpointError`.
    """
    if path.suffix == ".safetensors":
        try:
            return {"gelu": "exact"}, load_file(path)  # open_clip's models of LAION's pictures use the exact function
        except (SafetensorError, OSError) as error:
            raise BadCheckpointError(f"{path} is not a CLIP model; delete it and fetch it again.") from error
    if path.suffix == ".bin":  # one of openai's that others trained on, with its function
        try:
            return {}, dict(torch.load(path, map_location="cpu", weights_only=True))
        except UNREADABLE as error:
            raise BadCheckpointError(f"{path} is not a CLIP model; delete it and fetch it again.") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of all TorchScript, which is what the files are
            tensors = torch.jit.load(path, map_location="cpu").state_dict()
    except RuntimeError as error:
        raise BadCheckpointError(f"{path} is not a CLIP archive; delete it and fetch it again.") from error
    return {}, {name: tensor for name, tensor in tensors.items() if name not in _CLIP_NUMBERS}


def read_upscaler(path: Path) -> Checkpoint:
    """Read the averaged tensors of Real-ESRGAN's .pth, running no code in it; raise `BadCheckpointError`."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        tensors = saved.get("params_ema", saved.get("params"))
        return {}, {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    except (*UNREADABLE, AttributeError) as error:
        raise BadCheckpointError(f"{path} is not an upscaler's checkpoint; delete it and fetch it again.") from error


def read_safetensors(path: Path) -> Checkpoint:
    """Read the JSON that the file's metadata holds under "config", and the tensors, mapped rather than read.

    Raise `BadCheckpointError`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads(file.metadata()["config"])
            return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (FileNotFoundError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise BadCheckpointError(
            f"{path} is missing or damaged; restore it from the repository, "
            "or delete it if it was made from a checkpoint."
        ) from error


def converted(path: Path, read: Callable[[], Checkpoint]) -> Checkpoint:
    """Read `path`, a .safetensors file; when it is not there, first write it from what `read` returns.

    Where the folder cannot be written, what was read is used without being kept. Two processes may do so at once: one
    converts, the other waits. Values are kept exactly.
    """
    if path.exists():
        return read_safetensors(path)
    if not os.access(path.parent, os.W_OK):
        return read()
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            _write(path, *read())
    return read_safetensors(path)


def _write(path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    part = path.with_suffix(".part")
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(plain, part, metadata={"config": json.dumps(config)})
    part.replace(path)
