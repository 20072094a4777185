from pathlib import Path

import pytest
import torch

from engine.devices import pick_device
from engine.models import EMBEDDED, ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt, parse_prompts
from engine.vocabulary import Vocabulary, plain_words, shipped_vocabulary, singulars, unknown_words_notice


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
    assert shipped.notice(["a fox", "neon, oil on canvas"]) == (
        "These networks do not know “neon”, “oil”, “canvas”; they paint the nearest that they know. "
        "fetch imagenet-16384 and ViT-B/32 for networks that do."
    )
    assert shipped.notice(["a fox in the snow"]) is None


@pytest.mark.parametrize("text", ["ein Haus am See", "红苹果", "кот на крыше", "qwrtz flmpf"])
def test_another_language_gets_a_notice(shipped: Vocabulary, text: str) -> None:
    assert not shipped.knows_any([text])
    assert "none of these words" in str(shipped.notice([text]))


def test_a_long_list_is_cut(shipped: Vocabulary) -> None:
    text = "fox " + " ".join(f"zz{letter}q" for letter in "abcdefghijkl")
    assert "and others;" in str(shipped.notice([text]))


def test_plurals() -> None:
    assert {"knife", "fly", "box", "mouse"} <= {
        form for word in ("knives", "flies", "boxes", "mice") for form in singulars(word)
    }


def test_nothing_in_the_file_is_both_known_and_silent(shipped: Vocabulary) -> None:
    assert not shipped.phrases & shipped.silent
    assert Path(EMBEDDED / "embedded-vocabulary.json").stat().st_size < 200_000


def test_a_painting_says_it_and_reads_emoji() -> None:
    models = ModelStore(EMBEDDED, pick_device("cpu"), EMBEDDED)
    spec = spec_from_preset(parse_prompts("a 🦊 in neon, oil on canvas"), "draft", steps=1, start="noise", seed=1)
    painting = Painting(spec, models)
    assert painting.notices[0].startswith("These networks do not know “neon”, “oil”, “canvas”; ")
    painting.steer(parse_prompts("a fox on a blue background"))
    assert painting.notices == []
    perceptor, prior = models.perceptor("embedded"), models.prior("embedded")
    torch.testing.assert_close(perceptor.encode_text(["a 🦊"]), perceptor.encode_text(["a fox"]))
    assert prior is not None
    assert prior.tokenise("two 🦊") == prior.tokenise("two fox")


def test_published_perceptors_are_not_asked(shipped: Vocabulary) -> None:
    spec = spec_from_preset(parse_prompts("a fox in neon"), "draft")
    assert unknown_words_notice(spec, shipped)
    other = spec.but(perceptors=(spec.perceptors[0].model_copy(update={"name": "ViT-B/32"}),))
    assert unknown_words_notice(other, shipped) is None
    assert unknown_words_notice(spec, None) is None


@pytest.fixture
def few() -> Vocabulary:
    return Vocabulary(
        frozenset(
            {"fox", "cat", "sun", "flower", "light bulb", "bulb", "pixel art", "big red pixel art", "red", "elephant"}
        ),
        frozenset({"a", "the", "please"}),
        {"🐈": "cat", "🐈\u200d⬛": "black cat", "🧑\u200d🍳": "cook", "👍": "thumb"},
    )


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("🐈 and 🐈\u200d⬛", "cat and black cat"),
        ("one🐈two", "one cat two"),
        ("👩\u200d🍳👨🏽\u200d🍳", "cook cook"),
        ("👍🏿", "thumb"),
        ("an elefant", "an elephant"),
        ("an eleffant, elephan", "an eleffant, elephant"),
        ("an ellefannt", "an ellefannt"),  # 0.74 alike
        ("a flwer, a flowerr", "a flower, a flower"),
        ("a slower flower", "a slower flower"),
        ("a catt, a cta", "a cat, a cta"),  # three letters are too few to be sure
        ("a sunflower, a catflower", "a sunflower, a cat flower"),  # the first is a word of its own
        ("foxbulbs redcat", "fox bulbs red cat"),
        ("LIGHTBULB", "light bulb"),
        ("pixelart", "pixel art"),
        ("Éléphant", "Éléphant"),
        ("un éléfant", "un elephant"),
        ("12345678", "12345678"),
    ],
)
def test_what_is_plainly_meant_is_read(few: Vocabulary, text: str, read: str) -> None:
    assert few.read(text) == read


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a fox", []),
        ("a fox's cats", []),
        ("please, 3 cats and 12 x", ["and"]),
        ("pixel art of a pixel", ["of", "pixel"]),  # the word alone is no phrase
        ("the big red pixel art, big red", ["big"]),
        ("light bulbs light", ["light"]),
        ("ж и fox", ["ж", "и"]),
        ("☃ fox ☃", ["☃"]),
        ("🐈 👍", ["thumb"]),
        ("neon NEON neon", ["neon", "NEON"]),
    ],
)
def test_words_that_are_part_of_nothing_known_are_missed(few: Vocabulary, text: str, unknown: list[str]) -> None:
    assert few.unknown_words([text]) == unknown


@pytest.mark.parametrize(("count", "others"), [(8, False), (9, True)])
def test_eight_words_are_named_at_most(few: Vocabulary, count: int, others: bool) -> None:
    words = [f"qq{letter}x" for letter in "abcdefghijk"[:count]]
    said = str(few.notice(["a fox", *words]))
    assert all(f"“{word}”" in said for word in words[:8])
    assert "“qqix”" not in said
    assert ("and others;" in said) is others


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("fox", ["fox"]),
        ("foxes", ["foxes", "fox", "foxe"]),
        ("flies", ["flies", "fly", "fli", "flie"]),
        ("wolves", ["wolves", "wolf", "wolfe", "wolv", "wolve"]),
        ("mice", ["mice", "mouse"]),
        ("dogs", ["dogs", "dog"]),
        ("as", ["as"]),
        ("gas", ["gas", "ga"]),
        ("yes", ["yes", "ye"]),
    ],
)
def test_what_a_word_may_be_the_plural_of(word: str, forms: list[str]) -> None:
    assert list(singulars(word)) == forms


def test_all_words_of_a_painting_are_looked_at_but_those_that_are_no_text(few: Vocabulary) -> None:
    prompts = (*parse_prompts("a fox"), Prompt(kind="image", content="zebra.png"))
    spec = spec_from_preset(prompts, "draft")
    assert unknown_words_notice(spec, few) is None
    edited = spec.but(init_image="a.png", edit_from="a zebra", mask_text="a giraffe")
    assert "know “zebra”, “giraffe”;" in str(unknown_words_notice(edited, few))


def test_words_are_compared_without_accents_case_and_possessive() -> None:
    assert plain_words("The Café's DOGS’ rock’n’roll, ﬁn_de") == ["the", "cafe", "dogs", "rock'n'roll", "fin", "de"]


def test_a_vocabulary_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text('{"phrases": ["pixel art"], "silent": ["a"], "emoji": {"🐈": "cat"}}')
    read = Vocabulary.load(path)
    assert (read.phrases, read.silent, read.emoji) == ({"pixel art"}, {"a"}, {"🐈": "cat"})
    assert shipped_vocabulary(path) == read
    assert shipped_vocabulary(path) is shipped_vocabulary(path)
    nothing = Vocabulary(frozenset(), frozenset(), {})
    assert nothing.read("🐈 fox") == "🐈 fox"
    assert nothing.unknown_words(["fox"]) == ["fox"]
