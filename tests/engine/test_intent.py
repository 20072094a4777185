"""What a sentence asks of a picture: its thing, colours, ground, weather and way of drawing."""

import pytest
import torch

from engine.colours import COLOURS
from engine.intent import COLOUR_WORDS, Intent, _known, _shortest, _sure, noun_of, read_intent, split_weather
from engine.weather import WEATHER

NAMES = list(COLOURS)


@pytest.fixture(scope="module")
def prior(shipped_models):
    return shipped_models.prior("embedded")


@pytest.mark.parametrize(
    ("text", "tint", "ground", "weather", "place", "way"),
    [
        ("a dog", None, None, "", "", ""),
        ("an apple", None, None, "", "", ""),
        ("a blue apple", "blue", None, "", "", ""),
        ("a green apple", "green", None, "", "", ""),
        ("a golden apple", "yellow", None, "", "", ""),
        ("A Blue Apple", "blue", None, "", "", ""),
        ("golden", "yellow", None, "", "", ""),
        ("a red sky", None, "red", "", "sky", ""),
        ("a dog on green grass", None, "green", "", "grass", ""),
        ("an apple on a silver wall", None, "grey", "", "", ""),
        ("a navy dog on green grass", "dark blue", "green", "", "grass", ""),
        ("a blue apple on a yellow background", "blue", "yellow", "", "", ""),
        ("a scarlet house on a lime field", "red", "light green", "", "field", ""),
        ("a house at dusk", None, None, "sunset", "", ""),
        ("a dog in the snow", None, None, "snow", "", ""),
        ("foggy", None, None, "fog", "", ""),
        ("a dog on a red background in the rain", None, "red", "rain", "", ""),
        ("pixel art of a dog", None, None, "", "", "pixel art"),
        ("a sketch of a dog", None, None, "", "", "sketch"),
        ("a watercolour of a red apple", None, None, "", "", "watercolour"),
    ],
)
def test_sentences_are_understood(prior, text, tint, ground, weather, place, way):
    intent = read_intent(prior, text)
    assert (intent.tint, intent.ground_colour, intent.weather, intent.place, intent.way) == (
        tint,
        ground,
        weather,
        place,
        way,
    )


@pytest.mark.parametrize(
    ("weather", "words"),
    [
        ("night", ("at night", "by moonlight", "under the stars", "in the dark")),
        ("sunset", ("at sunrise", "in the evening", "at the golden hour")),
        ("fog", ("in the mist", "in haze")),
        ("rain", ("in a storm", "in the thunderstorm")),
        ("snow", ("in winter", "in a blizzard")),
    ],
)
def test_weather_has_many_words_and_none_of_them_is_a_thing(prior, weather, words):
    assert weather in WEATHER
    dog = read_intent(prior, "a dog").thing
    for said in words:
        intent = read_intent(prior, f"a dog {said}")
        assert (intent.weather, intent.thing) == (weather, dog), said


@pytest.mark.parametrize(
    ("text", "weather", "rest"),
    [
        ("a castle in the rain", "rain", "a castle"),
        ("a castle in a heavy storm", "rain", "a castle"),
        ("In a Storm, a castle", "rain", "a castle"),
        ("a castle in the rain on a hill", "rain", "a castle on a hill"),
        ("a lighthouse on a cliff, stormy sea", "rain", "a lighthouse on a cliff, sea"),
        ("a red fox, sunset", "sunset", "a red fox"),
        ("a red fox, sunset, oil on canvas", "sunset", "a red fox, oil on canvas"),
        ("a cabin on a snowy evening", "sunset", "a cabin"),
        ("a foggy forest", "fog", "a forest"),
        ("sunset over mountains", "", "sunset over mountains"),
        ("a storm cloud", "", "a storm cloud"),
        ("a dog in rain boots", "", "a dog in rain boots"),
        ("a woman in a red evening dress", "", "a woman in a red evening dress"),
        ("a rainbow over a raincoat", "", "a rainbow over a raincoat"),
        ("sunset over a foggy forest", "fog", "sunset over a forest"),
        ("an evening dress in the rain", "rain", "an evening dress"),
        ("a storm cloud at sunset", "sunset", "a storm cloud"),
        ("the rain", "", "the rain"),
        ("in the storm", "", "in the storm"),
    ],
)
def test_weather_that_is_said_of_a_thing_is_taken_out_of_its_sentence(text, weather, rest):
    assert split_weather(text, ("sunset", "fog", "rain")) == (weather, rest)


