"""Files that an earlier version wrote: they load, and painting goes on from them."""

import json
from pathlib import Path

import pytest
import torch

from bot.jobs import refine, rerun, vary
from engine.models import ModelStore
from engine.painting import Painting
from engine.pictures import spec_of
from engine.spec import PaintingSpec

SAVED = Path(__file__).parent / "saved"
SPECS = sorted((SAVED / "specs").glob("*.json"))
"""As version 1 of the spec was before pictures were tiled, extended, animated or given a look."""
TINY = ("tiny-paper", "tiny-mse", "tiny-normal")


def spec_named(name):
    return PaintingSpec.from_json((SAVED / f"{name}.spec.json").read_text())


@pytest.mark.parametrize("name", [*TINY, "shipped-draft", "edit"])
def test_a_spec_loads_and_means_the_same(name):
    spec = spec_named(name)
    assert PaintingSpec.from_json(spec.to_json()) == spec
    wanted = {"tiny-mse": 0.9, "tiny-normal": 0.9, "shipped-draft": 0.8, "edit": 0.95}
    assert spec.ema_decay == wanted.get(name, 0)
    assert spec.count == 1


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_kind_of_spec_loads_and_says_nothing_new(path):
    before = json.loads(path.read_text())
    spec = PaintingSpec.from_json(path.read_text())
    written = json.loads(spec.to_json())
    assert _within(written, before) == before
    new = PaintingSpec(prompts=spec.prompts).model_dump(mode="json")
    assert {name: written[name] for name in written.keys() - before.keys()} == {
        name: new[name] for name in written.keys() - before.keys()
    }


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_what_is_made_from_a_spec_of_before_is_what_it_was(path):
    spec = PaintingSpec.from_json(path.read_text())
    assert rerun(spec, 9).seed == 9
    assert vary(spec, 9, "latents/a.safetensors", "pictures/a.png").init_noise > 0
    assert refine(spec, "pictures/a.png", 4096, 2000).width == 2 * spec.width


def _within(written, before):
    """Keep of what is written what was there before, however deep."""
    if isinstance(before, dict):
        return {name: _within(written[name], value) for name, value in before.items()}
    if isinstance(before, list):
        assert len(written) == len(before)
        return [_within(one, value) for one, value in zip(written, before, strict=True)]
    return written


@pytest.mark.parametrize("name", ["tiny-normal", "shipped-draft"])
def test_a_picture_carries_its_spec(name):
    assert spec_of(SAVED / f"{name}.png") == spec_named(name)


def store_for(name, tiny_models, cpu, shipped_models):
    return ModelStore(tiny_models, cpu, embedded=tiny_models) if name in TINY else shipped_models


@pytest.mark.parametrize("name", [*TINY, "shipped-draft"])
def test_a_checkpoint_is_gone_on_from(name, tiny_models, cpu, shipped_models):
    state = torch.load(SAVED / f"{name}.state.pt", weights_only=True)
    painting = Painting(spec_named(name), store_for(name, tiny_models, cpu, shipped_models)).load_state_dict(state)
    assert painting.step == state["step"]
    assert torch.equal(painting.z.detach(), state["z"])
    assert torch.equal(painting._ema, state["average"])
    assert torch.equal(painting._z_orig, state["first_z"])
    moments = painting._adam.state[painting.z]
    assert torch.equal(moments["exp_avg"], state["adam"]["state"][0]["exp_avg"])
    assert next(painting).step == state["step"] + 1


def test_a_latent_starts_a_painting(tiny_models, cpu):
    spec = spec_named("tiny-normal").but(init_latent=str(SAVED / "tiny-normal.z.safetensors"))
    assert Painting(spec, ModelStore(tiny_models, cpu, embedded=tiny_models)).picture().size == (48, 32)
