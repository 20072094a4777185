"""Whose turn is it? Pure functions over what waits."""

import heapq
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.jobs import Asker
from bot.preferences import WHOLE_PROCESS, GuildSettings
from bot.settings import LimitSettings


@dataclass(frozen=True, slots=True)
class Waiting:
    """Hold what decides a queued job's turn."""

    job_id: str
    user_id: int
    guild_id: int | None
    kind: str


def fair_order(waiting: Sequence[Waiting], served: Mapping[int, int]) -> list[Waiting]:
    """Order the queue: always the oldest job of the user whose last turn lies farthest back.

    `waiting` is in order of arrival, `served` holds each user's last turn (higher is later; absent: never). Among users
    who were never served the one who has waited longest goes first.
    """
    jobs: defaultdict[int, deque[tuple[int, Waiting]]] = defaultdict(deque)
    for arrival, job in enumerate(waiting):
        jobs[job.user_id].append((arrival, job))
    turn = max(served.values(), default=0)
    users = [(served.get(user, -1), own[0][0], user) for user, own in jobs.items()]
    heapq.heapify(users)
    order = []
    while users:
        _, _, user = heapq.heappop(users)
        order.append(jobs[user].popleft()[1])
        turn += 1
        if jobs[user]:
            heapq.heappush(users, (turn, jobs[user][0][0], user))
    return order


def startable(waiting: Iterable[Waiting], paused: Container[int]) -> list[Waiting]:
    """Leave out what may not start now; `paused` holds guild ids, `WHOLE_PROCESS` for all."""
    if WHOLE_PROCESS in paused:
        return []
    return [job for job in waiting if job.guild_id is None or job.guild_id not in paused]


def cap_per_user(asker: Asker, guild: GuildSettings, limits: LimitSettings) -> int:
    """Return how many unfinished jobs the asker may have: their best role's cap, else the guild's, else config.yaml's."""
    for per_role in (guild.per_role, limits.per_role):
        caps = [per_role[role] for role in asker.role_ids if role in per_role]
        if caps:
            return max(caps)
    return limits.per_user if guild.per_user is None else guild.per_user


def refusal_by_limits(
    asker: Asker, guild: GuildSettings, limits: LimitSettings, *, of_user: int, of_guild: int, in_all: int
) -> str | None:
    """Say which cap the asker would go over, given the unfinished jobs there are, or None."""
    cap = cap_per_user(asker, guild, limits)
    if of_user >= cap:
        if cap == 0:
            return "You may not paint here: ask a moderator of this server."
        return f"You have {of_user} of {cap} {'painting' if cap == 1 else 'paintings'} waiting; cancel one or wait for it to finish."
    guild_cap = limits.per_guild if guild.per_guild is None else guild.per_guild
    if asker.guild_id is not None and of_guild >= guild_cap:
        return f"This server has {of_guild} of {guild_cap} paintings waiting; try again when some are finished."
    if in_all >= limits.total:
        return f"The queue is full with {in_all} paintings; try again in a while."
    return None
