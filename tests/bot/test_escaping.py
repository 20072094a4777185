"""Other people's words on one line: what of them is kept, and what is shown of what could do harm."""

import pytest

from bot.escaping import bare, plain, visible

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("  a \t red\napple\r\n", "a red apple"),
        ("a\x00b\x1bc", "a b c"),
        ("a\u2028b\u2029c\u00a0d", "a b c d"),
        ("e\u0301te\u0301", "été"),
        ("abc\u202edef\u2066g\u200fh", "abcdefgh"),
        ("soft\u00adhyphen, zero\u200bwidth", "softhyphen, zerowidth"),
        ("private \ue000use, \U0010fffeno letter", "private use, no letter"),
        ("half \ud83d a pair", "half a pair"),
        (FAMILY, FAMILY),
        (SCOTLAND, SCOTLAND),
        ("\U000e0001tags\U000e0080", "tags"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("n\u200cn", "n\u200cn"),
    ],
)
def test_one_line_is_kept_without_what_steers_or_is_not_seen(text, kept):
    assert bare(text) == kept


@pytest.mark.parametrize("mark", ["\u0335", "\u20dd"])
@pytest.mark.parametrize(("marks", "kept"), [(1, 1), (3, 3), (4, 3), (50, 3)])
def test_a_letter_bears_three_marks_at_most(mark, marks, kept):
    assert bare(f"x{mark * marks}y{mark * marks}") == f"x{mark * kept}y{mark * kept}"


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("abcde", 5, "abcde"),
        ("abcdef", 5, "abcd…"),
        ("abc def", 5, "abc…"),
        ("abc  d", 5, "abc d"),
        ("abcdef", 1, "…"),
        ("abcdef", 0, "abcdef"),
        ("\u200e" * 77 + "abc", 5, "abc"),
        ("\u200e" * 77 + "abcdefgh", 5, "abc"),
        ("\u200e" * 80 + "abc", 5, ""),
    ],
)
def test_a_line_is_cut_to_what_is_allowed_and_what_lies_far_behind_not_looked_at(text, limit, kept):
    assert bare(text, limit) == kept


@pytest.mark.parametrize("letter", list("\\*_~`|<>[]()#-"))
def test_what_could_begin_something_is_escaped(letter):
    assert plain(f"a{letter}b") == f"a\\{letter}b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@everyone", "@\u200beveryone"),
        ("a @ b", "a @ b"),
        ("a@b@", "a@\u200bb@"),
        ("https://example.org", "https:\u200b//example.org"),
        (": // and 5://", ": // and 5://"),
        ("apple.\n5: pear", "apple. 5: pear"),
    ],
)
def test_nobody_is_called_and_nothing_linked(text, shown):
    assert plain(text) == shown


def test_a_limit_counts_before_signs_are_escaped():
    assert plain("*****", 5) == r"\*" * 5
    assert plain("******", 5) == r"\*" * 4 + "…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve 🍎 -- [x]", "naïve 🍎 -- [x]"),
        ("a\nb\x1b[2J\x9b", r"a\nb\x1b[2J\x9b"),
        ("\u2028\u202eabc\u200f", r"\u2028\u202eabc\u200f"),
        ("\ud83d", r"\ud83d"),
        (FAMILY, FAMILY),
    ],
)
def test_what_would_steer_a_terminal_is_written_out(text, shown):
    assert visible(text) == shown
