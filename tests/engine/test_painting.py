"""The loop, on the tiny pair: what it promises about seeds, resuming, memory, masks and steering."""

import gc
import itertools
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Iterate, LostError, Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import BadSpecError, Cutouts, PaintingSpec, PerceptorChoice
from engine.start import fit
from tests.warm_processes import run

APPLE = (Prompt(content="a red apple"),)


@pytest.fixture(scope="module")
def store(tiny_models, cpu):
    return ModelStore(tiny_models, cpu, embedded=tiny_models)


def spec_of(preset="paper", **changes):
    base = {"width": 48, "height": 32, "steps": 4, "seed": 7, "cutouts": Cutouts(count=6)}
    return spec_from_preset(APPLE, preset, **{**base, **changes})


def paint(spec, store):
    painting = Painting(spec, store)
    losses = [iterate.loss for iterate in painting]
    return painting, losses


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    ramp = Image.linear_gradient("L").resize((64, 64))
    Image.merge("RGB", (ramp, ramp.rotate(90), ramp.rotate(180))).save(path)
    return str(path)


def test_each_step_reports_itself(store):
    iterates = list(Painting(spec_of(), store))
    assert [iterate.step for iterate in iterates] == [1, 2, 3, 4]
    last = iterates[-1]
    assert isinstance(last, Iterate)
    assert last.steps == 4
    assert len(last.losses) == 2  # one prompt, and the rest
    assert last.loss == pytest.approx(sum(last.losses), abs=1e-6)
    assert last.picture().size == (48, 32)
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(iterates))


def test_an_ended_painting_leaves_nothing_behind(store):
    def tensors_after(paintings):
        for _ in range(paintings):
            paint(spec_of(steps=1), store)
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    after_one = tensors_after(1)
    assert tensors_after(3) <= after_one  # fewer where an earlier test's are let go meanwhile


def test_the_loss_falls(store):
    _, losses = paint(spec_of(steps=40, learning_rate=0.1), store)
    assert sum(losses[-5:]) < sum(losses[:5])


def test_equal_specs_paint_equal_bytes_and_touch_no_global_generator(store):
    before = torch.get_rng_state()
    first, losses = paint(spec_of(), store)
    again, same_losses = paint(spec_of(), store)
    other, _ = paint(spec_of(seed=8), store)
    assert torch.equal(torch.get_rng_state(), before)
    assert losses == same_losses
    assert first.picture().tobytes() == again.picture().tobytes()
    assert first.picture().tobytes() != other.picture().tobytes()


RESUME = """
import sys, torch
from pathlib import Path
from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Painting
from engine.spec import PaintingSpec
torch.set_num_threads(1)
spec, models, state, picture = (Path(argument) for argument in sys.argv[1:])
store = ModelStore(models, pick_device("cpu", "fp32"), embedded=models)
painting = Painting(PaintingSpec.from_json(spec.read_text()), store)
painting.load_state_dict(torch.load(state, weights_only=True))
losses = [iterate.loss for iterate in painting]
painting.picture().save(picture)
print(losses)
"""


@pytest.mark.parametrize(
    "changes", [{}, {"preset": "mse", "ema_decay": 0.9, "coarse": 0.5}, {"learning_rate_schedule": "cosine"}]
)
def test_a_new_process_goes_on_bit_exactly(store, tiny_models, tmp_path, changes):
    spec = spec_of(**{"steps": 8, **changes})
    whole, losses = paint(spec, store)
    half = Painting(spec, store)
    for _ in range(3):
        next(half)
    torch.save(half.state_dict(), tmp_path / "state.pt")
    (tmp_path / "spec.json").write_text(spec.to_json())
    arguments = [tmp_path / "spec.json", tiny_models, tmp_path / "state.pt", tmp_path / "picture.png"]
    assert run(RESUME, *arguments).strip() == str(losses[3:])
    assert Image.open(tmp_path / "picture.png").tobytes() == whole.picture().tobytes()


def test_chunks_change_nothing_but_memory(store):
    whole, pieces = Painting(spec_of(), store), Painting(spec_of(), store)
    pieces._guides[0].at_once = 4  # 6 cutouts: 4 and 2
    for one, other in zip(whole, pieces, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-4)
    assert torch.allclose(whole.z, pieces.z, atol=1e-3)


