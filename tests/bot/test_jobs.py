"""Ids, keys, and the specs of a picture's children."""

import pytest

from bot.jobs import (
    VARIATION,
    JobState,
    cost_key,
    new_job_id,
    reaction_key,
    refine,
    rerun,
    smaller,
    vary,
    without_content,
    words_of,
)
from engine.prompts import Prompt
from engine.spec import PaintingSpec
from tests.bot.conftest import make_job


def test_ids_fit_in_a_button():
    ids = {new_job_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(job_id) == 8 and set(job_id) <= set("abcdefghijklmnopqrstuvwxyz234567") for job_id in ids)


def test_a_reaction_has_a_key_of_its_own_that_sqlite_can_hold():
    keys = {
        reaction_key(message, user, emoji, n)
        for message in (1, 2)
        for user in (3, 4)
        for emoji in "🔁🎲"
        for n in (0, 1)
    }
    assert len(keys) == 16
    assert all(-(2**63) <= key < 0 for key in keys)
    assert reaction_key(1, 3, "🔁") == reaction_key(1, 3, "🔁")


def test_paintings_alike_cost_alike(spec):
    assert cost_key(spec) == cost_key(spec.but(seed=9, steps=99)) == "embedded 32x32 embedded 2"
    assert cost_key(spec) != cost_key(spec.but(width=64))


def test_a_rerun_changes_the_seed_alone(spec):
    assert rerun(spec, 8) == spec.but(seed=8)


def test_a_variation_goes_on_from_the_latent(spec):
    child = vary(spec, 8, "latents/a.safetensors", "pictures/a.png")
    assert (child.init_latent, child.init_image, child.init_noise) == ("latents/a.safetensors", None, VARIATION)
    assert (child.seed, child.prompts) == (8, spec.prompts)


@pytest.fixture
def edited(spec) -> PaintingSpec:
    return spec.but(init_image="inputs/a.png", mask="inputs/m.png", edit_from="a pear", strength=0.7)


def test_a_variation_of_an_edit_goes_on_from_the_picture_within_its_mask(edited):
    child = vary(edited, 8, "latents/a.safetensors", "pictures/a.png")
    assert (child.init_latent, child.init_image, child.mask) == (None, "pictures/a.png", "inputs/m.png")
    assert child.edit_from is None


def test_refining_paints_the_picture_on_at_twice_the_size(spec, edited):
    for parent in (spec, edited, vary(spec, 8, "latents/a.safetensors", "pictures/a.png")):
        child = refine(parent, "pictures/b.png", largest_side=1024, most_steps=2000)
        assert (child.width, child.height, child.steps) == (64, 64, parent.steps * 3 // 2)
        assert (child.init_image, child.init_latent, child.init_noise) == ("pictures/b.png", None, 0)
        assert child.mask == parent.mask


def test_refining_keeps_the_shape_within_the_largest_side(spec):
    child = refine(spec.but(width=800, height=400), "pictures/b.png", largest_side=1000, most_steps=2000)
    assert (child.width, child.height) == (1000, 500)
    assert refine(spec.but(steps=9000), "pictures/b.png", largest_side=64, most_steps=9500).steps == 9500


def test_a_variation_takes_half_the_steps_and_one_at_least(spec):
    assert vary(spec.but(steps=7), 8, "l", "p").steps == 3
    assert vary(spec.but(steps=1), 8, "l", "p").steps == 1


def test_refining_is_gentler_than_painting(spec):
    def child(**changes):
        return refine(spec.but(**changes), "p.png", largest_side=1024, most_steps=2000)

    assert child(init_image="a.png", strength=0.9).strength == 0.6
    assert child(init_image="a.png", strength=0.5).strength == 0.5
    assert child(learning_rate=0.2).learning_rate == 0.1
    assert child(steps=1).steps == 1
    assert child(steps=5).steps == 7
    assert child(edit_from="a pear", init_image="a.png").edit_from is None


def test_refining_at_the_largest_side_keeps_the_size(spec):
    child = refine(spec.but(width=64, height=48), "p.png", largest_side=64, most_steps=2000)
    assert (child.width, child.height) == (64, 48)
    child = refine(spec.but(width=400, height=32), "p.png", largest_side=200, most_steps=2000)
    assert (child.width, child.height) == (200, 32)


def test_a_smaller_painting_has_about_half_the_pixels_in_whole_cells(spec):
    less = smaller(spec.but(width=256, height=192))
    assert less is not None
    assert (less.width, less.height) == (176, 128)
    assert smaller(spec.but(width=96, height=96)) == spec.but(width=64, height=64)
    assert smaller(spec.but(width=80, height=256)) == spec.but(width=64, height=176)
    assert smaller(spec.but(width=79, height=256)) is None
    assert smaller(spec) is None


def test_all_words_that_a_painting_follows_are_judged(spec):
    prompts = (Prompt(content="one"), Prompt(content="two", weight=-1), Prompt(kind="image", content="secret.png"))
    words = words_of(spec.but(prompts=prompts, init_image="a.png", edit_from="three", mask_text="four"), "typed")
    assert words.split() == ["typed", "one", "two", "three", "four"]


def test_nothing_that_somebody_wrote_or_sent_stays(spec):
    full = spec.but(
        prompts=(Prompt(content="one"), Prompt(kind="image", content="b.png")),
        init_image="a.png",
        mask="m.png",
        edit_from="three",
        init_noise=0.3,
    )
    for one in (
        full,
        spec.but(init_latent="l.safetensors", prompts=full.prompts),
        full.but(mask=None, mask_text="four"),
    ):
        left = without_content(one).to_json()
        for piece in ("one", "a.png", "b.png", "m.png", "three", "four", "l.safetensors"):
            assert f'"{piece}"' not in left
        assert without_content(one).seed == one.seed


@pytest.mark.parametrize(
    ("state", "finished"),
    [
        (JobState.QUEUED, False),
        (JobState.RUNNING, False),
        (JobState.RENDERED, True),
        (JobState.DELIVERED, True),
        (JobState.CANCELLED, True),
        (JobState.FAILED, True),
    ],
)
def test_a_job_is_finished_when_nothing_is_left_to_paint(ask, state, finished):
    assert make_job(ask(), state=state).finished is finished


def test_starts_count_against_a_job_until_they_saved_something(ask):
    assert make_job(ask(), attempts=3, forgiven=1).crashes == 2
