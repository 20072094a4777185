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
