"""Weather and times of day: what a picture of a thing on a ground looks like in each."""

import pytest
import torch
from kornia.color import rgb_to_grayscale

from engine.weather import WEATHER, _flecks, put_weather

SIDE = 64
GROUND, THING = (0.5, 0.6, 0.4), (0.8, 0.3, 0.2)


@pytest.fixture
def figure():
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., 20:44, 20:44] = 1
    return mask


@pytest.fixture
def picture(figure):
    ground, thing = (torch.tensor(colour).view(1, 3, 1, 1) for colour in (GROUND, THING))
    return torch.lerp(ground.expand(1, 3, SIDE, SIDE), thing.expand(1, 3, SIDE, SIDE), figure)


def light(picture):
    return rgb_to_grayscale(picture)


def middle(part):
    """The colour of most of its pixels, whatever falls in front of some."""
    return part.flatten(2).median(2).values[0]


def thing(picture):
    return middle(picture[..., 21:43, 21:43])


def above(picture):
    return middle(picture[..., :12, :])


def below(picture):
    return middle(picture[..., -12:, :])


@pytest.mark.parametrize("name", WEATHER)
def test_all_weather_changes_the_picture_and_stays_in_range(name, picture, figure):
    for one in (picture, torch.zeros_like(picture), torch.ones_like(picture)):
        changed = put_weather(name, one, figure)
        assert changed.shape == one.shape
        assert 0 <= changed.min() <= changed.max() <= 1
    assert torch.equal(put_weather(name, picture, figure), put_weather(name, picture, figure)), "the same every time"
    assert (put_weather(name, picture, figure) - picture).abs().mean() > 0.05


@pytest.mark.parametrize("name", ["sunset", "fog", "snow"])
def test_the_thing_stays_what_it_is_more_than_its_ground_does(name, picture, figure):
    """Its colour is told from the ground's, and it stays redder than anything else, as it was."""
    changed = put_weather(name, picture, figure)
    moved = (changed - picture).abs().mean(1)[0]
    inside = figure[0, 0] > 0
    assert moved[inside].median() < moved[~inside].median()
    red, green, blue = thing(changed)
    assert red > 1.2 * green
    assert red > 1.2 * blue


def test_night_is_dark_and_blue(picture, figure):
    night = put_weather("night", picture, figure)
    assert light(night).mean() < 0.6 * light(picture).mean()
    red, _, blue = above(night)
    assert blue > red


def test_a_sunset_s_sky_goes_from_violet_to_orange(picture, figure):
    sunset = put_weather("sunset", picture, figure)
    high, low = above(sunset), below(sunset)
    assert high[2] > 1.2 * low[2], "violet has the blue"
    assert low[1] > high[1]
    assert low[0] > low[1] > low[2], "orange"
    shaded = picture * 0.5
    assert above(put_weather("sunset", shaded, figure)).mean() < 0.8 * high.mean(), "the ground's light and dark stay"


def test_fog_takes_the_colours_and_more_of_them_behind(picture, figure):
    def colourfulness(colour):
        return float(colour.max() - colour.min())

    fog = put_weather("fog", picture, figure)
    assert colourfulness(above(fog)) < 0.25 * colourfulness(torch.tensor(GROUND))
    assert 0.15 < colourfulness(thing(fog)) / colourfulness(torch.tensor(THING)) < 0.4
    assert above(fog).mean() == pytest.approx(0.76, abs=0.03), "pale"
    black = put_weather("fog", torch.zeros_like(picture), figure)
    assert above(black).mean() > above(picture).mean()


def test_rain_dims_and_falls_in_streaks(picture, figure):
    rain = put_weather("rain", picture, figure)
    assert 0.5 < light(rain).mean() / light(picture).mean() < 0.8
    assert above(rain)[2] > above(rain)[0], "bluish"
    streaks = light(rain)[0, 0] - light(rain)[0, 0].median() > 0.05
    streaks[20:44, 20:44] = False
    assert 0 < streaks.float().mean() < 0.2
    assert along(streaks, 0) > 3 * along(streaks, 1), "they are high and narrow"


def test_snow_lies_below_and_falls_everywhere(picture, figure):
    snow = put_weather("snow", picture, figure)
    assert below(snow).mean() > 0.85
    assert 0.5 < above(snow).mean() < 0.75
    assert thing(snow) == pytest.approx([0.85 * one + 0.12 for one in THING], abs=0.02), "none lies on the thing"
    flakes = (snow > 0.92).all(1)[0]
    for part in (flakes[:20], flakes[20:44, 20:44], flakes[44:]):
        assert 0.001 < part.float().mean() < 0.06


