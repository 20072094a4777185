"""Checks of requests: limits on unfinished jobs, blocked people and channels, blocked words in any spelling."""

from bot.jobs import Requester
from bot.queue.blocked_words import blocked_word
from bot.queue.preferences import GuildSettings
from bot.settings import LimitSettings, ModerationSettings


def refusal_by_moderation(
    requester: Requester, prompt: str, guild: GuildSettings, settings: ModerationSettings
) -> str | None:
    """Return why this person may not ask for this here, or None."""
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
