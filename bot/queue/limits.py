"""Limits on how much a person may ask for at once and in a day, and what there is of it already; pure functions."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.jobs import Requester
from bot.queue.preferences import GuildSettings
from bot.settings import LimitSettings

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one person may have at once and in a day, where they ask. A guild may only lower what the owner set."""

    per_user: int
    per_guild: int
    total: int
    cooldown_seconds: float
    per_day: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What there is already, jobs of paused guilds left out of `in_all` and `groups`."""

    of_user: int
    of_guild: int
    """Unfinished jobs of the guild; of the person, where there is no guild."""
    in_all: int
    groups: int
    """Guilds, and people in direct messages, that have unfinished jobs, the requester's own among them."""
    today: int
    """Requests of the person in the last 24 hours."""
    since_last: float
    """Seconds since their latest request; infinite when there was none."""
    day_resets_in: float
    """Seconds until the oldest of today's requests is a day old."""


def limits_of(requester: Requester, guild: GuildSettings, limits: LimitSettings) -> Limits:
    """Return the limits of one person: of the owner and of the guild the lower, each by their best role if it has one.

    A role with a limit of its own replaces the limit of everybody, in the owner's settings and in the guild's.
    """
    roles = requester.role_ids
    owners = _of_best_role(limits.per_role, roles, limits.per_user)
    guilds = _of_best_role(guild.per_role, roles, guild.per_user)
    cooldowns = [limits.cooldown_per_role[role] for role in roles if role in limits.cooldown_per_role]
    owners_day = _of_best_role(limits.per_day_per_role, roles, limits.per_day)
    guilds_day = _of_best_role(guild.per_day_per_role, roles, guild.per_day)
    days = [cap for cap in (owners_day, guilds_day) if cap is not None]
    return Limits(
        per_user=_lower(limits.per_user if owners is None else owners, guilds),
        per_guild=_lower(limits.per_guild, guild.per_guild),
        total=limits.total,
        cooldown_seconds=max(min(cooldowns, default=limits.cooldown_seconds), guild.cooldown_seconds or 0.0),
        per_day=min(days) if days else None,
    )


def refusal_by_limits(limits: Limits, usage: Usage, *, in_guild: bool) -> str | None:
    """Say which limit one more request would go over, or None."""
    if limits.per_user == 0 or limits.per_day == 0:
        return "You may not paint here: ask a moderator of this server."
    if usage.of_user >= limits.per_user:
        paintings = "painting" if limits.per_user == 1 else "paintings"
        return (
            f"You have {usage.of_user} of {limits.per_user} {paintings} under way; cancel one or wait for it to finish."
        )
    if (sentence := _refusal_by_clock(limits, usage)) is not None:
        return sentence
    if in_guild and usage.of_guild >= limits.per_guild:
        return (
            f"This server has {usage.of_guild} of {limits.per_guild} paintings under way; "
            "try again when some are finished."
        )
    # A full queue still takes from those who have less than an equal share of it: nobody is shut out by the others.
    if usage.in_all >= limits.total and usage.of_guild >= limits.total // max(usage.groups, 1):
        return f"The queue is full with {usage.in_all} paintings; try again in a while."
    return None


def refusal_of_group(limits: Limits, usage: Usage, count: int, *, in_guild: bool) -> str | None:
    """Say which limit so many more requests, asked for together, would go over, or None."""
    if (sentence := refusal_by_limits(limits, usage, in_guild=in_guild)) is not None:
        return sentence
    left = min(limits.per_user - usage.of_user, limits.total - usage.in_all)
    if limits.per_day is not None:
        left = min(left, limits.per_day - usage.today)
    if in_guild:
        left = min(left, limits.per_guild - usage.of_guild)
    if count > left:
        return f"That makes {count} paintings, and you may ask for {max(left, 1)} more right now; /quota tells why."
    return None


def _refusal_by_clock(limits: Limits, usage: Usage) -> str | None:
    if limits.per_day is not None and usage.today >= limits.per_day:
        return (
            f"You have asked for {usage.today} of {limits.per_day} paintings in 24 hours; "
            f"ask again in {duration(usage.day_resets_in)}."
        )
    if (left := limits.cooldown_seconds - usage.since_last) > 0:
        return f"One painting every {duration(limits.cooldown_seconds)}: ask again in {duration(left)}."
    return None


def _of_best_role(per_role: Mapping[int, int], roles: Iterable[int], otherwise: int | None) -> int | None:
    return max((per_role[role] for role in roles if role in per_role), default=otherwise)


def _lower(owners: int, guilds: int | None) -> int:
    return owners if guilds is None else min(owners, guilds)


def duration(seconds: float) -> str:
    """Say how long something takes, in the largest unit that it fills, rounded up."""
    for size, name in ((3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = math.ceil(seconds / size)
            return f"{count} {name}{'s' if count > 1 else ''}"
    count = max(1, math.ceil(seconds))
    return f"{count} second{'s' if count > 1 else ''}"
