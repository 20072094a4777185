"""Blocked words however they are spelt, and nothing else, in time that grows with the text and no faster."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.queue import blocked_words
from bot.queue.blocked_words import blocked_word, plain_text

WORDS = frozenset({"pickle", "bad cat", "ass", "résumé", "1488", "C++"})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a PICKLE on a plate", "pickle"),
        ("píçklë", "pickle"),
        ("pi\u200bck\u00adle", "pickle"),
        ("p1ckl3!", "pickle"),
        ("p i c k l e", "pickle"),
        ("p.i-c_k*l.e", "pickle"),
        ("piiiickle", "pickle"),
        ("рickle", "pickle"),  # a Cyrillic er
        ("𝓹𝓲𝓬𝓴𝓵𝓮", "pickle"),
        ("ｐｉｃｋｌｅ", "pickle"),
        ("a bad  cat", "bad cat"),
        ("bad_cat", "bad cat"),
        ("a$$", "ass"),
        ("RESUME", "résumé"),
        ("the year 1488", "1488"),
        ("written in c++", "C++"),
    ],
)
def test_a_blocked_word_is_found(text, word):
    assert blocked_word(text, WORDS) == word


@pytest.mark.parametrize(
    "text",
    [
        "a class of grass",
        "pickled",
        "455 apples",
        "bad, that cat",
        "a s",
        "picle",
        "14880",
        "a red apple::2 | fog::-0.5",
    ],
)
def test_other_words_are_not(text):
    assert blocked_word(text, WORDS) is None


@given(st.text(max_size=300))
def test_any_text_can_be_looked_at(text):
    blocked_word(text, WORDS)
    assert blocked_word(f"{text} pickle", WORDS) is not None


@given(st.text(max_size=20), st.text(max_size=50))
def test_any_word_can_be_blocked(word, text):
    blocked_word(text, [word])


def steps(text, words):
    """Count the module's lines that looking through a text takes: a budget that no busy machine can break."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if frame.f_code.co_filename != blocked_words.__file__:
            return None
        count += event == "line"
        return trace

    blocked_word("", words)  # prepared once for each list of words
    sys.settrace(trace)
    try:
        blocked_word(text, words)
    finally:
        sys.settrace(None)
    return count


PER_CHARACTER = 75
"""Five times through at most, at a dozen lines a character; and once to join what is spelt out."""
HARD = st.text(alphabet="il1|!a4@ as5$0o._ -", min_size=2, max_size=30)


@given(st.lists(HARD, min_size=1, max_size=5), HARD, st.integers(1, 40))
@settings(max_examples=60)
def test_no_word_and_no_prompt_takes_more_than_its_length(words, piece, times):
    text = piece * times
    assert steps(text, frozenset(words)) <= PER_CHARACTER * (len(text) + 10)


@pytest.mark.parametrize("word", ["illicit", "i" * 100, "il" * 50, "i l " * 25, "1" * 100])
@pytest.mark.parametrize("text", ["1" * 2000, "1|" * 1000, "! " * 1000, "a_ " * 600, "i.l" * 600])
def test_the_worst_words_with_the_worst_prompts(word, text):
    many = frozenset({word, *(f"{word[:90]} {number}" for number in range(100))})
    assert steps(text, many) <= PER_CHARACTER * len(text)


def test_letters_that_look_alike_are_not_the_same_word():
    assert blocked_word("the wall of the mall", ["wail", "mail"]) is None
    assert blocked_word("the wa1l of the ma|l", ["wall", "mail"]) is not None


@pytest.mark.parametrize(
    ("digits", "letter"), [("4@", "a"), ("8", "b"), ("3€", "e"), ("9", "g"), ("1!|", "i"), ("1|", "l")]
)
def test_a_sign_stands_for_the_letter_that_it_looks_like(digits, letter):
    for sign in digits:
        assert blocked_word(f"x{sign}x", [f"x{letter}x"]) is not None
        assert blocked_word(f"x{letter}x", [f"x{sign}x"]) is None, "a letter stands for no sign"


def test_a_word_without_letters_is_one_and_one_with_letters_is_no_number():
    assert blocked_word("4551", ["assi"]) is None
    assert blocked_word("455i", ["assi"]) == "assi"
    assert blocked_word("in 18", ["18"]) == "18"
    assert blocked_word("at 18.", ["18"]) == "18"
    assert blocked_word("1818", ["18"]) is None


def test_where_several_are_there_one_of_them_is_named_and_spaces_alone_are_no_word():
    words = ["zebra", "apple", " ", "", "bad  cat"]
    assert blocked_word("the zebra", words) == "zebra"
    assert blocked_word("an apple.", words) == "apple"
    assert blocked_word("a bad cat", words) == "bad  cat"
    assert blocked_word("   ", words) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("z e b r a", True),
        ("a z e b r a", True),  # the first letter is a word
        ("see z e b r a i like", True),
        ("z e b r a i", True),  # so is the last
        ("i z e b r a i", True),
        ("z\ne\tb  r*a", True),
        ("z.e.b.r.a.", True),
        ("z,e,b,r,a", False),
        ("z e b", False),
        ("zeb r a", False),
    ],
)
def test_letters_spelt_out_are_a_word_whatever_stands_before_and_behind(text, found):
    assert (blocked_word(text, ["zebra"]) is not None) is found


@pytest.mark.parametrize("text", ["pickle", "pickle pie", "no pickle", "(pickle)", "pickle, pickle", "pickle\nagain"])
def test_a_word_is_found_at_the_beginning_in_the_middle_and_at_the_end(text):
    assert blocked_word(text, ["pickle"]) == "pickle"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Straße", "strasse"),
        ("ǅ", "dz"),
        ("a\x07b\x00", "ab"),
        ("a\n\tb", "a\n\tb"),
        ("\u202eabc\ufeff", "abc"),
        ("\u20dda", "a"),
        ("øłđı", "oldi"),
        ("αβκ", "abk"),
    ],
)
def test_what_a_reader_sees(text, seen):
    assert plain_text(text) == seen
