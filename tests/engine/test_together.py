"""Paintings stepped as one batch: each becomes what it becomes alone."""

import pytest
import torch
from PIL import Image

from engine.models import ModelStore
from engine.painting import LostError, Painting, most_together, step_together
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts, PerceptorChoice


@pytest.fixture(scope="module")
def store(tiny_models, cpu):
    return ModelStore(tiny_models, cpu, embedded=tiny_models)


def spec_of(words="a red apple", **changes):
    base = {"width": 48, "height": 32, "steps": 8, "cutouts": Cutouts(count=5)}
    return spec_from_preset((Prompt(content=words),), "paper", **{**base, **changes})


@pytest.fixture
def specs(tmp_path):
    """Three paintings that share networks and size, and nothing else."""
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    ramp = Image.linear_gradient("L").resize((48, 32))
    Image.merge("RGB", (ramp, ramp.rotate(180), ramp)).save(photo)
    white = Image.new("L", (48, 32), 0)
    white.paste(255, (24, 0, 48, 32))
    white.save(mask)
    return [
        spec_of(seed=1),
        spec_of(
            "a grey lighthouse",
            seed=2,
            learning_rate=0.05,
            steps=5,
            cutouts=Cutouts(method="pooled", count=3),
            total_variation=0.1,
            average=0.9,
        ),
        spec_of("apple", seed=3, init_image=str(photo), mask=str(mask), strength=0.5, edit_from="grey"),
    ]


def alone(spec, store, steps):
    painting = Painting(spec, store)
    return painting, [next(painting).losses for _ in range(steps)]


def follows(painting, losses, other, other_losses):
    """Compare the whole course, and what decides how it goes on."""
    assert losses == [pytest.approx(step, abs=2e-5) for step in other_losses]
    torch.testing.assert_close(painting._latent, other._latent, atol=2e-3, rtol=1e-3)
    assert torch.equal(painting._rng.get_state(), other._rng.get_state())
    assert painting.step == other.step


def test_companions_change_nothing(specs, store):
    together = [Painting(spec, store) for spec in specs]
    courses = list(zip(*[[iterate.losses for iterate in step_together(together)] for _ in range(5)], strict=True))
    for spec, painting, losses in zip(specs, together, courses, strict=True):
        follows(painting, list(losses), *alone(spec, store, 5))


def test_they_join_and_leave_between_steps(specs, store):
    courses = {spec.seed: [] for spec in specs}
    waiting, painted = [Painting(spec, store) for spec in specs], []
    while waiting or painted:
        painted = [painting for painting in painted if not painting.is_finished]
        if waiting:  # one more at each step
            painted.append(waiting.pop(0))
        if painted:
            for painting, iterate in zip(painted, step_together(painted), strict=True):
                courses[painting.spec.seed].append(iterate.losses)
    for spec in specs:
        assert courses[spec.seed] == [pytest.approx(step, abs=5e-5) for step in alone(spec, store, spec.steps)[1]]


def test_a_painting_goes_on_alone_from_what_it_saved_in_company(specs, store):
    together = [Painting(spec, store) for spec in specs]
    for _ in range(3):
        step_together(together)
    resumed = Painting(specs[1], store).load_state_dict(together[1].state_dict())
    rest = [step_together(together)[1].losses for _ in range(2)]
    assert rest == [pytest.approx(iterate.losses, abs=2e-5) for iterate in resumed]


def test_an_ensemble_sees_each_painting_with_every_perceptor(store):
    pair = (PerceptorChoice(name="embedded", weight=3), PerceptorChoice(name="embedded", weight=1))
    specs = [spec_of(seed=seed, perceptors=pair) for seed in (1, 2)]
    losses = [iterate.losses for iterate in step_together([Painting(spec, store) for spec in specs])]
    assert losses == [pytest.approx(alone(spec, store, 1)[1][0], abs=1e-5) for spec in specs]


@pytest.mark.parametrize("fits", [1, 4, 6])
def test_chunks_may_end_amid_a_painting(specs, store, fits):
    whole, pieces = ([Painting(spec, store) for spec in specs] for _ in range(2))
    for painting in pieces:
        painting._views[0].fits = fits
    for one, other in zip(step_together(whole), step_together(pieces), strict=True):
        assert one.losses == pytest.approx(other.losses, abs=1e-5)


def test_short_memory_is_shared_and_said_to_all(specs, store, monkeypatch):
    perceptor = store.perceptor("embedded")
    see = perceptor.see

    def scarce(cutouts):
        if len(cutouts) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return see(cutouts)

    monkeypatch.setattr(perceptor, "see", scarce)
    together = [Painting(spec, store) for spec in specs[:2]]
    losses = [iterate.losses for iterate in step_together(together)]
    assert all("4 at a time" in painting.notices[-1] for painting in together)
    monkeypatch.undo()
    assert losses == [pytest.approx(alone(spec, store, 1)[1][0], abs=1e-5) for spec in specs[:2]]


@pytest.mark.parametrize("changes", [{"width": 64}, {"coarse": 0.5}, {"perceptors": ("embedded", "embedded")}])
def test_unlike_steps_are_refused_before_anything_happens(store, changes):
    two = [Painting(spec_of(), store), Painting(spec_of(**changes), store)]
    with pytest.raises(ValueError, match="can be stepped together"):
        step_together(two)
    assert [painting.step for painting in two] == [0, 0]


def test_a_coarse_painting_is_alike_once_it_is_large(store):
    coarse, plain = Painting(spec_of(coarse=0.25), store), Painting(spec_of(), store)
    assert coarse.prepare() != plain.prepare()
    for _ in range(2):
        next(coarse)
    assert coarse.prepare() == plain.prepare()


def test_a_lost_painting_is_named_and_takes_nobody_along(specs, store):
    together = [Painting(spec.but(steps=20), store) for spec in specs]
    for _ in range(9):
        step_together(together)
    together[0]._latent.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(LostError) as lost:
        step_together(together)
    assert lost.value.paintings == (together[0],)
    follows(together[1], [], alone(specs[1].but(steps=20), store, 10)[0], [])


def test_memory_says_how_many(store):
    assert most_together(Painting(spec_of(), store)) > 1
