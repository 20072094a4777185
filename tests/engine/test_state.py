"""States: all or nothing, and from one kind of device to another."""

import copy

import pytest
import torch

from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts
from engine.state import _FIRST_NAMES, BadStateError, State


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


def state_of(detail=None, **changes):
    z, z_orig, ema = (torch.full((1, 8, 4, 6), value) for value in (1.0, 2.0, 3.0))
    moments = {0: {"step": torch.tensor(3.0), "exp_avg": z / 2, "exp_avg_sq": z / 4}}
    fields = {"spec": spec_of(), "step": 3, "z": z, "z_orig": z_orig, "ema": ema, "moments": moments, "detail": detail}
    return State(**{**fields, **changes})


SHAPES = [torch.Size((1, 8, 4, 6))]
KEEPING = {"init_image": "a.png", "keep_detail": True}


def edited():
    return spec_of(**KEEPING)


@pytest.mark.parametrize("detail", [None, torch.rand(1, 3, 16, 24)])
def test_a_state_comes_back_as_it_was(detail):
    spec = spec_of() if detail is None else edited()
    state = state_of(detail, spec=spec)
    written = state.to_dict()
    again = State.read(written, spec, SHAPES)
    assert (again.spec, again.step) == (spec, 3)
    for name in ("z", "z_orig", "ema"):
        assert torch.equal(getattr(again, name), getattr(state, name))
    assert again.moments is state.moments
    assert again.detail is detail
    assert ("detail" in written) is (detail is not None)


def test_a_state_of_the_first_version_is_read():
    written = state_of().to_dict()
    first = {**written, "version": 1}
    for new, old in _FIRST_NAMES.items():
        first[old] = first.pop(new)
    again = State.read(first, spec_of(), SHAPES)
    assert (float(again.z.mean()), float(again.z_orig.mean()), float(again.ema.mean())) == (1, 2, 3)
    with pytest.raises(BadStateError, match="it lacks"):
        State.read({**written, "version": 1}, spec_of(), SHAPES)


def moments(**changes):
    usual = {"step": torch.tensor(3.0), "exp_avg": torch.ones(1, 8, 4, 6), "exp_avg_sq": torch.ones(1, 8, 4, 6)}
    return {0: {name: value for name, value in {**usual, **changes}.items() if value is not None}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"step": -1}, "it stands at step -1 of 6"),
        ({"step": 7}, "it stands at step 7 of 6"),
        ({"step": 2.5}, "it stands at step 2.5"),
        ({"z": torch.ones(1, 8, 6, 4)}, r"its latents are of shape \(1, 8, 6, 4\)"),
        ({"ema": torch.ones(1, 8, 2, 3)}, "its latents are of shape"),
        ({"z_orig": torch.ones(1, 8, 4, 6).long()}, "its latents are no numbers"),
        ({"ema": torch.full((1, 8, 4, 6), torch.inf)}, "its latents hold NaN or infinity"),
        *(({"moments": moments(**{name: None})}, "not all there") for name in ("step", "exp_avg", "exp_avg_sq")),
        *(({"moments": moments(**{name: torch.ones(3)})}, "of another shape") for name in ("exp_avg", "exp_avg_sq")),
        ({"detail": torch.rand(1, 3, 16, 24)}, "one that nobody asked for"),
    ],
)
def test_why_a_state_does_not_fit_is_said(changes, why):
    with pytest.raises(BadStateError, match=f"^The saved state cannot be gone on from: .*{why}"):
        State.read(state_of(**changes).to_dict(), spec_of(), SHAPES)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((1, 3, 16, 24), True), ((1, 3, 4, 6), True), ((1, 3, 16, 25), False), ((1, 3, 15, 24), False),
        ((2, 3, 16, 24), False), ((1, 1, 16, 24), False), (None, False),
    ],
)  # fmt: skip
def test_a_detail_is_as_large_as_the_picture(shape, fits):
    written = state_of(None if shape is None else torch.rand(shape), spec=edited()).to_dict()
    if fits:
        State.read(written, edited(), SHAPES)
        return
    with pytest.raises(BadStateError, match="the detail of its picture"):
        State.read(written, edited(), SHAPES)


@pytest.mark.parametrize("step", [0, 6])
def test_a_state_may_stand_at_either_end_and_have_no_moments_yet(step):
    assert State.read(state_of(step=step, moments={}).to_dict(), spec_of(), SHAPES).step == step
