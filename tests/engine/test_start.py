"""Where a painting starts: what its prior is given."""

from typing import Any

import pytest
import torch

from engine.masks import place
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.priors import Proposals
from engine.prompts import Prompt, parse_prompts
from engine.spec import Cutouts, Motion, PaintingSpec
from engine.start import first_latent, put_inside


@pytest.fixture(scope="module")
def start_of(shipped_models):
    def paint(text):
        return Painting(spec_from_preset(parse_prompts(text), "draft", candidates=1, seed=2), shipped_models).picture()

    return paint


def test_the_start_shows_what_is_wanted_and_not_what_is_unwanted(start_of):
    wanted = start_of("a red apple").tobytes()
    assert start_of("a red apple --no a blue car").tobytes() == wanted
    assert start_of("a red apple, a blue car").tobytes() != wanted


class Pixels:
    """A generator whose latents are the pictures."""

    factor, channels = 1, 3

    def quantise(self, z):
        return z

    def decode(self, z):
        return z

    def encode(self, pictures):
        return pictures


@pytest.mark.parametrize(
    ("box", "shape", "placed"),
    [  # rows and columns of the region, of what is put into it, and where that lies then: as large as fits, centred
        ((4, 12, 8, 24), (32, 32), (4, 12, 12, 20)),
        ((4, 28, 8, 16), (32, 32), (12, 20, 8, 16)),
        ((0, 16, 0, 32), (16, 32), (0, 16, 0, 32)),
        ((10, 14, 3, 5), (32, 32), (11, 13, 3, 5)),
    ],
)
def test_what_is_for_inside_is_put_into_the_region(box, shape, placed):
    region = torch.zeros(1, 1, 32, 32)
    region[..., box[0] : box[1], box[2] : box[3]] = 1
    behind = torch.full((1, 3, 32, 32), 0.25)
    picture = put_inside(torch.ones(1, 3, *shape), behind, region, PIXELS)
    expected = behind.clone()
    expected[..., placed[0] : placed[1], placed[2] : placed[3]] = 1
    torch.testing.assert_close(picture, expected)
    assert torch.equal(put_inside(torch.ones(1, 3, *shape), behind, torch.zeros(1, 1, 32, 32), PIXELS), behind)


PIXELS: Any = Pixels()


class Asked:
    """A prior that notes what it is asked for."""

    def __init__(self):
        self.texts = []

    def propose(self, text, count, rng):
        self.texts.append((text, count))
        return Proposals(torch.zeros(count, 4, 6, dtype=torch.long), "")


IN, OUT, ALL = (Prompt(content=one, where=one) for one in ("inside", "outside", "everywhere"))
NOT = Prompt(content="unwanted", weight=-0.2)


@pytest.mark.parametrize(
    ("prompts", "region", "asked"),
    [
        ((ALL, NOT), False, ["everywhere"]),
        ((ALL, IN), True, ["inside", "everywhere"]),
        ((IN, NOT, OUT, ALL), True, ["inside", "outside, everywhere"]),
        ((IN,), True, ["inside", "inside"]),
        ((OUT, ALL), True, ["outside, everywhere"]),
    ],
)
def test_the_prior_is_asked_for_what_is_wanted_where(tiny_models, cpu, prompts, region, asked):
    vqgan = ModelStore(tiny_models, cpu, embedded=tiny_models).generator("embedded")
    spec = PaintingSpec.checked(
        prompts=prompts, start="prior", candidates=2, **({"mask_text": "left"} if region else {})
    )
    prior: Any = Asked()
    z = first_latent(
        spec, vqgan, (4, 6), [torch.Generator()], lambda pictures: torch.zeros(len(pictures)), prior,
        place("left", 16, 24) if region else None,
    )  # fmt: skip
    assert z.shape == (1, vqgan.channels, 4, 6)
    assert prior.texts == [(text, 2) for text in asked]


def test_a_story_begins_with_its_first_words(tiny_models, cpu, monkeypatch):
    store, prior = ModelStore(tiny_models, cpu, embedded=tiny_models), Asked()
    monkeypatch.setattr(store, "prior", lambda _: prior)
    motion = Motion(seconds=1, fps=3, begin=2, each=2)
    prompts = (Prompt(content="a seed", since=0), Prompt(content="a tree", since=0.5))
    small = {"width": 32, "height": 32, "steps": motion.steps, "cutouts": Cutouts(count=2)}
    _ = Painting(PaintingSpec.checked(prompts=prompts, motion=motion, start="prior", **small), store).z
    assert [text for text, _ in prior.texts] == ["a seed"]


def test_words_for_a_region_are_about_it_from_the_start(tiny_models, cpu, monkeypatch):
    store, prior = ModelStore(tiny_models, cpu, embedded=tiny_models), Asked()
    monkeypatch.setattr(store, "prior", lambda _: prior)
    small = {"width": 32, "height": 32, "steps": 2, "cutouts": Cutouts(count=2)}
    _ = Painting(PaintingSpec.checked(prompts=(IN, OUT), mask_text="left", start="prior", **small), store).z
    assert [text for text, _ in prior.texts] == ["inside", "outside"]
