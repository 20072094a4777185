"""Several pictures in turns: to their user they are like the one painting of all of them."""

import pytest
import torch

from engine.models import ModelStore
from engine.one_by_one import OneByOne
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts
from engine.state import BadStateError


@pytest.fixture(scope="module")
def store(tiny_models, cpu):
    return ModelStore(tiny_models, cpu, embedded=tiny_models)


def spec_of(words="a red apple", **changes):
    base = {"width": 48, "height": 32, "steps": 3, "seed": 5, "count": 2, "cutouts": Cutouts(count=4)}
    return spec_from_preset((Prompt(content=words),), "paper", **{**base, **changes})


def test_step_by_step_they_are_what_they_are_together(store):
    together, turns = Painting(spec_of(), store), OneByOne(spec_of(), store)
    for step, (whole, parts) in enumerate(zip(together, turns, strict=True), 1):
        assert (parts.step, parts.steps, turns.step) == (step, 3, step)
        torch.testing.assert_close(parts._losses, whole._losses, atol=1e-4, rtol=0)
        assert parts.losses == pytest.approx(whole.losses, abs=1e-4)
        assert [picture.size for picture in parts.pictures()] == [(48, 32)] * 2
        assert parts.seconds > 0
    pictures = [picture.tobytes() for picture in turns.pictures()]
    assert pictures == [
        Painting(turns.spec.alone(index), store).load_state_dict(state).picture().tobytes()
        for index, state in enumerate(turns.state_dict()["parts"])
    ]
    assert pictures[0] != pictures[1]
    assert turns.encode_latent(1) != turns.encode_latent()


def test_interrupted_and_steered_they_go_on_exactly(store):
    turns = OneByOne(spec_of(), store)
    next(turns)
    turns.steer((Prompt(content="a grey lighthouse"), Prompt(content="red")))
    assert [prompt.content for prompt in turns.spec.prompts] == ["a grey lighthouse", "red"]
    state = turns.state_dict()
    rest = [iterate.losses for iterate in turns]
    assert [len(losses) for losses in rest] == [3, 3], "both prompts, and the rest"
    resumed = OneByOne(turns.spec, store).load_state_dict(state)
    assert resumed.step == 1
    assert [iterate.losses for iterate in resumed] == rest
    assert [picture.tobytes() for picture in resumed.pictures()] == [picture.tobytes() for picture in turns.pictures()]


@pytest.mark.parametrize("count", [1, 3, None])
def test_a_state_of_another_number_of_pictures_is_refused(store, count):
    turns = OneByOne(spec_of(), store)
    other = Painting(spec_of(), store) if count is None else OneByOne(spec_of(count=count), store)
    next(other)
    with pytest.raises(BadStateError, match=f"holds {count or 0} paintings, not 2"):
        turns.load_state_dict(other.state_dict())
    assert turns.step == 0


def test_what_all_have_to_say_is_said_once(store):
    turns = OneByOne(spec_of("a red apple on a grey lighthouse " * 4), store)
    assert len(turns.notices) == 1
    assert "lighthouse" in turns.notices[0]


@pytest.mark.parametrize("count", [1, 2])
def test_a_picture_is_enlarged_as_it_is_alone(store, count):
    turns = OneByOne(spec_of(upscale=2, count=count), store)
    assert turns.enlarged(turns.pictures()[0]).size == (96, 64)
