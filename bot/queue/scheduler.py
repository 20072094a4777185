"""The fair order of waiting jobs and when each will start; pure functions."""

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

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
    running: Sequence[tuple[Job, float | None]],
    ordered: Sequence[Waiting],
    step_times: Mapping[str, float],
    painters: int = 1,
) -> list[Place]:
    """Give each job its place: first those being painted, with the seconds they have left if known.

    `ordered` is in fair order, `step_times` holds seconds per step by `cost_key`. Each job goes to the painter that is
    free first. Films are made beside the paintings and keep nobody waiting.
    """
    lines: list[Place] = []
    free_at: list[float] = []  # of each painter, in seconds from now; infinite: nobody knows
    for job, seconds_left in running:
        left = (
            _duration(job.spec.steps - job.step, cost_key(job.spec), step_times)
            if seconds_left is None
            else seconds_left
        )
        lines.append(Place(job.id, job.user_id, job.guild_id, Estimate(0, 0.0, left)))
        free_at.append(math.inf if left is None else left)
    free_at += [0.0] * (max(1, painters) - len(free_at))
    heapq.heapify(free_at)
    guess = cache(lambda steps, key: _duration(steps, key, step_times))  # many wait for the same
    for position, job in enumerate(ordered, start=1):
        duration = 0.0 if job.kind == "timelapse" else guess(job.steps, job.cost_key)
        begins = free_at[0]
        known = None if math.isinf(begins) else begins
        lines.append(Place(job.job_id, job.user_id, job.guild_id, Estimate(position, known, duration)))
        if job.kind != "timelapse":
            heapq.heapreplace(free_at, math.inf if duration is None else begins + duration)
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
    """Return the pixels of `128x128`, or of four such pictures, `128x128x4`."""
    return math.prod(int(number) for number in size.split("x"))
