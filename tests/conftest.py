"""What more than one room's tests need."""

import gc
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from safetensors.torch import save_file
from torch import Tensor

from engine import presets, third_party
from engine.devices import Device, pick_device
from engine.generators import VQGAN
from engine.models import ModelStore
from engine.presets import EMBEDDED
from engine.spec import Cutouts
from engine.upscaler import RRDBNet

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
gc.disable()
settings.register_profile("any machine", deadline=None)  # no test depends on how busy it is
settings.load_profile("any machine")

TINY_GENERATOR: Mapping[str, Any] = {
    "kind": "vqgan",
    "embed_dim": 8,
    "n_embed": 32,
    "ddconfig": {
        "double_z": False,
        "z_channels": 32,
        "resolution": 32,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 2, 2],
        "num_res_blocks": 1,
        "attn_resolutions": [8],
        "dropout": 0.0,
    },
}
TINY_PERCEPTOR: Mapping[str, Any] = {
    "embed_dim": 16,
    "image_resolution": 32,
    "vision_layers": [1, 1, 1, 1],
    "vision_width": 8,
    "vision_patch_size": None,
    "context_length": 16,
    "vocab_size": 49408,
    "transformer_width": 16,
    "transformer_heads": 2,
    "transformer_layers": 2,
}


LONG = ("test_ray.py", "test_two_painters.py", "test_ray_cluster.py", "test_load.py", "test_kill.py")
"""Files of few tests that take a minute or more."""


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collection, which is off while it is imported: it all stays."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def cpu() -> Device:
    return pick_device("cpu", "fp32")


@pytest.fixture(scope="session")
def shipped_models(cpu: Device) -> ModelStore:
    """The pair that ships, loaded once for the workers of all tests: they come one after the other."""
    return ModelStore(Path("nothing is fetched"), cpu)


@pytest.fixture
def quick_start(shipped_models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers take the pair that is loaded already, and make the quickest preset quicker: small, few steps."""
    monkeypatch.setattr("bot.worker.thread.ModelStore", lambda folder, device: shipped_models)
    few = {"candidates": 1, "cutouts": Cutouts(count=4, overview=2), "steps": 6, "width": 32, "height": 32}
    monkeypatch.setitem(EMBEDDED, "draft", {**EMBEDDED["draft"], **few})
    monkeypatch.setitem(presets._EMBEDDED_EDIT_STEPS, "draft", 4)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no queue paint."""

    async def start_nothing(dispatcher: object) -> None:
        pass

    monkeypatch.setattr("bot.queue.dispatcher.Dispatcher.start", start_nothing)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds an embedded pair: the real files' format, random values, a few thousand parameters."""
    folder = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = VQGAN(TINY_GENERATOR).state_dict()
        clip = third_party.CLIP(**TINY_PERCEPTOR).state_dict()
    generator["quantize.embedding.weight"] = generator.pop("embedding.weight")
    rows = torch.tensor(
        sorted({token for word in WORDS for token in third_party.tokenizer().encode(word)} | {49406, 49407})
    )
    clip["token_embedding.weight"] = clip["token_embedding.weight"][rows]
    _save(generator, TINY_GENERATOR, folder / "embedded-generator.safetensors")
    _save(
        clip | {"token_rows": rows.int()}, {"kind": "clip", **TINY_PERCEPTOR}, folder / "embedded-perceptor.safetensors"
    )
    _save(RRDBNet(features=4, blocks=1, growth=4).state_dict(), {}, folder / "embedded-upscaler.safetensors")
    return folder


WORDS = ("a", "red", "apple", "on", "grey", "lighthouse")


def _save(tensors: Mapping[str, Tensor], config: Mapping[str, Any], path: Path) -> None:
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    save_file({name: t.contiguous() for name, t in halves.items()}, path, metadata={"config": json.dumps(config)})
