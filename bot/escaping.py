"""Escape untrusted text for Discord: no markdown, no links, no pings, no bidirectional controls."""

import re
import unicodedata

# Whatever can start a mention, a link, a heading, a list, a quote, a spoiler or a code span in Discord markdown.
_SPECIAL = re.compile(r"([\\*_~`|<>\[\]()#-])")
_AT = re.compile(r"@(?=\S)")
_SCHEME = re.compile(r"(?<=[A-Za-z])://")
# Bidirectional controls are category Cf like emoji's zero-width joiner, which must stay: so they are named.
_REVERSING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINERS = frozenset("\u200c\u200d\ufe0f")
_MOST_MARKS = 3
_ZERO_WIDTH_SPACE = "\u200b"


def bare(text: str, limit: int = 0) -> str:
    """Return `text` on one line without control and direction marks, cut to `limit` characters (0: whole)."""
    if limit:
        text = text[: 16 * limit]  # what is cut off need not be looked at
    kept: list[str] = []
    marks = 0
    for letter in unicodedata.normalize("NFC", text):
        category = unicodedata.category(letter)
        marks = marks + 1 if category in {"Mn", "Me"} and letter not in _JOINERS else 0
        if letter.isspace() or category == "Cc":
            kept.append(" ")
        elif letter in _REVERSING or category in {"Cs", "Co", "Cn"} or marks > _MOST_MARKS:
            continue
        elif category == "Cf" and letter not in _JOINERS and not "\U000e0020" <= letter <= "\U000e007f":
            continue  # the tags kept here spell the flags of England, Scotland and Wales
        else:
            kept.append(letter)
    line = " ".join("".join(kept).split())
    return f"{line[: limit - 1].rstrip()}…" if limit and len(line) > limit else line


def plain(text: str, limit: int = 0) -> str:
    """Return `bare(text, limit)` written so that Discord shows exactly that and nothing else happens."""
    line = _SCHEME.sub(f":{_ZERO_WIDTH_SPACE}//", bare(text, limit))
    line = _AT.sub(f"@{_ZERO_WIDTH_SPACE}", line)
    return _SPECIAL.sub(r"\\\1", line)


def visible(text: str) -> str:
    """Return `text` with what would steer a terminal or turn the line written out, as Python escapes it."""
    return "".join(
        letter.encode("unicode_escape").decode("ascii")
        if letter in _REVERSING or unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"}
        else letter
        for letter in text
    )