@pytest.mark.parametrize(("side", "fleck"), [(64, 1), (330, 3)])
def test_flakes_grow_with_the_picture(side, fleck):
    black = torch.zeros(1, 3, side, side)
    flakes = put_weather("snow", black, torch.ones(1, 1, side, side))[0, 0] > 0.5
    assert flakes.any()
    assert along(flakes, 0) >= fleck
    cells = flakes[: side // fleck * fleck, : side // fleck * fleck].view(side // fleck, fleck, side // fleck, fleck)
    assert torch.equal(cells.any(3).any(1), cells.all(3).all(1)), "whole flakes"


def along(mask, axis):
    """How many pixels stand together along an axis, on the mean."""
    mask = mask.movedim(axis, 0)
    begins = int(mask[0].sum() + (mask[1:] & ~mask[:-1]).sum())
    return int(mask.sum()) / max(1, begins)


BLACK, WHITE, RED = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "colour", "top", "bottom", "on_the_thing"),
    [
        ("sunset", BLACK, (0.17, 0.10, 0.14), (0.27, 0.16, 0.08), (0.08, 0.08, 0.08)),
        ("sunset", WHITE, (0.77, 0.50, 0.50), (1.00, 0.65, 0.37), (0.93, 0.69, 0.51)),
        ("sunset", RED, (0.63, 0.13, 0.18), (0.77, 0.22, 0.10), (0.93, 0.08, 0.08)),
        ("fog", BLACK, (0.60, 0.62, 0.63), (0.60, 0.62, 0.63), (0.35, 0.36, 0.37)),
        ("fog", WHITE, (0.88, 0.90, 0.91), (0.88, 0.90, 0.91), (0.93, 0.94, 0.95)),
        ("fog", RED, (0.79, 0.66, 0.68), (0.79, 0.66, 0.68), (0.73, 0.45, 0.46)),
        ("rain", BLACK, (0.17, 0.18, 0.21), (0.17, 0.18, 0.21), (0.06, 0.06, 0.06)),
        ("rain", WHITE, (0.54, 0.59, 0.66), (0.54, 0.59, 0.66), (0.68, 0.73, 0.81)),
        ("rain", RED, (0.42, 0.24, 0.27), (0.42, 0.24, 0.27), (0.48, 0.15, 0.16)),
        ("snow", BLACK, (0.32, 0.32, 0.32), (0.81, 0.83, 0.85), (0.12, 0.12, 0.12)),
        ("snow", WHITE, (0.92, 0.92, 0.92), (0.93, 0.95, 0.97), (0.97, 0.97, 0.97)),
        ("snow", RED, (0.67, 0.43, 0.43), (0.86, 0.86, 0.88), (0.97, 0.12, 0.12)),
    ],
)
def test_what_becomes_of_black_white_and_red(name, colour, top, bottom, on_the_thing, figure):
    """Of the ground at the very top and the very bottom, and of the thing."""
    changed = put_weather(name, torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE), figure)
    seen = middle(changed[..., :1, :]), middle(changed[..., -1:, :]), thing(changed)
    for one, expected in zip(seen, (top, bottom, on_the_thing), strict=True):
        assert one.tolist() == pytest.approx(expected, abs=0.008)


def test_a_sunset_changes_evenly_from_top_to_bottom(figure):
    sunset = put_weather("sunset", torch.zeros(1, 3, SIDE, SIDE), figure)
    high, halfway, low = (middle(sunset[..., rows, :16]) for rows in (slice(1), slice(31, 33), slice(63, 64)))
    torch.testing.assert_close(halfway, (high + low) / 2, atol=0.005, rtol=0)


def test_snow_lies_from_below_the_middle_on(figure):
    rows = put_weather("snow", torch.zeros(1, 3, SIDE, SIDE), 0 * figure)[0].mean(0).median(1).values
    share = (rows - rows[0]) / (rows[-1] - rows[0])
    first = [int((share > least).nonzero()[0]) / (SIDE - 1) for least in (0.1, 0.5, 0.9)]
    assert first == pytest.approx([0.27, 0.46, 0.64], abs=0.02)


@pytest.mark.parametrize(("height", "width", "size"), [(110, 200, 1), (560, 550, 5), (330, 352, 3)])
def test_flecks_and_streaks_are_as_many_and_as_long_as_asked(height, width, size):
    picture = torch.zeros(1, 3, height, width)
    flecks = _flecks(picture, 0.05, 0)
    assert flecks.shape == (1, 1, height, width)
    assert flecks.unique().tolist() == [0, 1]
    assert flecks.mean().item() == pytest.approx(0.05, abs=0.008)
    whole = flecks[0, 0, : height // size * size, : width // size * size]
    assert torch.equal(whole, whole[::size, ::size].repeat_interleave(size, 0).repeat_interleave(size, 1))
    fallen = torch.zeros(height + 8 * size, width)
    for row in range(8 * size + 1):  # four flecks beyond each end
        fallen[row : row + height] = torch.maximum(fallen[row : row + height], flecks[0, 0])
    assert torch.equal(_flecks(picture, 0.05, 4)[0, 0], fallen[4 * size : -4 * size])
