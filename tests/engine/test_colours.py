"""Colours: hues turn with luma kept, and a tint takes the thing's shading along."""

import pytest
import torch
from kornia.color import rgb_to_grayscale

from engine.colours import COLOURS, tint, turn_hue


def flat(red, green, blue, side=8):
    return torch.tensor((red, green, blue)).view(1, 3, 1, 1).expand(1, 3, side, side).clone()


def test_a_whole_turn_of_the_hue_changes_nothing():
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(turn_hue(picture, 1.0), picture, atol=1e-5)


def test_a_third_of_a_turn_leads_to_another_colour_as_light_as_before():
    picture = flat(0.6, 0.3, 0.3)
    turned = turn_hue(picture, 1 / 3)
    assert not torch.allclose(turned, picture, atol=0.05)
    assert torch.allclose(rgb_to_grayscale(turned), rgb_to_grayscale(picture), atol=1e-3)


@pytest.mark.parametrize("name", ["red", "blue", "white", "black"])
def test_what_is_of_one_brightness_becomes_the_colour_itself(name):
    red, green, blue = (value / 255 for value in COLOURS[name])
    for picture in (flat(0.9, 0.2, 0.2), flat(0.96, 0.96, 0.96)):
        tinted = tint(picture, (red, green, blue), torch.ones(1, 1, 8, 8))
        assert torch.allclose(tinted, flat(red, green, blue), atol=0.02)


def test_dark_parts_stay_darker_and_light_ones_lighter():
    picture = flat(0.5, 0.5, 0.5)
    picture[..., 0, :] = 0.1
    picture[..., 1, :] = 0.9
    light = rgb_to_grayscale(tint(picture, (0.2, 0.4, 0.8), torch.ones(1, 1, 8, 8)))[0, 0, :, 0]
    assert light[0] < light[2] < light[1]


def test_hues_turn_from_red_by_way_of_magenta_to_blue():
    red, green, blue = turn_hue(flat(0.6, 0.3, 0.3), 1 / 3)[0, :, 0, 0]
    assert blue > max(red, green) + 0.05
    red, green, blue = turn_hue(flat(0.6, 0.3, 0.3), -1 / 3)[0, :, 0, 0]
    assert green > max(red, blue) + 0.05


@pytest.mark.parametrize(
    ("middle", "light", "becomes"),
    [
        (0.5, 0.25, (0.1, 0.2, 0.4)),  # half as light: half as much of the colour
        (0.5, 0.5, (0.2, 0.4, 0.8)),
        (0.5, 0.75, (0.44, 0.58, 0.86)),  # half way up: 0.3 of the way to white
        (0.5, 1.0, (0.68, 0.76, 0.92)),  # at the top: 0.6
        (0.97, 1.0, (0.296, 0.472, 0.824)),  # nothing is paler for a difference that small
    ],
)
def test_a_tint_follows_the_shading(middle, light, becomes):
    picture = flat(middle, middle, middle)
    picture[..., 0, 0] = light
    tinted = tint(picture, (0.2, 0.4, 0.8), torch.ones(1, 1, 8, 8))
    assert tinted[0, :, 0, 0].tolist() == pytest.approx(becomes, abs=2e-3)


@pytest.mark.parametrize("turns", [0.1, 0.25, 0.4, -0.2])
def test_turns_of_the_hue_add_up(turns):
    picture = 0.4 + 0.2 * torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(turn_hue(turn_hue(picture, turns), -turns), picture, atol=1e-5)
    assert torch.allclose(turn_hue(turn_hue(picture, turns), turns), turn_hue(picture, 2 * turns), atol=1e-5)


def test_a_turned_hue_stays_in_range():
    vivid = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]).T.reshape(1, 3, 2, 2)
    for turn in range(12):
        turned = turn_hue(vivid, turn / 12)
        assert 0 <= turned.min() < turned.max() <= 1


def test_a_tint_never_leaves_the_range():
    dark = flat(0.0, 0.0, 0.0)
    dark[..., 0, :] = 1.0
    for colour in ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.5)):
        tinted = tint(dark, colour, torch.ones(1, 1, 8, 8))
        assert 0 <= tinted.min() <= tinted.max() <= 1


def test_only_what_the_mask_shows_says_what_is_middling():
    picture, mask = flat(0.2, 0.2, 0.2), torch.zeros(1, 1, 8, 8)
    picture[..., :2], mask[..., :2] = 0.6, 1
    assert tint(picture, (0.2, 0.4, 0.8), mask)[0, :, 0, 0].tolist() == pytest.approx([0.2, 0.4, 0.8], abs=1e-3)
    everywhere = tint(picture, (0.2, 0.4, 0.8), torch.zeros(1, 1, 8, 8))
    assert everywhere[0, :, 0, 7].tolist() == pytest.approx([0.2, 0.4, 0.8], abs=1e-3), "an empty mask: all of it"
