"""`ModelStore`: models by name, loaded on first use and kept."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from engine.devices import Device
from engine.generators import Generator, build_generator
from engine.perceptors import Perceptor, build_perceptor, whole_vocabulary

EMBEDDED = Path(__file__).resolve().parent.parent / "models"


class UnknownModelError(ValueError):
    """A name that no model has; its text is one sentence for people."""


class ModelStore:
    """Load models into one device and keep them; a store belongs to the thread that paints with it."""

    def __init__(self, folder: Path, device: Device, embedded: Path = EMBEDDED) -> None:
        self.folder = folder
        self.device = device
        self.embedded = embedded
        self._generators: dict[str, Generator] = {}
        self._perceptors: dict[str, Perceptor] = {}

    def generator(self, name: str) -> Generator:
        """Return the generator `name`; raise `UnknownModelError`."""
        if name not in self._generators:
            self._generators[name] = self._load_generator(name)
        return self._generators[name]

    def perceptor(self, name: str) -> Perceptor:
        """Return the perceptor `name`; raise `UnknownModelError`."""
        if name not in self._perceptors:
            self._perceptors[name] = self._load_perceptor(name)
        return self._perceptors[name]

    def prior(self, name: str) -> None:
        """Return what proposes starts for the generator `name`; None, as no generator at hand has one."""

    def _load_generator(self, name: str) -> Generator:
        if name != "embedded":
            raise UnknownModelError(f"There is no generator '{name}'.")
        config, tensors = read_safetensors(self.embedded / "embedded-generator.safetensors")
        return build_generator(config, tensors, self.device)

    def _load_perceptor(self, name: str) -> Perceptor:
        if name != "embedded":
            raise UnknownModelError(f"There is no perceptor '{name}'.")
        config, tensors = read_safetensors(self.embedded / "embedded-perceptor.safetensors")
        config.pop("kind")
        return build_perceptor(config, whole_vocabulary(tensors, config["vocab_size"]), self.device)


def read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the JSON that the file's metadata holds under "config", and its tensors, mapped rather than read."""
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["config"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
