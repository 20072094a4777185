"""Ids, keys, and the specs of a picture's children."""

import pytest

from bot.jobs import (
    VARIATION,
    ZOOMS,
    JobState,
    cost_key,
    extended,
    grown,
    new_job_id,
    reaction_key,
    refine,
    rerun,
    smaller,
    still,
    vary,
    without_content,
    words_of,
)
from engine.prompts import Prompt
from engine.spec import Extend, Motion, PaintingSpec
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
    assert cost_key(spec.but(count=4)) == "embedded 32x32x4 embedded 8"
    assert cost_key(spec.but(height=48, perceptors=("RN50", "ViT-B/32"))) == "embedded 32x48 RN50+ViT-B/32 2"


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


@pytest.fixture
def moving(spec) -> PaintingSpec:
    motion = Motion(seconds=1, fps=4, begin=8, each=3)
    prompts = (Prompt(content="a cat"), Prompt(content="a dog", since=0.5))
    return spec.but(motion=motion, steps=motion.steps, prompts=prompts)


def test_the_picture_of_an_animation_is_what_was_painted_before_its_first_frame(spec, moving):
    assert still(spec) is spec
    one = still(moving)
    assert (one.motion, one.steps, one.seed) == (None, 8, moving.seed)
    assert [(prompt.content, prompt.since) for prompt in one.prompts] == [("a cat", None), ("a dog", None)]


def test_the_children_of_an_animation_are_pictures(moving):
    varied = vary(moving, 8, "l", "p")
    refined = refine(moving, "p.png", largest_side=1024, most_steps=2000)
    further = extended(moving, "p.png", ZOOMS["pan-left"], 8, 1024)
    assert [child.motion for child in (varied, refined, further)] == [None] * 3
    assert [child.steps for child in (varied, refined, further)] == [4, 12, 8]


def test_what_lies_around_a_picture_is_painted_anew_from_it_alone(spec, edited):
    begun = {"start": "pixels", "candidates": 4, "coarse": 0.5, "width": 128, "height": 64}
    inside = (Prompt(content="a cat", where="inside"),)
    child = extended(edited.but(**begun, prompts=inside), "b.png", Extend(left=0.25, up=0.5), 9, 1024)
    assert (child.init_image, child.extend, child.seed) == ("b.png", Extend(left=0.25, up=0.5), 9)
    assert (child.width, child.height) == (160, 96)
    assert [prompt.where for prompt in child.prompts] == ["everywhere"]
    assert (child.mask, child.edit_from) == (None, None)
    assert (child.start, child.candidates, child.coarse, child.edit_start) == ("noise", 1, 0.0, "original")
    assert child.strength == 0.8
    in_words = edited.but(mask=None, mask_text="the sky", edit_start="search")
    assert extended(in_words, "b.png", ZOOMS["zoom-out"], 9, 1024) == extended(
        in_words.but(mask_text=None, edit_start="original"), "b.png", ZOOMS["zoom-out"], 9, 1024
    )
    varied = extended(vary(spec.but(tile=True), 8, "l", "p"), "b.png", ZOOMS["zoom-out"], 9, 1024)
    assert (varied.init_latent, varied.init_noise, varied.init_image, varied.tile) == (None, 0.0, "b.png", False)


@pytest.mark.parametrize(
    ("width", "height", "extend", "largest", "canvas"),
    [
        (128, 64, Extend(left=0.25), 1024, (160, 64)),
        (128, 64, Extend(right=0.25), 1024, (160, 64)),
        (128, 64, Extend(up=0.5), 1024, (128, 96)),
        (128, 64, Extend(down=0.5), 1024, (128, 96)),
        (128, 64, ZOOMS["zoom-out-far"], 1024, (256, 128)),
        (128, 64, ZOOMS["zoom-out-far"], 256, (256, 128)),
        (128, 64, ZOOMS["zoom-out-far"], 128, (128, 64)),
        (64, 128, ZOOMS["zoom-out-far"], 128, (64, 128)),
        (100, 64, Extend(left=0.5), 1024, (144, 64)),  # whole cells, rounded down
        (512, 32, Extend(left=1.0), 512, (512, 32)),  # no side below 32
        (32, 512, Extend(up=1.0), 512, (32, 512)),
    ],
)
def test_a_canvas_grows_as_far_as_the_largest_side_allows(width, height, extend, largest, canvas):
    assert grown(width, height, extend, largest) == canvas


def test_zooms_add_on_all_sides_and_pans_on_one():
    sides = {name: (one.left, one.up, one.right, one.down) for name, one in ZOOMS.items()}
    assert sides["zoom-out"] == (0.25,) * 4
    assert sides["zoom-out-far"] == (0.5,) * 4
    assert [sides[f"pan-{where}"] for where in ("left", "up", "right", "down")] == [
        tuple(0.5 if side == chosen else 0.0 for side in range(4)) for chosen in range(4)
    ]


def test_a_request_says_who_asks_and_where(ask):
    requester = ask(user_id=3, role_ids=(50,), parent_channel_id=9).requester
    assert (requester.user_id, requester.guild_id, requester.channel_id) == (3, 5, 6)
    assert (requester.role_ids, requester.parent_channel_id) == ((50,), 9)
