"""What is shipped, and what a GPU would train, stays small enough for a repository."""

from dataclasses import replace

import pytest

from engine.models import EMBEDDED
from engine.priors import Prior
from engine.priors.shape import PriorShape
from training.codec import RUNS as CODECS
from training.networks import ClipShape, Codec, build_clip, read_weights
from training.perceptor import RUNS as PERCEPTORS
from training.prior import MEMORY
from training.prior_run import RUNS as PRIORS

FILE, ALL = 16e6, 64e6  # bytes


def shipped() -> dict[str, int]:
    return {path.stem.removeprefix("embedded-"): path.stat().st_size for path in EMBEDDED.glob("*.safetensors")}


def test_what_is_shipped() -> None:
    sizes = shipped()
    assert set(sizes) >= {"generator", "perceptor", "prior", "memory"}
    assert max(sizes.values()) < FILE
    assert sum(sizes.values()) <= ALL


@pytest.mark.parametrize("config", ["cpu", "gpu"])
def test_what_a_config_would_make(config: str) -> None:
    codec, run, prior = CODECS[config].shape, PERCEPTORS[config], PRIORS[config]
    clip = build_clip(ClipShape(vision_layers=run.layers, vision_width=run.width, image_resolution=run.size))
    rows = read_weights(EMBEDDED / "embedded-perceptor.safetensors")[0]["token_embedding.weight"].numel()
    numbers = sum(p.numel() for p in clip.parameters()) - clip.token_embedding.weight.numel() + rows
    known = PriorShape.of(read_weights(EMBEDDED / "embedded-prior.safetensors")[1])
    shape = replace(known, width=prior.width, depth=prior.depth, codes=codec.n_embed)
    sizes = [2 * sum(p.numel() for p in Codec(codec).parameters()), 2 * numbers]
    tensors = Prior(shape).state_dict()
    memory = 2 * sum(tensors[name.replace("painter", "transformer")].numel() for name in MEMORY)  # as the file calls it
    sizes += [2 * sum(tensor.numel() for tensor in tensors.values()) - memory, memory]
    assert max(sizes) < FILE
    assert sum(sizes) <= ALL
