"""Ids, keys, and the specs of a picture's children."""

import pytest

from bot.jobs import VARIATION, cost_key, new_job_id, reaction_key, refine, rerun, vary
from engine.spec import PaintingSpec


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
