"""Films: when a frame is finished, how the picture moves, and whose time it is."""

import pytest
import torch
from torch.nn import functional as F

from engine.models import ModelStore
from engine.motion import active, is_frame, moved, seconds_at
from engine.painting import Painting
from engine.prompts import Prompt, parse_prompts
from engine.spec import BadSpecError, Cutouts, Motion, PaintingSpec

STILL = Motion(zoom=1.0, fps=2)


def test_frames_come_after_the_first_steps_every_few():
    motion = Motion(seconds=2, fps=2, begin=5, each=3)
    assert [step for step in range(1, motion.steps + 1) if is_frame(motion, step)] == [5, 8, 11, 14]
    assert [seconds_at(motion, step) for step in (0, 5, 8, 14)] == [0, 0, 0.5, 1.5]


def test_words_hold_from_their_time_to_the_next():
    prompts = parse_prompts("oil:0.5 | a seed @0 | a tree @4 | a forest:2 @8.5", timed=True)
    assert [(prompt.content, prompt.since) for prompt in prompts][1:] == [
        ("a seed", 0),
        ("a tree", 4),
        ("a forest", 8.5),
    ]
    for seconds, words in ((0, "a seed"), (3.9, "a seed"), (4, "a tree"), (20, "a forest")):
        assert [prompt.content for prompt in active(prompts, seconds)] == ["oil", words]


def picture():
    coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, (40, 64), mode="bicubic", align_corners=True).clamp(0, 1)


def test_pictures_move_as_the_numbers_say():
    assert torch.allclose(moved(picture(), STILL), picture(), atol=1e-4)
    right = moved(picture(), STILL.model_copy(update={"right": 0.25}))
    assert torch.allclose(right[..., 8:], picture()[..., :-8], atol=1e-2)
    down = moved(picture(), STILL.model_copy(update={"down": 0.5}))
    assert torch.allclose(down[..., 10:, :], picture()[..., :-10, :], atol=1e-2)
    turned = moved(picture(), Motion(zoom=1.0, turn=180, fps=2))
    middle = (..., slice(12, 28), slice(24, 40))
    assert torch.allclose(turned[middle], picture()[middle].rot90(-1, (2, 3)), atol=2e-2), "clockwise"
    larger = moved(picture(), Motion(zoom=4.0, fps=2))
    assert torch.allclose(
        F.interpolate(picture()[..., 10:30, 16:48], (40, 64), mode="bicubic").clamp(0, 1)[middle],
        larger[middle],
        atol=3e-2,
    )


def film(**changes):
    motion = Motion(seconds=1, fps=3, begin=2, each=2, zoom=1.5)
    fields = {"prompts": (Prompt(content="a seed", since=0), Prompt(content="a tree", since=0.5)), "motion": motion}
    return PaintingSpec.checked(
        **{**fields, "width": 32, "height": 32, "steps": 6, "cutouts": Cutouts(count=2)} | changes
    )


def test_a_film_interrupted_at_any_step_goes_on_to_the_same_pictures(tmp_path, tiny_models, cpu):
    store = ModelStore(tmp_path, cpu, embedded=tiny_models)
    whole = Painting(film(), store)
    pictures = [iterate.picture().tobytes() for iterate in whole]
    assert len(set(pictures)) > 3
    for stop in (2, 3, 4):
        first = Painting(film(), store)
        for _ in range(stop):
            next(first)
        second = Painting(film(), store).load_state_dict(first.state_dict())
        assert [iterate.picture().tobytes() for iterate in second] == pictures[stop:]


def test_what_cannot_be_a_film_is_said():
    for changes, sentence in (
        ({"steps": 7}, "takes 6 steps, not 7"),
        ({"motion": None}, "are for animations"),
        ({"count": 2}, "one painting from words"),
        ({"prompts": (Prompt(content="a seed", since=1),)}, "begin @0"),
    ):
        with pytest.raises(BadSpecError, match=sentence):
            film(**changes)


def test_what_moves_stays_in_range():
    checks = torch.arange(40)[:, None].add(torch.arange(64)).remainder(2).float().expand(2, 3, 40, 64)
    turned = moved(checks, Motion(zoom=1.2, turn=40, fps=2))
    assert 0 <= turned.min() < turned.max() <= 1, "bicubic alone would go beyond"
