"""What several of the engine's tests paint with."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from engine.generators import VQGAN
from tests.conftest import TINY_GENERATOR


@pytest.fixture(scope="session")
def gumbel_models(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pair, its generator with a Gumbel quantiser."""
    folder = tmp_path_factory.mktemp("gumbel")
    config = {**TINY_GENERATOR, "kind": "gumbel", "embed_dim": 32}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tensors = VQGAN(config).state_dict()
    tensors["proj.weight"] *= 40  # so that logits differ by more than their noise
    names = {"embedding.weight": "quantize.embed.weight", "proj.weight": "quantize.proj.weight"}
    tensors = {{**names, "proj.bias": "quantize.proj.bias"}.get(name, name): t for name, t in tensors.items()}
    metadata = {"config": json.dumps(config)}
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "embedded-generator.safetensors", metadata)
    perceptor = "embedded-perceptor.safetensors"
    (folder / perceptor).write_bytes((tiny_models / perceptor).read_bytes())
    return folder


@pytest.fixture(scope="session")
def apple(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a picture: a red apple, as anybody would draw it, on a white ground."""
    image = Image.new("RGB", (512, 512), (250, 250, 250))
    draw = ImageDraw.Draw(image)
    draw.ellipse((90, 140, 290, 440), fill=(214, 40, 40))
    draw.ellipse((222, 140, 422, 440), fill=(214, 40, 40))
    draw.line((256, 160, 275, 80), fill=(110, 70, 40), width=16)
    draw.ellipse((270, 70, 360, 120), fill=(60, 160, 70))
    path = tmp_path_factory.mktemp("edit") / "apple.png"
    image.resize((128, 128), Image.Resampling.LANCZOS).save(path)
    return str(path)