def test_out_of_memory_halves_the_chunk_and_repeats_the_step(store, monkeypatch):
    _, losses = paint(spec_of(), store)
    perceptor = store.perceptor("embedded")
    embed = perceptor.encode_image
    tried = []

    def scarce(cutouts):
        tried.append(len(cutouts))
        if len(cutouts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return embed(cutouts)

    monkeypatch.setattr(perceptor, "encode_image", scarce)
    painting, scarce_losses = paint(spec_of(), store)
    assert max(tried) == 6
    assert tried[-1] <= 2
    assert scarce_losses == pytest.approx(losses, abs=1e-4)
    assert any("2 at a time" in notice for notice in painting.notices)


def test_of_an_attempt_that_ran_out_of_memory_no_gradient_is_left(store, monkeypatch):
    """The first chunk's gradient has been added to the picture's already when the second chunk fails."""
    plain = Painting(spec_of(), store)
    perceptor = store.perceptor("embedded")
    embed, calls = perceptor.encode_image, itertools.count(1)

    def fails_once(cutouts):
        if next(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return embed(cutouts)

    painting = Painting(spec_of(), store)
    painting._guides[0].at_once = 4  # 6 cutouts: 3 and 3
    assert plain.z.equal(painting.z)
    next(plain)
    monkeypatch.setattr(perceptor, "encode_image", fails_once)
    next(painting)
    assert painting.notices
    wanted, got = (one._adam.state[one.z]["exp_avg"] for one in (plain, painting))
    assert (got - wanted).norm() < 1e-3 * wanted.norm()


def test_another_error_is_not_taken_for_lack_of_memory(store, monkeypatch):
    perceptor = store.perceptor("embedded")

    def broken(cutouts):
        raise RuntimeError("illegal memory access")

    monkeypatch.setattr(perceptor, "encode_image", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        next(Painting(spec_of(), store))


def test_a_latent_gone_bad_is_reported_and_never_saved(store):
    painting = Painting(spec_of(), store)
    next(painting)
    painting.z.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(LostError, match="lower learning rate"):
        painting.state_dict()
    with pytest.raises(LostError):
        painting.picture()


def test_outside_the_mask_the_picture_is_the_input(store, photo, tmp_path):
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    mask.save(tmp_path / "mask.png")
    spec = spec_of(width=64, height=64, init_image=photo, mask=str(tmp_path / "mask.png"), steps=6)
    painting, _ = paint(spec, store)
    original, painted = Image.open(photo), painting.picture()
    left, right = (0, 0, 32, 64), (40, 0, 64, 64)
    assert painted.crop(left).tobytes() == original.crop(left).tobytes()
    assert painted.crop(right).tobytes() != original.crop(right).tobytes()


def test_a_weak_edit_stays_nearer_to_its_picture(store, photo):
    moved = {}
    for strength in (0.05, 1.0):
        painting = Painting(spec_of(init_image=photo, strength=strength, steps=15), store)
        list(painting)
        moved[strength] = (painting.z - painting._z_orig).square().mean().item()
    assert moved[0.05] < 0.5 * moved[1.0]


@pytest.mark.parametrize(("strength", "weight"), [(0.25, 3.0), (0.5, 1.0), (0.8, 0.25)])
def test_the_weaker_an_edit_the_harder_it_is_pulled_back(store, photo, strength, weight):
    """By (1 - strength) / strength for each variance of the codebook that a latent is away from its start."""
    painting = Painting(spec_of("notebook", init_image=photo, strength=strength), store)
    away = 2 * painting._vqgan.codebook.var().sqrt()
    (pull,) = painting._regularisers(painting.z + away)
    assert pull.tolist() == pytest.approx([4 * weight], rel=1e-4)


def test_a_directional_edit_finds_its_own_region(store, photo, monkeypatch):
    monkeypatch.setattr(store.perceptor("embedded"), "finds_by", "crops")
    painting = Painting(spec_of(init_image=photo, edit_from="grey", steps=2), store)
    assert painting._edit is not None
    assert painting._edit.mask is not None
    assert 0 < float(painting._edit.mask.mean()) < 1
    losses = [iterate.losses for iterate in painting]
    assert all(len(values) == 2 for values in losses)


@pytest.mark.parametrize("edit", [{}, {"strength": 0.5}, {"edit_from": "grey"}])
def test_the_finished_picture_is_the_one_that_a_further_step_would_look_at(store, photo, edit):
    changes = {"init_image": photo, **edit} if edit else {}
    painting = Painting(spec_of(steps=3, **changes), store)
    for _ in range(2):
        next(painting)
    finished = painting.picture()
    assert finished.tobytes() == next(painting).picture().tobytes()


def test_steering_changes_the_goal_and_survives_a_restart(store):
    painting = Painting(spec_of(steps=6), store)
    for _ in range(2):
        next(painting)
    painting.steer((Prompt(content="a grey lighthouse"), Prompt(content="apple", weight=0.5)))
    state = painting.state_dict()
    losses = [iterate.losses for iterate in painting]
    assert all(len(values) == 3 for values in losses)
    resumed = Painting(spec_of(steps=6), store).load_state_dict(state)
    assert [iterate.losses for iterate in resumed] == losses
    assert resumed.spec.prompts[0].content == "a grey lighthouse"


def test_coarse_steps_are_painted_at_half_size(store):
    painting = Painting(spec_of(width=64, height=64, coarse=0.5), store)
    sizes = [iterate.picture().size for iterate in painting]
    assert sizes == [(32, 32), (32, 32), (64, 64), (64, 64)]
    assert painting.picture().size == (64, 64)


def test_the_full_size_begins_with_the_average_of_the_half_size(store):
    painting = Painting(spec_of(width=64, height=64, coarse=0.5, ema_decay=0.9), store)
    for _ in range(2):
        next(painting)
    with torch.no_grad():
        average, last = (fit(z, painting._vqgan, (16, 16)) for z in (painting._ema, painting.z))
    painting._change_stage()
    assert torch.equal(painting.z, average)
    assert not torch.equal(average, last)


def test_a_cosine_schedule_goes_from_the_whole_rate_to_a_tenth(store):
    painting = Painting(spec_of(learning_rate=0.2, learning_rate_schedule="cosine"), store)
    rates = [painting._adam.param_groups[0]["lr"] for _ in painting]
    assert rates == pytest.approx([0.2, 0.1736, 0.11, 0.0464], abs=1e-4)
    painting.step = 4
    assert painting._learning_rate() == pytest.approx(0.02)


@pytest.mark.parametrize("start", ["noise", "pixels", "gradient", "best-of"])
def test_every_start_depends_on_the_seed_alone(store, start):
    pictures = [
        Painting(spec_of(start=start, candidates=3, seed=seed), store).picture().tobytes() for seed in (1, 1, 2)
    ]
    assert pictures[0] == pictures[1] != pictures[2]


def test_the_best_of_many_starts_is_no_worse(store):
    def first_score(candidates):
        painting = Painting(spec_of(start="best-of", candidates=candidates, steps=1), store)
        z = painting._start()
        return painting._score(painting._vqgan.decode(painting._vqgan.quantise(z)).clamp(0, 1))

    assert first_score(8) <= first_score(1)


def test_a_generator_without_a_prior_says_so(store, monkeypatch):
    monkeypatch.setattr(store, "prior", lambda _: None)
    with pytest.raises(BadSpecError, match="has no prior; choose another start"):
        next(Painting(spec_of(start="prior"), store))


def test_a_saved_latent_starts_another_painting(store, tmp_path):
    painting, _ = paint(spec_of(ema_decay=0.5), store)
    (tmp_path / "z.safetensors").write_bytes(painting.encode_latent())
    twin = Painting(spec_of(init_latent=str(tmp_path / "z.safetensors")), store)
    varied = Painting(spec_of(init_latent=str(tmp_path / "z.safetensors"), init_noise=0.3), store)
    larger = Painting(spec_of(init_latent=str(tmp_path / "z.safetensors"), width=96, height=64), store)
    assert twin.picture().tobytes() == painting.picture().tobytes()
    assert varied.picture().tobytes() != painting.picture().tobytes()
    assert larger.picture().size == (96, 64)


def test_words_beyond_the_context_are_named(store):
    words = "a red apple on a grey lighthouse " * 4
    painting = Painting(spec_of(steps=1).but(prompts=(Prompt(content=words),)), store)
    assert len(painting.notices) == 1
    assert "lighthouse" in painting.notices[0]
    next(painting)


def test_pictures_are_prompts_too(store, photo):
    prompts = (*APPLE, Prompt(kind="image", content=photo, weight=0.5))
    painting, losses = paint(spec_of().but(prompts=prompts), store)
    assert len(losses) == 4
    assert painting._guides[0]._prompts[1][0].embeddings.shape[0] == 6  # one embedding per cutout


def test_noise_is_a_prompt_too(store):
    """Crowson's notebook: a direction drawn from a seed of its own, the same in every painting."""
    prompts = (*APPLE, Prompt(kind="noise", content="7", weight=0.5))
    one, other = (Painting(spec_of(seed=seed).but(prompts=prompts), store) for seed in (1, 2))
    (embedded,) = one._guides[0]._prompts[1][0].embeddings
    assert torch.equal(embedded, other._guides[0]._prompts[1][0].embeddings[0])
    assert embedded.norm().item() == pytest.approx(1)
    assert len(next(one).losses) == 3
    drawn = torch.randn(1, len(embedded), generator=torch.Generator().manual_seed(7))[0]
    torch.testing.assert_close(embedded, drawn / drawn.norm())


def test_an_ensemble_weighs_its_perceptors(store):
    pair = (PerceptorChoice(name="embedded", weight=3), PerceptorChoice(name="embedded", weight=1))
    painting = Painting(spec_of(perceptors=pair), store)
    assert [guide.weight for guide in painting._guides] == [0.75, 0.25]
    assert next(painting).loss > 0


def test_odd_sizes_are_rounded_down_to_whole_cells(store):
    assert Painting(spec_of(width=50, height=35), store).picture().size == (48, 32)


def test_a_state_is_plain_data(store, tmp_path):
    painting = Painting(spec_of(), store)
    next(painting)
    path = Path(tmp_path / "state.pt")
    torch.save(painting.state_dict(), path)
    state = torch.load(path, weights_only=True)
    assert PaintingSpec.from_json(state["spec"]) == painting.spec
    assert state["step"] == 1


class Waits(TorchDispatchMode):
    """Note every operation for which a GPU would be waited for: numbers read from it, or handed to it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in WAITS:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


WAITS = {torch.ops.aten._local_scalar_dense, torch.ops.aten.lift_fresh, torch.ops.aten.nonzero, torch.ops.aten.equal}


@pytest.mark.parametrize("preset", ["paper", "normal", "nerdyrodent", "mse"])
def test_a_step_makes_no_gpu_wait(store, monkeypatch, preset):
    painting = Painting(spec_of(preset, start="noise", coarse=0, steps=9, width=96, height=96), store)
    next(painting)
    adam = painting._adam.step  # keeps its own count of steps on the CPU, wherever z is

    def unwatched():
        with _disable_current_modes():
            adam()

    monkeypatch.setattr(painting._adam, "step", unwatched)
    with Waits() as waits:
        iterate = next(painting)
        assert waits.seen == []
        assert iterate.loss > 0
        assert waits.seen == ["aten._local_scalar_dense.default"]  # so it does look


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("preset", ["paper", "normal", "nerdyrodent", "mse"])
def test_a_step_makes_no_real_gpu_wait(tiny_models, preset):
    store = ModelStore(tiny_models, pick_device("cuda"), embedded=tiny_models)
    painting = Painting(spec_of(preset, start="noise", coarse=0, steps=9, width=96, height=96), store)
    next(painting)
    torch.cuda.set_sync_debug_mode("error")
    try:
        iterate = next(painting)
        with pytest.raises(RuntimeError, match="synchroni"):
            float(iterate._losses.sum())  # so it does look
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert iterate.loss > 0


@pytest.mark.parametrize(
    ("upscale", "side", "size"),
    [(1, 0, (48, 32)), (1, 48, (48, 32)), (1, 96, (96, 64)), (2, 0, (96, 64)), (2, 144, (144, 96))],
)
def test_a_finished_picture_is_enlarged_as_far_as_was_asked(store, upscale, side, size):
    painting = Painting(spec_of(upscale=upscale, steps=1), store)
    picture = Image.new("RGB", (48, 32), "red")
    enlarged = painting.enlarged(picture, side)
    assert enlarged.size == size
    assert (enlarged is picture) is (size == (48, 32))


def test_of_a_published_generator_only_what_is_asked_is_enlarged(store):
    painting = Painting(spec_of(steps=1), store)
    painting.spec = painting.spec.but(generator="imagenet-1024")
    picture = Image.new("RGB", (48, 32))
    assert painting.enlarged(picture, 96) is picture
