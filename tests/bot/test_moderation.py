"""Blocked words however they are spelt, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.jobs import Asker
from bot.moderation import blocked_word, refusal_by_moderation
from bot.preferences import GuildSettings
from bot.settings import ModerationSettings

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


def test_long_prompts_are_quick():
    assert blocked_word("a " * 3000 + "p" * 3000, WORDS) is None


@pytest.mark.parametrize(
    ("guild", "settings", "expected"),
    [
        (GuildSettings(), ModerationSettings(), None),
        (GuildSettings(blocked_users=frozenset({1})), ModerationSettings(), "may not use"),
        (GuildSettings(), ModerationSettings(blocked_users=(1,)), "may not use"),
        (GuildSettings(blocked_words=frozenset({"apple"})), ModerationSettings(), "not allowed here"),
        (GuildSettings(), ModerationSettings(blocked_words=("apple",)), "not allowed here"),
        (GuildSettings(channels_denied=frozenset({6})), ModerationSettings(), "this channel"),
        (GuildSettings(channels_allowed=frozenset({7})), ModerationSettings(), "this channel"),
        (GuildSettings(channels_allowed=frozenset({6})), ModerationSettings(), None),
    ],
)
def test_who_where_and_what_is_refused(guild, settings, expected):
    refusal = refusal_by_moderation(Asker(1, 5, 6), "a red apple", guild, settings)
    assert refusal is None if expected is None else expected in (refusal or "")
    assert "apple" not in (refusal or "")
