"""What one step of the loop does to the latent, in numbers, and what is said and kept from step to step."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load, load_file

from engine import painting as loop
from engine.losses import pixels_apart, total_variation
from engine.masks import place
from engine.models import ModelStore
from engine.painting import LostError, Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import BadSpecError, Cutouts, Penalty, PerceptorChoice
from engine.state import BadStateError

APPLE = Prompt(content="a red apple")


@pytest.fixture(scope="module")
def store(tiny_models, cpu):
    return ModelStore(tiny_models, cpu, embedded=tiny_models)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    ramp = Image.linear_gradient("L").resize((48, 32))
    Image.merge("RGB", (ramp, ramp.rotate(180), ramp)).save(path)
    return str(path)


def painting_of(store, *prompts, preset="notebook", **changes):
    base = {"width": 48, "height": 32, "steps": 4, "seed": 7, "start": "noise", "cutouts": Cutouts(count=2)}
    return Painting(spec_from_preset(prompts or (APPLE,), preset, **{**base, **changes}), store)


@pytest.mark.parametrize(("after", "noticed"), [(2, 10), (9, 10), (10, 20)])
def test_a_latent_gone_bad_is_noticed_at_the_next_tenth_step(store, after, noticed):
    painting = painting_of(store, steps=25)
    for _ in range(after):
        next(painting)
    painting.z.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(LostError):
        list(painting)
    assert painting.step == noticed


def test_a_painting_that_has_not_begun_or_goes_well_is_not_lost(store):
    painting = painting_of(store, steps=1)
    assert not painting.is_lost
    next(painting)
    assert not painting.is_lost
    painting.z.data[0, 0, 0, 0] = -torch.inf
    assert painting.is_lost


def test_time_is_counted_from_the_first_step(store, monkeypatch):
    painting = painting_of(store)
    clock = itertools.count(100.0, 0.5)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert [iterate.seconds for iterate in painting] == [0.5, 1.0, 1.5, 2.0]


def test_a_finished_painting_takes_no_further_step(store):
    painting = painting_of(store, steps=2)
    assert [(iterate.step, painting.is_finished) for iterate in painting] == [(1, False), (2, True)]
    with pytest.raises(StopIteration):
        next(painting)
    assert painting.step == 2


@pytest.mark.parametrize("clamped", [True, False])
def test_the_latent_stays_in_the_codebook_s_range_where_it_shall(store, clamped):
    painting = painting_of(store, learning_rate=5.0, clamp_latent=clamped)
    next(painting)
    low, high = painting._vqgan.range()
    within = (painting.z >= low) & (painting.z <= high)
    assert bool(within.all()) is clamped
    at_the_rim = (painting.z == low) | (painting.z == high)
    assert bool(at_the_rim.float().mean() > 0.5) is clamped


def test_a_step_of_adam_goes_as_far_as_the_learning_rate(store):
    painting = painting_of(store, learning_rate=0.03, clamp_latent=False)
    start = painting.z.detach().clone()
    next(painting)
    steps = (painting.z - start).abs()
    assert steps.median().item() == pytest.approx(0.03, rel=1e-3)
    assert steps.max() < 0.0301


@pytest.mark.parametrize("decay", [0.0, 0.6])
def test_the_picture_shown_is_of_the_moving_average(store, decay):
    painting = painting_of(store, ema_decay=decay, learning_rate=0.5)
    average = painting.z.detach().clone()
    for _ in painting:
        average = decay * average + (1 - decay) * painting.z.detach()
    torch.testing.assert_close(painting._ema, average)
    shown = painting._vqgan.decode(painting._vqgan.quantise(average), in_full=True).detach()
    other = painting._vqgan.decode(painting._vqgan.quantise(painting.z), in_full=True).detach()
    assert painting.picture().tobytes() == loop.image_of(shown[0]).tobytes()
    assert (painting.picture().tobytes() == loop.image_of(other[0]).tobytes()) is (decay == 0)


def test_smoothness_and_nearness_to_the_picture_are_weighed(store, photo):
    pictures = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    plain = painting_of(store, init_image=photo, strength=1)
    assert list(plain._asked_of(pictures)) == []
    smooth = painting_of(store, total_variation=0.3)
    (asked,) = smooth._asked_of(pictures)
    torch.testing.assert_close(asked, 0.3 * total_variation(pictures))
    near = painting_of(store, init_image=photo, init_pixels=2.0, strength=1)
    (asked,) = near._asked_of(pictures)
    assert near._edit is not None
    torch.testing.assert_close(asked, 2 * pixels_apart(pictures, near._edit.original))


@pytest.mark.parametrize("target", ["zero", "start"])
def test_a_penalty_pulls_to_nothing_or_to_the_start(store, target):
    painting = painting_of(store, penalties=(Penalty(target=target, weight=0.5),))
    painting._follow_schedules()
    (pull,) = painting._regularisers(painting.z + 1)
    wanted = painting.z + 1 if target == "zero" else torch.ones_like(painting.z)
    torch.testing.assert_close(pull, 0.5 * wanted.square().mean((1, 2, 3)))


def test_a_penalty_beyond_all_numbers_loses_the_painting_and_no_more(store):
    painting = painting_of(store, penalties=(Penalty(weight=1e300),))
    next(painting)
    with pytest.raises(LostError):
        painting.picture()


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({}, 4), ({"coarse": 0.0}, 0), ({"steps": 3}, 2), ({"init_image": "photo"}, 0), ({"init_latent": "z"}, 0)],
)
def test_what_begins_with_nothing_begins_small(store, photo, changes, steps):
    changes = {name: photo if value == "photo" else value for name, value in changes.items()}
    painting = painting_of(store, **{"steps": 8, "coarse": 0.5, **changes})
    assert painting._coarse_steps == steps
    painting._grid = (1, 12)
    assert painting._coarse_steps == 0, "half of one cell is none"


def test_all_guides_judge_a_start_and_always_by_the_same_cutouts(store):
    pictures = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    one = painting_of(store)
    pair = painting_of(store, perceptors=(PerceptorChoice(name="embedded"), PerceptorChoice(name="embedded", weight=3)))
    assert torch.equal(one._score(pictures), one._score(pictures))
    rngs = [loop.generators(one.spec.seeds, "score", torch.device("cpu")) for _ in range(2)]
    assert torch.equal(one._score(pictures), one._guides[0].judge(pictures, rngs[0]))
    shared = rngs[1]
    torch.testing.assert_close(
        pair._score(pictures), sum((guide.judge(pictures, shared) for guide in pair._guides), torch.zeros(1))
    )


def test_words_for_inside_are_about_the_mask(store, photo):
    inside = (APPLE, Prompt(content="a grey lighthouse", where="inside"))
    region = painting_of(store, *inside, mask_text="left")._region
    assert region is not None
    assert torch.equal(region, place("left", 32, 48))
    assert painting_of(store)._region is None
    edited = painting_of(store, *inside, init_image=photo, mask_text="right")._region
    assert edited is not None
    assert edited[..., 40:].mean() > edited[..., :8].mean()


def test_what_cannot_be_steered_to_changes_nothing(store):
    painting, untouched = painting_of(store), painting_of(store)
    next(painting)
    next(untouched)
    with pytest.raises(BadSpecError, match="add up to more than zero"):
        painting.steer((Prompt(content="a red apple", weight=-1),))
    assert painting.spec == untouched.spec
    assert [iterate.losses for iterate in painting] == [iterate.losses for iterate in untouched]


def test_each_notice_is_given_once(store):
    pair = (PerceptorChoice(name="embedded"), PerceptorChoice(name="embedded"))
    painting = painting_of(store, perceptors=pair)
    for guide in painting._guides:
        guide.notices.append("Memory ran short.")
    painting._guides[1].notices.append("Once more.")
    assert painting.notices == ["Memory ran short.", "Once more."]


def test_a_state_is_a_copy_that_further_steps_do_not_change(store):
    painting = painting_of(store, preset="mse", ema_decay=0.5)
    next(painting)
    state = painting.state_dict()
    kept = {name: state[name].clone() for name in ("z", "z_orig", "ema")}
    moment = state["adam"]["state"][0]["exp_avg"].clone()
    assert not torch.equal(kept["z"], kept["z_orig"])
    assert not torch.equal(kept["z"], kept["ema"])
    losses = [iterate.losses for iterate in painting]
    assert all(torch.equal(state[name], value) for name, value in kept.items())
    assert torch.equal(state["adam"]["state"][0]["exp_avg"], moment)
    resumed = painting_of(store, preset="mse", ema_decay=0.5).load_state_dict(state)
    assert resumed.step == 1
    assert torch.equal(resumed._z_orig, kept["z_orig"])
    assert torch.equal(resumed._ema, kept["ema"])
    assert [iterate.losses for iterate in resumed] == losses


def test_a_state_of_half_size_is_for_a_painting_that_begins_so(store):
    small = painting_of(store, coarse=0.5)
    next(small)
    state = small.state_dict()
    assert state["z"].shape[-2:] == (4, 6)
    assert painting_of(store, coarse=0.5).load_state_dict(state).z.shape == state["z"].shape
    with pytest.raises(BadStateError, match="of shape"):
        painting_of(store).load_state_dict(state)


def test_without_the_model_that_enlarges_nothing_is_begun(store, monkeypatch):
    asked = []
    monkeypatch.setattr(store, "upscaler", asked.append)
    painting_of(store, upscale=1)
    assert asked == []
    painting_of(store, upscale=2)
    assert asked == ["embedded"]


def test_an_edit_in_logits_is_handed_on_as_codewords(gumbel_models, cpu, photo, tmp_path):
    store = ModelStore(gumbel_models, cpu, embedded=gumbel_models)
    painting = painting_of(store, preset="directional", init_image=photo, edit_from="grey", mask_text="left")
    assert painting._in_logits
    assert not painting_of(store, preset="directional", init_image=photo)._in_logits
    next(painting)
    (tmp_path / "z.safetensors").write_bytes(painting.encode_latent())
    handed_on = load_file(tmp_path / "z.safetensors")["z"]
    assert torch.equal(handed_on, painting._vqgan.likeliest(painting.z).detach())
    assert not torch.equal(handed_on, painting.z.detach())
    assert torch.equal(painting_of(store, init_latent=str(tmp_path / "z.safetensors")).z, handed_on)


@pytest.mark.parametrize("index", [0, 1])
def test_of_several_latents_the_one_that_is_asked_for_is_handed_on(store, index):
    painting = painting_of(store, count=2, ema_decay=0.5)
    next(painting)
    assert torch.equal(load(painting.encode_latent(index))["z"], painting._ema[index : index + 1])
