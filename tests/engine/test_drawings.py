"""Ways of drawing: what each does to a red disc on white."""

import pytest
import torch
from torch.nn import functional as F

from engine.drawings import DRAWINGS, _blur, _grain, _slopes, draw_as


@pytest.fixture
def disc() -> torch.Tensor:
    away = (torch.arange(64) - 31.5).square()
    inside = (away[:, None] + away[None, :] < 20**2).float()
    return 1 - inside * (1 - torch.tensor([0.8, 0.1, 0.1]).view(1, 3, 1, 1))


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_a_picture_and_the_same_each_time(disc: torch.Tensor, name: str) -> None:
    drawn = draw_as(name, disc)
    assert drawn.shape == disc.shape
    assert 0 <= float(drawn.min()) < float(drawn.max()) <= 1
    assert torch.equal(drawn, draw_as(name, disc))
    assert not torch.equal(drawn, disc)


@pytest.mark.parametrize("name", ["sketch", "outline"])
def test_lines_are_dark_where_colours_change_and_have_no_colour(disc: torch.Tensor, name: str) -> None:
    drawn = draw_as(name, disc)[0]
    assert float((drawn.amax(0) - drawn.amin(0)).max()) < 0.1
    assert float(drawn[:, 32, 11:14].min()) < 0.4
    assert float(drawn[:, 32, 32].min()) > 0.6


def test_pixel_art_has_large_pixels(disc: torch.Tensor) -> None:
    drawn = draw_as("pixel art", disc)
    blocks = drawn.unfold(2, 4, 4).unfold(3, 4, 4)
    assert torch.equal(blocks.amax((-1, -2)), blocks.amin((-1, -2)))


def test_night_is_dark_and_blue(disc: torch.Tensor) -> None:
    red, green, blue = draw_as("night", disc).mean((0, 2, 3)).tolist()
    assert blue > green > red
    assert red < 0.5


def test_blur_and_slopes_are_what_their_formulas_say() -> None:
    """By hand: a Gaussian of standard deviation 2.5 % of the side over reflected borders; central differences."""
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x = torch.arange(-4, 5)
    kernel = torch.exp(-0.5 * (x / 1.6).square())
    weights = (kernel[:, None] * kernel / kernel.sum() ** 2).expand(3, 1, 9, 9)
    blurred = F.conv2d(F.pad(pictures, (4, 4, 4, 4), mode="reflect"), weights, groups=3)
    torch.testing.assert_close(_blur(pictures, 2.5), blurred)
    padded = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    steepest = (across.square() + down.square()).sqrt().amax(1, keepdim=True)
    torch.testing.assert_close(_slopes(pictures), steepest)


def test_the_grain_is_the_same_in_every_process_and_leaves_the_global_seed_alone() -> None:
    grains = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        _grain.cache_clear()
        grains.append(_grain(64))
        assert torch.initial_seed() == seed
    assert torch.equal(*grains)
    assert grains[0].shape == (1, 1, 64, 64)
    assert (float(grains[0].mean()), float(grains[0].std())) == pytest.approx((0, 1), abs=0.05)


DRAWN = {
    "pixel art": (62.5, 12.5, 12.5, 56.2, 37.5, 37.5, 80.5, 80.5, 80.5, 75.7, 59.2, 59.2, 14.7, 32.9, 32.9),
    "sketch": (85.3, 84.4, 81.9, 57.3, 56.7, 55.0, 92.4, 91.5, 88.7, 86.0, 85.2, 82.6, 17.4, 17.3, 16.7),
    "outline": (99.0, 99.0, 99.0, 51.3, 51.3, 51.3, 99.0, 99.0, 99.0, 92.7, 92.7, 92.7, 22.7, 22.7, 22.7),
    "watercolour": (76.9, 31.8, 31.8, 58.0, 36.9, 36.9, 84.3, 84.3, 84.3, 79.8, 65.3, 65.3, 11.1, 27.2, 27.2),
    "night": (20.5, 9.8, 20.4, 23.3, 22.0, 39.9, 34.6, 42.0, 72.0, 30.2, 32.1, 56.1, 8.1, 15.9, 25.5),
}  # fmt: skip
"""Of each channel: in the disc, on its edge, outside it, its mean and its deviation, in hundredths."""


@pytest.mark.parametrize("name", DRAWN)
def test_drawings_are_those_that_the_pair_learned_from(disc: torch.Tensor, name: str) -> None:
    """The networks know these as they were when they were trained: a stronger line is another style to them."""
    shades = disc * torch.linspace(0.6, 1, 64)
    drawn = draw_as(name, shades)[0]
    parts = (drawn[:, 28:36, 28:36], drawn[:, 28:36, 10:14], drawn[:, :6], drawn)
    seen = [float(value) for part in parts for value in 100 * part.mean((1, 2))]
    seen += [float(value) for value in 100 * drawn.std((1, 2))]
    assert seen == pytest.approx(DRAWN[name], abs=0.3), [round(value, 1) for value in seen]
