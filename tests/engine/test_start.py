"""Where a painting starts: what its prior is given."""

from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from engine.drawings import draw_as
from engine.masks import place
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.priors import Proposals
from engine.prompts import Prompt, parse_prompts
from engine.spec import Cutouts, Motion, PaintingSpec
from engine.start import (
    best_of,
    first_latent,
    fit,
    from_latent_file,
    from_proposals,
    put_inside,
    random_codes,
    random_gradient,
    random_pixels,
    replace_cells,
)
from engine.tensors import tensor_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def start_of(shipped_models):
    def paint(text):
        return Painting(spec_from_preset(parse_prompts(text), "draft", candidates=1, seed=2), shipped_models).picture()

    return paint


def test_the_start_shows_what_is_wanted_and_not_what_is_unwanted(start_of):
    wanted = start_of("a red apple").tobytes()
    assert start_of("a red apple --no a blue car").tobytes() == wanted
    assert start_of("a red apple, a blue car").tobytes() != wanted


@pytest.mark.parametrize(
    ("text", "proposed"),
    [
        ("an apple in the rain", "an apple"),
        ("an apple in the fog", "an apple"),
        ("an apple at sunset", "an apple"),
        ("an apple at night", "an apple at night"),
        ("an apple in the snow", "an apple in the snow"),
        ("rain", "rain"),
    ],
)
def test_the_prior_is_asked_for_the_thing_without_the_weather_that_it_does_not_paint(
    start_of, shipped_models, monkeypatch, text, proposed
):
    prior, asked = shipped_models.prior("embedded"), []
    propose = prior.propose
    monkeypatch.setattr(prior, "propose", lambda text, *rest: (asked.append(text), propose(text, *rest))[1])
    start_of(text)
    assert asked == [proposed]


def test_weather_is_put_into_what_the_prior_proposes(start_of):
    plain, rain, fog = (
        tensor_of(start_of(f"a red apple on a white background{weather}"), CPU)
        for weather in ("", " in the rain", " in the fog")
    )
    ground = (..., slice(0, 16), slice(0, 128))  # above the apple
    assert rain[ground].mean() < plain[ground].mean() - 0.25, "dim"
    assert fog.std() < 0.75 * plain.std(), "pale"
    middle = (..., slice(48, 96), slice(48, 96))
    assert rain[middle][0, 0].mean() > rain[middle][0, 2].mean(), "the apple is still red"


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


class Cells(Pixels):
    """A generator of cells of one colour, two pixels wide and high."""

    factor = 2
    codebook = torch.arange(15.0).view(5, 3) / 15

    def decode(self, z):
        return z.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def encode(self, pictures):
        return F.avg_pool2d(pictures, 2)


CELLS: Any = Cells()


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def darkness(pictures):
    return pictures.mean((1, 2, 3))


def test_random_codes_are_of_the_whole_codebook():
    z = random_codes(CELLS, (20, 30), rngs(1, 2))
    assert z.shape == (2, 3, 20, 30)
    for one in z:
        assert torch.equal(one.flatten(1).T.unique(dim=0), CELLS.codebook)
    assert not torch.equal(z[0], z[1])
    assert torch.equal(random_codes(CELLS, (20, 30), rngs(2)), z[1:])


def test_random_pixels_fill_the_picture_evenly():
    pixels = random_pixels(PIXELS, (40, 60), rngs(1, 2))
    assert pixels.shape == (2, 3, 40, 60)
    shares = pixels.flatten(1).histc(10, 0, 1) / pixels.numel()
    assert shares.tolist() == pytest.approx([0.1] * 10, abs=0.01)
    assert (pixels[..., 1:] - pixels[..., :-1]).abs().mean() == pytest.approx(1 / 3, abs=0.02), "none like the next"
    assert torch.equal(random_pixels(CELLS, (20, 30), rngs(1, 2)), F.avg_pool2d(pixels, 2))