def test_a_night_is_not_drawn_in_another_way(prior):
    assert read_intent(prior, "a sketch of a dog at night").way == ""


@pytest.mark.parametrize(("word", "colour"), [(word, name) for word, name in COLOUR_WORDS.items() if word != name])
def test_every_word_for_a_colour_is_read_as_it(prior, word, colour):
    assert read_intent(prior, f"a dog in front of a {word} wall").ground_colour == colour


def test_a_thing_is_the_same_whatever_is_said_beside_it(prior):
    dog = read_intent(prior, "a dog").thing
    assert dog is not None
    for text in ("a dog on green grass", "a pink dog", "a dog in the fog"):
        assert read_intent(prior, text).thing == dog, text


@pytest.mark.parametrize("text", ["red", "the background", "qwertz zyzzyva", "a blue sky", "in the rain"])
def test_where_no_thing_is_named_none_is_read(prior, text):
    assert read_intent(prior, text).thing is None


def test_a_red_and_a_green_apple_are_one_thing(prior):
    red, green = (read_intent(prior, f"a {colour} apple") for colour in ("red", "green"))
    assert red.thing is not None
    assert green.without(red).thing is None
    assert green.without(red).tint == "green"


WHOLE = Intent(thing=3, tint="red", ground=2, way="sketch", place="sky", weather="fog")
NOTHING = Intent()


@pytest.mark.parametrize(
    ("other", "left"),
    [
        (NOTHING, WHOLE),
        (WHOLE, NOTHING),
        (Intent(thing=3), Intent(tint="red", ground=2, way="sketch", place="sky", weather="fog")),
        (Intent(tint="red"), Intent(thing=3, ground=2, way="sketch", place="sky", weather="fog")),
        (Intent(ground=2), Intent(thing=3, tint="red", way="sketch", weather="fog")),
        (Intent(way="sketch"), Intent(thing=3, tint="red", ground=2, place="sky", weather="fog")),
        (Intent(weather="fog"), Intent(thing=3, tint="red", ground=2, way="sketch", place="sky")),
        (Intent(thing=4, tint="blue", ground=1, way="outline", place="sky", weather="rain"), WHOLE),
    ],
)
def test_what_differs_is_what_is_left(other, left):
    assert WHOLE.without(other) == left
    assert NOTHING.without(other) == NOTHING


@pytest.mark.parametrize(
    ("ground", "colour"), [(None, None), (0, NAMES[0]), (len(NAMES) - 1, NAMES[-1]), (len(NAMES), None), (40, None)]
)
def test_the_first_grounds_are_the_plain_colours(ground, colour):
    assert Intent(ground=ground).ground_colour == colour


@pytest.mark.parametrize(
    ("text", "noun"),
    [
        ("a red apple", "an apple"),
        ("a big dog in the snow", "a dog"),
        ("the blue bicycle on a wall", "a bicycle"),
        ("a large hammer and pick on a wall", "a hammer and pick"),
    ],
)
def test_the_words_for_a_thing_are_found_in_its_sentence(prior, text, noun):
    thing = read_intent(prior, text).thing
    assert thing is not None
    assert noun_of(prior, text, thing) == noun


def test_of_words_that_name_a_thing_about_as_well_the_shortest_are_taken():
    scored = [(0.9, -9, "big dog"), (0.8, -3, "dog"), (0.72, -1, "d"), (0.2, -1, "a")]
    assert _shortest(scored, 0.9) == "dog"
    assert _shortest(scored[:1], 0.9) == "big dog"


@pytest.mark.parametrize(("share", "read"), [(0.76, 1), (0.74, None), (0.2, None)])
def test_only_a_reading_that_is_likely_counts(share, read):
    rest = (1 - share) / 3
    assert _sure(torch.tensor([rest, share, rest, rest]).log()) == read


@pytest.mark.parametrize(
    ("index", "count", "known"), [(None, 5, None), (0, 5, 0), (4, 5, 4), (5, 5, None), (6, 5, None)]
)
def test_beyond_the_known_nothing_is_known(index, count, known):
    assert _known(index, count) == known
