"""Where a painting starts: what its prior is given."""

import pytest

from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import parse_prompts


@pytest.fixture(scope="module")
def start_of(shipped_models):
    def paint(text):
        return Painting(spec_from_preset(parse_prompts(text), "draft", candidates=1, seed=2), shipped_models).picture()

    return paint


def test_the_start_shows_what_is_wanted_and_not_what_is_unwanted(start_of):
    wanted = start_of("a red apple").tobytes()
    assert start_of("a red apple --no a blue car").tobytes() == wanted
    assert start_of("a red apple, a blue car").tobytes() != wanted
