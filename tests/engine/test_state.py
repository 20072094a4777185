"""States: all or nothing, and from one kind of device to another."""

import copy

import pytest
import torch

from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts
from engine.state import BadStateError


@pytest.fixture(scope="module")
def store(tiny_models, cpu):
    return ModelStore(tiny_models, cpu, embedded=tiny_models)


def spec_of(**changes):
    base = {"width": 48, "height": 32, "steps": 6, "seed": 7, "start": "noise", "cutouts": Cutouts(count=4)}
    return spec_from_preset((Prompt(content="a red apple"),), "paper", **{**base, **changes})


@pytest.fixture(scope="module")
def saved(store):
    painting = Painting(spec_of(), store)
    for _ in range(3):
        next(painting)
    painting.steer((Prompt(content="a grey lighthouse"),))
    return painting.state_dict()


def without(name):
    return lambda state: state.pop(name)


def with_value(name, value):
    return lambda state: state.update({name: value})


def bad_moments(state):
    state["adam"]["state"][0]["exp_avg"] = torch.zeros(3)


def nan_latent(state):
    state["ema"][0, 0, 0, 0] = torch.nan


BROKEN = {
    "no latent": without("z"),
    "no moments": without("adam"),
    "a later version": with_value("version", 99),
    "no spec": with_value("spec", "{}"),
    "a step beyond the end": with_value("step", 7),
    "a latent of another size": with_value("z", torch.zeros(1, 8, 4, 4)),
    "a latent of whole numbers": with_value("z_orig", torch.zeros(1, 8, 8, 12, dtype=torch.long)),
    "NaN": nan_latent,
    "moments of another size": bad_moments,
}


@pytest.mark.parametrize("name", BROKEN)
def test_of_a_state_that_does_not_fit_nothing_is_taken(store, saved, name):
    broken = copy.deepcopy(saved)
    BROKEN[name](broken)
    painting, untouched = Painting(spec_of(), store), Painting(spec_of(), store)
    with pytest.raises(BadStateError, match="Start the painting anew"):
        painting.load_state_dict(broken)
    assert painting.spec == untouched.spec
    assert painting.step == 0
    assert [iterate.losses for iterate in painting] == [iterate.losses for iterate in untouched]


def test_another_generators_state_is_refused(store, saved):
    other = copy.deepcopy(saved)
    other["spec"] = spec_of(generator="imagenet-1024").to_json()
    with pytest.raises(BadStateError, match="imagenet-1024"):
        Painting(spec_of(), store).load_state_dict(other)


def test_a_state_says_nothing_of_its_device(saved):
    """No generator's state, which another kind of device could not read, and none is needed: a step's come from it."""
    assert set(saved) == {"version", "spec", "step", "z", "z_orig", "ema", "adam"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("way", [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_painting_goes_on_on_another_device(tiny_models, way):
    from engine.devices import pick_device

    here, there = (ModelStore(tiny_models, pick_device(name, "fp32"), embedded=tiny_models) for name in way)
    painting = Painting(spec_of(), here)
    for _ in range(3):
        next(painting)
    resumed = Painting(spec_of(), there).load_state_dict(painting.state_dict())
    assert torch.equal(resumed.z.detach().cpu(), painting.z.detach().cpu())
    assert [iterate.step for iterate in resumed] == [4, 5, 6]


def test_every_seed_has_numbers_of_its_own(store):
    """A CPU's generator reads 32 bits of its seed; `seed * 8 + purpose` repeated itself from 2^29 on."""
    pictures = {Painting(spec_of(seed=seed), store).picture().tobytes() for seed in (0, 1, 2**29, 2**31)}
    assert len(pictures) == 4
