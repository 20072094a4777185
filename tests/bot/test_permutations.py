"""Choices between braces."""

import pytest

from bot.permutations import MOST, permutations
from bot.refusals import Refusal


@pytest.mark.parametrize(
    ("prompt", "made"),
    [
        ("a cat", ("a cat",)),
        ("a {cat}", ("a {cat}",)),
        ("a {red, green} cat", ("a red cat", "a green cat")),
        ("a {red,green} {cat, dog}", ("a red cat", "a red dog", "a green cat", "a green dog")),
        ("a cat {, at night} --ar {1:1, 3:2}", (
            "a cat --ar 1:1", "a cat --ar 3:2", "a cat at night --ar 1:1", "a cat at night --ar 3:2"
        )),
        ("a {red, red} cat", ("a red cat",)),
        ("a {red cat", ("a {red cat",)),
    ],
)  # fmt: skip
def test_every_choice_is_made(prompt, made):
    assert permutations(prompt) == made


def test_too_many_are_refused():
    with pytest.raises(Refusal, match=f"makes 27 paintings; at most {MOST}"):
        permutations("{a, b, c} {d, e, f} {g, h, i}")
