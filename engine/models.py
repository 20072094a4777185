"""`ModelStore`: models by name, loaded on first use and kept."""

from functools import cache
from pathlib import Path

from engine import catalog
from engine.checkpoints import (
    BadCheckpointError,
    Checkpoint,
    converted,
    read_clip,
    read_safetensors,
    read_upscaler,
    read_vqgan,
)
from engine.devices import Device, pick_device
from engine.generators import VQGAN, assemble_vqgan, build_vqgan
from engine.perceptors import Perceptor, build_perceptor, config_of, whole_vocabulary
from engine.priors import Prior, load_prior
from engine.tiling import wrapping
from engine.upscaler import Upscaler, build_upscaler
from engine.vocabulary import Vocabulary, shipped_vocabulary

EMBEDDED = Path(__file__).resolve().parent.parent / "models"
VOCABULARY = "embedded-vocabulary.json"
CENTRED = ("laion2b-ViT-L/14",)
"""Perceptors that were trained on pictures from -1 to 1."""
PUBLISHED_UPSCALER = "real-esrgan-x4plus"


def embedded_vocabulary(folder: Path = EMBEDDED) -> Vocabulary | None:
    """Return what the embedded networks know, where that is written down."""
    path = folder / VOCABULARY
    return shipped_vocabulary(path) if path.exists() else None


class ModelStore:
    """Load models into one device and keep them; a store belongs to the thread that paints with it."""

    def __init__(self, folder: Path, device: Device, embedded: Path = EMBEDDED) -> None:
        self.folder = folder
        self.device = device
        self.embedded = embedded
        self._generators: dict[str, VQGAN] = {}
        self._wrapping: dict[str, VQGAN] = {}
        self._perceptors: dict[str, Perceptor] = {}
        self._priors: dict[str, Prior] = {}
        self._upscalers: dict[str, Upscaler] = {}

    def generator(self, name: str, *, tile: bool = False) -> VQGAN:
        """Return the generator `name`, or the one of its weights whose pictures tile.

        Raise `UnknownModelError`, `ModelMissingError` or `BadCheckpointError`.
        """
        if name not in self._generators:
            self._generators[name] = self._load_generator(name)
        if tile and name not in self._wrapping:
            self._wrapping[name] = wrapping(self._generators[name])
        return self._wrapping[name] if tile else self._generators[name]

    def perceptor(self, name: str) -> Perceptor:
        """Return the perceptor `name`; raise `UnknownModelError`, `ModelMissingError` or `BadCheckpointError`."""
        if name not in self._perceptors:
            self._perceptors[name] = self._load_perceptor(name)
        return self._perceptors[name]

    def prior(self, name: str) -> Prior | None:
        """Return what proposes starts for the generator `name`; only the embedded one has it."""
        path = self.embedded / f"{name}-prior.safetensors"
        if name not in self._priors and path.exists():
            self._priors[name] = load_prior(path, self.device.torch_device)
            self._priors[name].vocabulary = self.vocabulary()
        return self._priors.get(name)

    def upscaler(self, generator: str) -> Upscaler:
        """Return what enlarges the pictures of a generator: its pair's own, or the published one.

        Raise `ModelMissingError` or `BadCheckpointError`.
        """
        name = generator if generator == "embedded" else PUBLISHED_UPSCALER
        if name not in self._upscalers:
            if name == "embedded":
                _, tensors = read_safetensors(self.embedded / "embedded-upscaler.safetensors")
            else:
                _, tensors = self._published(catalog.find(name, "upscaler"))
            self._upscalers[name] = build_upscaler(tensors, self.device, projected=name == "embedded")
        return self._upscalers[name]

    def vocabulary(self) -> Vocabulary | None:
        """Return what the embedded networks know, where that is written down."""
        return embedded_vocabulary(self.embedded)

    def _load_generator(self, name: str) -> VQGAN:
        if name == "embedded":
            config, tensors = read_safetensors(self.embedded / "embedded-generator.safetensors")
        else:
            config, tensors = self._published(catalog.find(name, "generator"))
        return build_vqgan(config, tensors, self.device)

    def _load_perceptor(self, name: str) -> Perceptor:
        if name == "embedded":
            config, tensors = read_safetensors(self.embedded / "embedded-perceptor.safetensors")
            config.pop("kind")
            tensors = whole_vocabulary(tensors, config["vocab_size"])
            perceptor = build_perceptor(config, tensors, self.device)
            perceptor.vocabulary = self.vocabulary()
            perceptor.finds_by = "colours"
            return perceptor
        rest, tensors = self._published(catalog.find(name, "perceptor"))
        config = config_of(tensors) | dict(rest) | {"centred": name in CENTRED}
        return build_perceptor(config, tensors, self.device)

    def _published(self, model: catalog.Model) -> Checkpoint:
        if not model.is_in(self.folder):
            raise catalog.missing(model, self.folder)
        paths = [self.folder / file.name for file in model.files]

        def read() -> Checkpoint:
            catalog.verify(model, self.folder)
            if model.kind == "perceptor":
                return read_clip(paths[0])
            if model.kind == "upscaler":
                return read_upscaler(paths[0])
            config, checkpoint = paths
            vqgan = read_vqgan(checkpoint, config)
            try:
                assemble_vqgan(*vqgan)  # before anything of it is kept
            except BadCheckpointError:
                raise BadCheckpointError(
                    f"{checkpoint} and {config} are not of the same VQGAN: put the .yaml that belongs to it there."
                ) from None
            return vqgan

        return converted(model.converted(self.folder), read)


@cache
def shipped_upscaler() -> Upscaler:
    """Return the shipped network that enlarges, on the CPU: it takes a fraction of a second wherever it is needed."""
    return ModelStore(EMBEDDED, pick_device("cpu")).upscaler("embedded")
