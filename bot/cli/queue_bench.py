"""How long the queue takes when the ledger is large, on one made for it of finished and of waiting jobs."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bot.jobs import JobState, Request
from bot.options import PaintingOptions, configured_defaults, painting_spec
from bot.queue.admission import Admission
from bot.queue.ledger import Ledger
from bot.queue.preferences import Preferences
from bot.queue.scheduler import fair_order, places, startable
from bot.settings import LimitSettings, Settings
from engine.spec import PaintingSpec

_PEOPLE, _GUILDS, _STEP_TIMES = 500, 50, 20
_TIMES = 25
"""How often each is measured."""


def measure(finished: int, waiting: int) -> dict[str, float]:
    """Return the median milliseconds that each takes, on a ledger made for it in the folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="queue-bench-") as folder:
        return asyncio.run(_measure(Path(folder, "ledger.sqlite3"), finished, waiting))


async def _measure(path: Path, finished: int, waiting: int) -> dict[str, float]:
    settings = Settings(limits=LimitSettings(total=10**9, per_user=10**9, per_guild=10**9))
    spec = painting_spec(PaintingOptions(prompt="a lighthouse"), configured_defaults(settings.models), settings.models)
    ledger = await Ledger.open(path)
    await _fill(ledger, spec, finished, waiting)
    await ledger.close()
    started = []
    for _ in range(5):
        began = time.perf_counter()
        ledger = await Ledger.open(path)
        await _claim_all(ledger)
        started.append(time.perf_counter() - began)
        await ledger.close()
    ledger = await Ledger.open(path)
    preferences = Preferences(ledger.database)
    admission = Admission(settings, ledger, preferences)
    numbers = iter(range(10**9, 2 * 10**9))

    async def submit() -> None:
        request = _request(next(numbers), spec)
        await ledger.add(request, await admission.require(request))

    async def claim() -> None:
        paused = await preferences.paused_guilds()
        order = fair_order(startable(await ledger.waiting(), paused), await ledger.served())
        assert await ledger.claim(order[0].job_id)

    async def queue() -> None:
        step_times = await ledger.step_times()
        places([], fair_order(await ledger.waiting(), await ledger.served()), step_times)

    result = {"start": statistics.median(started) * 1000}
    for name, work in (("/queue", queue), ("claim", claim), ("submit", submit)):
        result[name] = await _median(work)
    await ledger.close()
    return result


async def _claim_all(ledger: Ledger) -> None:
    """Ask what a bot asks that starts."""
    await ledger.fail_unreadable()
    await ledger.in_state(JobState.RUNNING)
    await ledger.without_message()
    await ledger.unannounced()


async def _median(work: Callable[[], Awaitable[None]]) -> float:
    took = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def _request(number: int, spec: PaintingSpec) -> Request:
    user = number % _PEOPLE
    return Request(
        interaction_id=number,
        kind="imagine",
        spec=spec.but(seed=number),
        prompt="a lighthouse",
        user_id=user + 1,
        guild_id=user % _GUILDS + 1,
        channel_id=user % _GUILDS + 1,
    )


async def _fill(ledger: Ledger, spec: PaintingSpec, finished: int, waiting: int) -> None:
    """Write the jobs: those waiting as people ask for them, the finished ones as copies of one."""
    first, _ = await ledger.add(_request(0, spec))
    await ledger.database.write(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO jobs (id, interaction_id, kind, spec, steps, cost_key, prompt, user_id, guild_id, channel_id,"
        " message_id, state, created_at, started_at, finished_at, delivered_at, step, attempts, seconds)"
        " SELECT printf('f%07d', i), 1000 + i, kind, spec, steps, cost_key, prompt, i % ? + 1, i % ? + 1, i % ? + 1, i,"
        " CASE i % 20 WHEN 0 THEN 'cancelled' WHEN 1 THEN 'failed' ELSE 'delivered' END, i, i, i, i, steps, 1, 6.0"
        " FROM n, jobs WHERE jobs.id = ?",
        (finished, _PEOPLE, _GUILDS, _GUILDS, first.id),
    )
    await ledger.database.write("INSERT INTO asked SELECT user_id, ? FROM jobs", (time.time(),))
    await ledger.database.write(
        "INSERT OR REPLACE INTO served SELECT user_id, max(seq) FROM jobs WHERE id <> ? GROUP BY user_id", (first.id,)
    )
    for number in range(_STEP_TIMES):
        await ledger.note_step_time(f"embedded {64 + 16 * number}x64 embedded 16", 0.1)
    async with ledger.database.transaction():
        for number in range(1, waiting):
            request = _request(500_000_000 + number, spec)
            await ledger._insert(request)
    await ledger.database.write("UPDATE jobs SET message_id = seq WHERE message_id IS NULL")
