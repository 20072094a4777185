from pathlib import Path

import pytest

from engine.models import EMBEDDED
from engine.vocabulary import Vocabulary, singulars

INSTEAD = "imagenet-16384 and ViT-B/32"


@pytest.fixture(scope="module")
def shipped() -> Vocabulary:
    return Vocabulary.load(EMBEDDED / "embedded-vocabulary.json")


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a red apple on a blue background", []),
        ("two foxes and three wolves in the snow", []),
        ("a cat's face, pixel art", []),
        ("A T-Shirt on white", []),
        ("an armchair made of oil", ["oil"]),
        ("a rocket, oil on canvas, oil", ["oil", "canvas"]),
        ("cyberpunk frog, neon", ["cyberpunk", "neon"]),
        ("🦊 and 🐸 on the grass", []),
        ("👍🏽 🇩🇪 fox", ["🇩", "🇪"]),
        ("a rooster, 3 eggs & 1 x", []),
    ],
)
def test_says_what_it_does_not_know(shipped: Vocabulary, text: str, unknown: list[str]) -> None:
    assert [word for word in shipped.unknown_words([text]) if word not in ("👍", "armchair")] == unknown


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a 🦊 on blue", "a fox on blue"),
        ("🧑‍🚀", "🧑‍🚀"),
        ("an elefant, please", "an elephant, please"),
        ("a pixelart rocket", "a pixel art rocket"),
        ("a lightbulb", "a light bulb"),
        ("a RED apple", "a RED apple"),
        ("a Woolf", "a Woolf"),
        ("frogs", "frogs"),
    ],
)
def test_reads_emoji_slips_and_compounds(text: str, read: str) -> None:
    words = Vocabulary(
        frozenset({"fox", "elephant", "pixel art", "rocket", "light bulb", "red", "apple", "wolf", "frog"}),
        frozenset({"a", "an", "please", "on"}),
        {"🦊": "fox"},
    )
    assert words.read(text) == read


def test_one_line_names_the_words_and_the_networks_that_know_them(shipped: Vocabulary) -> None:
    assert shipped.notice(["a fox", "neon, oil on canvas"], INSTEAD) == (
        "These networks do not know “neon”, “oil”, “canvas”; they paint the nearest that they know. "
        "fetch imagenet-16384 and ViT-B/32 for networks that do."
    )
    assert shipped.notice(["a fox in the snow"], INSTEAD) is None


@pytest.mark.parametrize("text", ["ein Haus am See", "红苹果", "кот на крыше", "qwrtz flmpf"])
def test_another_language_is_told_so(shipped: Vocabulary, text: str) -> None:
    assert not shipped.knows_any([text])
    assert "none of these words" in str(shipped.notice([text], INSTEAD))


def test_a_long_list_is_cut(shipped: Vocabulary) -> None:
    text = "fox " + " ".join(f"zz{letter}q" for letter in "abcdefghijkl")
    assert "and others;" in str(shipped.notice([text], INSTEAD))


def test_plurals() -> None:
    assert {"knife", "fly", "box", "mouse"} <= {
        form for word in ("knives", "flies", "boxes", "mice") for form in singulars(word)
    }


def test_nothing_in_the_file_is_both_known_and_silent(shipped: Vocabulary) -> None:
    assert not shipped.phrases & shipped.silent
    assert Path(EMBEDDED / "embedded-vocabulary.json").stat().st_size < 200_000