def test_a_random_gradient_goes_evenly_from_corner_to_corner():
    (picture,) = random_gradient(PIXELS, (9, 13), rngs(4))
    corners = torch.rand(1, 3, 2, 2, generator=rngs(4)[0])[0]
    torch.testing.assert_close(picture[:, ::8, ::12], corners)
    for axis in (1, 2):
        assert picture.diff(n=2, dim=axis).abs().max() < 1e-5
    assert torch.equal(
        random_gradient(CELLS, (9, 13), rngs(4, 5))[0], F.avg_pool2d(random_gradient(PIXELS, (18, 26), rngs(4)), 2)[0]
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_gradients_and_codes_in_turn_the_best_is_kept_for_each_picture(count):
    drawn = rngs(1, 2, 3)
    ways = (random_gradient, random_codes)
    tried = torch.stack([ways[i % 2](CELLS, (4, 6), drawn) for i in range(count)])
    best = torch.stack([darkness(one).argmin() for one in tried.transpose(0, 1)])
    z = best_of(count, CELLS, (4, 6), rngs(1, 2, 3), darkness)
    assert torch.equal(z, tried[best, torch.arange(3)])
    assert count < 3 or len(best.unique()) > 1


def proposals(*shades, way=""):
    """Of one picture, each candidate of one shade of the codebook."""
    return Proposals(torch.stack([torch.full((4, 6), shade) for shade in shades]), way)


def test_the_best_of_what_is_proposed_is_kept_for_each_picture():
    shades = (proposals(3, 1, 2), proposals(4, 3, 2))
    z = from_proposals(shades, CELLS, (4, 6), darkness)
    assert torch.equal(z, CELLS.codebook[[1, 2], :, None, None].expand(2, 3, 4, 6))
    larger = from_proposals(shades, CELLS, (8, 10), darkness)
    torch.testing.assert_close(larger, z[..., :1, :1].expand(2, 3, 8, 10))


def test_proposals_are_drawn_in_the_way_that_the_words_ask_for():
    z = from_proposals([proposals(3, 1, way="night")], CELLS, (4, 6), darkness)
    shade = CELLS.codebook[1].view(1, 3, 1, 1).expand(1, 3, 8, 12)
    torch.testing.assert_close(z, F.avg_pool2d(draw_as("night", shade), 2))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_variation_replaces_so_many_cells(share):
    z = torch.full((2, 3, 40, 60), -1.0)
    varied = replace_cells(z, share, CELLS, rngs(1, 2))
    fresh = (varied >= 0).all(1)
    assert fresh.float().mean((1, 2)).tolist() == pytest.approx([share] * 2, abs=0.03)
    assert torch.equal(fresh, (varied >= 0).any(1)), "whole cells"
    assert share in (0, 1) or not torch.equal(fresh[0], fresh[1])


def test_a_latent_is_brought_to_another_grid_as_a_picture(tmp_path):
    z = torch.zeros(1, 3, 4, 6)
    z[..., 3:] = 1
    assert torch.equal(fit(z, CELLS, (4, 6)), z)
    larger = fit(z, CELLS, (8, 12))
    assert larger.shape == (1, 3, 8, 12)
    assert (larger.min() >= 0) & (larger.max() <= 1)
    assert larger[..., :4].max() < 0.05
    assert larger[..., 8:].min() > 0.95
    save_file({"z": z}, tmp_path / "z.safetensors")
    assert torch.equal(from_latent_file(str(tmp_path / "z.safetensors"), CELLS, (8, 12)), larger)


@pytest.mark.parametrize(
    ("start", "way"), [("noise", random_codes), ("pixels", random_pixels), ("gradient", random_gradient)]
)
def test_a_start_is_drawn_as_it_is_called(start, way):
    spec = PaintingSpec.checked(prompts=(ALL,), start=start)
    z = first_latent(spec, CELLS, (4, 6), rngs(1, 2), darkness, None)
    assert torch.equal(z, way(CELLS, (4, 6), rngs(1, 2)))
