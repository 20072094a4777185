"""Who may ask for what: caps on unfinished jobs, blocked people and channels, blocked words however they are spelt."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from bot.jobs import Requester
from bot.queue.preferences import GuildSettings
from bot.settings import LimitSettings, ModerationSettings

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


def refusal_by_moderation(
    requester: Requester, prompt: str, guild: GuildSettings, settings: ModerationSettings
) -> str | None:
    """Say why this person may not ask for this here, or None."""
    if requester.user_id in guild.blocked_users or requester.user_id in settings.blocked_users:
        return "You may not use this bot here."
    denied = requester.channel_id in guild.channels_denied
    if denied or (guild.channels_allowed and requester.channel_id not in guild.channels_allowed):
        return "Painting is not allowed in this channel."
    if blocked_word(prompt, guild.blocked_words | frozenset(settings.blocked_words)) is not None:
        return "This prompt contains a word that is not allowed here; say it differently."
    return None


def cap_per_user(requester: Requester, guild: GuildSettings, limits: LimitSettings) -> int:
    """Return how many unfinished jobs the requester may have: by their best role, else the guild, else config.yaml."""
    for per_role in (guild.per_role, limits.per_role):
        caps = [per_role[role] for role in requester.role_ids if role in per_role]
        if caps:
            return max(caps)
    return limits.per_user if guild.per_user is None else guild.per_user


def over_cap(of_user: int, cap: int) -> str:
    """Say that somebody has as many unfinished jobs as they may."""
    if cap == 0:
        return "You may not paint here: ask a moderator of this server."
    paintings = "painting" if cap == 1 else "paintings"
    return f"You have {of_user} of {cap} {paintings} under way; cancel one or wait for it to finish."


def refusal_by_limits(
    requester: Requester, guild: GuildSettings, limits: LimitSettings, *, of_user: int, of_guild: int, in_all: int
) -> str | None:
    """Say which cap the requester would go over, given the unfinished jobs there are, or None."""
    cap = cap_per_user(requester, guild, limits)
    if of_user >= cap:
        return over_cap(of_user, cap)
    guild_cap = limits.per_guild if guild.per_guild is None else guild.per_guild
    if requester.guild_id is not None and of_guild >= guild_cap:
        return f"This server has {of_guild} of {guild_cap} paintings under way; try again when some are finished."
    if in_all >= limits.total:
        return f"The queue is full with {in_all} paintings; try again in a while."
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
