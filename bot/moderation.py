"""What may be asked for: blocked words, however they are spelt, and blocked people."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from bot.jobs import Asker
from bot.preferences import GuildSettings
from bot.settings import ModerationSettings

VEILED = "This picture may not be for everybody: it shows when you click it."
"""The notice under a picture that the check found wanting; what carries it is hidden as a spoiler."""

_STANDS_FOR = {
    "a": "4@",
    "b": "8",
    "e": "3€",
    "g": "9",
    "i": "1!|",
    "l": "1|",
    "o": "0",
    "s": "5$",
    "t": "7+",
    "z": "2",
}
_LOOK_ALIKES = str.maketrans(
    "авекмнорстухіјѕԁɡαβεικνορτυχƒøłđıß", "abekmhopctyxijsdgabeiknoptuxfoldis"
)  # Cyrillic, Greek, Latin
_SPELT_OUT = re.compile(r"(?<!\w)(?:[^\W_][ ._*\-]+){2,}[^\W_](?!\w)")


def refusal_by_moderation(asker: Asker, prompt: str, guild: GuildSettings, settings: ModerationSettings) -> str | None:
    """Say why this person may not ask for this here, or None."""
    if asker.user_id in guild.blocked_users or asker.user_id in settings.blocked_users:
        return "You may not use this bot here."
    denied = asker.channel_id in guild.channels_denied
    if denied or (guild.channels_allowed and asker.channel_id not in guild.channels_allowed):
        return "Painting is not allowed in this channel."
    if blocked_word(prompt, guild.blocked_words | frozenset(settings.blocked_words)) is not None:
        return "This prompt contains a word that is not allowed here; say it differently."
    return None


def blocked_word(text: str, words: Iterable[str]) -> str | None:
    """Return the first of `words` that `text` contains as a whole word, or None.

    Case, accents, invisible characters, look-alike letters, digits and signs in place of letters, repeated letters and
    l e t t e r s spelt out do not hide it.
    """
    plain = plain_text(text)
    spellings = {plain, _SPELT_OUT.sub(lambda found: re.sub(r"[\W_]", "", found[0]), plain)}
    for word in sorted(words):
        pattern = _pattern(word)
        hits = [hit[0] for spelling in spellings for hit in (pattern.finditer(spelling) if pattern else ())]
        if any(_meant(hit, word) for hit in hits):
            return word
    return None


def plain_text(text: str) -> str:
    """Reduce text to what a reader sees in it: no case, no accents, nothing invisible, Latin for look-alikes."""
    seen = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    visible = "".join(c for c in seen if unicodedata.category(c) not in ("Mn", "Me", "Cf", "Cc") or c in "\n\t")
    return visible.translate(_LOOK_ALIKES)


@lru_cache(maxsize=4096)
def _pattern(word: str) -> re.Pattern[str] | None:
    """Match the word with signs for letters and with letters repeated; None for a word without letters."""
    plain = plain_text(word).strip()
    parts = []
    for run in re.finditer(r"(.)\1*", plain, re.DOTALL):
        letter, count = run[1], len(run[0])
        if letter.isspace():
            parts.append(r"[\W_]+")
        else:
            parts.append(f"[{re.escape(letter + _STANDS_FOR.get(letter, ''))}]{{{count},}}")
    return re.compile(rf"(?<![^\W_]){''.join(parts)}(?![^\W_])") if parts else None


def _meant(found: str, word: str) -> bool:
    """Tell a disguised word from a number: "455" is none, unless a number is what is blocked."""
    return any(c.isalpha() for c in found) or not any(c.isalpha() for c in word)
