"""The fair order of waiting jobs and when each will start; pure functions."""

import heapq
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.jobs import Job, cost_key
from bot.queue.preferences import WHOLE_PROCESS


@dataclass(frozen=True, slots=True)
class Waiting:
    """The columns of a queued job that decide its turn."""

    job_id: str
    user_id: int
    guild_id: int | None
    kind: str
    steps: int
    cost_key: str


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
    """Filter out the jobs of paused guilds; `paused` holds guild ids, `WHOLE_PROCESS` for all."""
    if WHOLE_PROCESS in paused:
        return []
    return [job for job in waiting if job.guild_id is None or job.guild_id not in paused]


@dataclass(frozen=True, slots=True)
class Estimate:
    """When a job will start and how long it will take."""

    position: int
    """0: it is being painted; 1: it is next."""
    seconds: float | None
    """Until it starts; None: not known yet."""
    painting: float | None
    """How long the painting takes, or has left; None: not known yet."""


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the queue."""

    job_id: str
    user_id: int
    guild_id: int | None
    estimate: Estimate


def places(
    running: Job | None, seconds_left: float | None, ordered: Sequence[Waiting], step_times: Mapping[str, float]
) -> list[Place]:
    """Give each job its place; `ordered` is in fair order, `step_times` holds seconds per step by `cost_key`.

    Films are made beside the paintings and keep nobody waiting.
    """
    lines: list[Place] = []
    ahead: float | None = 0.0
    if running is not None:
        if seconds_left is None:
            seconds_left = _duration(running.spec.steps - running.step, cost_key(running.spec), step_times)
        lines.append(Place(running.id, running.user_id, running.guild_id, Estimate(0, 0.0, seconds_left)))
        ahead = seconds_left
    for position, job in enumerate(ordered, start=1):
        duration = 0.0 if job.kind == "timelapse" else _duration(job.steps, job.cost_key, step_times)
        lines.append(Place(job.job_id, job.user_id, job.guild_id, Estimate(position, ahead, duration)))
        ahead = None if ahead is None or duration is None else ahead + duration
    return lines


def _duration(steps: int, key: str, step_times: Mapping[str, float]) -> float | None:
    """Guess how long `steps` take: from paintings alike, else from the same generator's, by cutouts or pixels."""
    if key in step_times:
        return steps * step_times[key]
    generator, size, _, cutouts = key.rsplit(" ", 3)
    guesses = []
    for other, seconds in step_times.items():
        of_generator, of_size, _, of_cutouts = other.rsplit(" ", 3)
        if of_generator == generator:
            guesses.append(seconds * max(_pixels(size) / _pixels(of_size), int(cutouts) / int(of_cutouts)))
    return steps * sum(guesses) / len(guesses) if guesses else None


def _pixels(size: str) -> int:
    width, height = size.split("x")
    return int(width) * int(height)
