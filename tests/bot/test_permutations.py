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
        ("a  {cat}", ("a  {cat}",)),  # no choice: it stays as it is
        ("a  {red,  green}\tcat ", ("a red cat", "a green cat")),
        ("{a, b, a}", ("a", "b")),
    ],
)  # fmt: skip
def test_every_choice_is_made(prompt, made):
    assert permutations(prompt) == made


def test_too_many_are_refused():
    with pytest.raises(Refusal, match=f"makes 27 paintings; at most {MOST}"):
        permutations("{a, b, c} {d, e, f} {g, h, i}")


@pytest.mark.parametrize(("last", "made"), [("{a, b}", 24), ("{a, b, c}", None)])
def test_as_many_as_is_said_are_made(last, made):
    prompt = f"{{a, b, c}} {{a, b}} {{a, b}} {last}"
    if made is None:
        with pytest.raises(Refusal, match="makes 36 paintings"):
            permutations(prompt)
    else:
        assert len(permutations(prompt)) == made
