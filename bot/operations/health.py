"""`/healthz`: 200 only while everything works. `/metrics`: for Prometheus. On 127.0.0.1 unless configured."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from bot.background import spawn
from bot.operations.loop_lag import watch_lag
from bot.operations.metrics import Metrics
from bot.queue.ledger import Ledger
from bot.queue.service import PaintingQueue
from bot.settings import HealthSettings

log = logging.getLogger(__name__)

ShardLatencies = Mapping[int, float | None]

_LEDGER_SECONDS = 3.0
"""A ledger that takes longer to write one row counts as not writable."""


class Health:
    """The health of the bot. It lives longer than a client, which a lost connection replaces."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self._queue: PaintingQueue | None = None
        self._connected: Callable[[], bool] = lambda: False
        self._dropped: Callable[[], int] = lambda: 0
        self._shards: Callable[[], ShardLatencies] = dict

    def watch(
        self,
        queue: PaintingQueue,
        connected: Callable[[], bool],
        dropped: Callable[[], int],
        shards: Callable[[], ShardLatencies] = dict,
    ) -> None:
        """Report on one client from now on: its queue, whether it is connected, how many previews it dropped.

        `shards` gives the seconds between heartbeat and answer by shard, None for one that is not connected.
        """
        self._queue, self._connected, self._dropped, self._shards = queue, connected, dropped, shards
        self.metrics.watch(queue)

    async def problems(self) -> dict[str, str]:
        """Return the problems by part (gateway, worker, ledger); empty when there is none."""
        queue = self._queue
        if queue is None:
            return dict.fromkeys(("gateway", "worker", "ledger"), "not started yet")
        found: dict[str, str] = {}
        if not self._connected():
            away = ", ".join(str(number) for number, latency in self._shards().items() if latency is None)
            found["gateway"] = "not connected to Discord" + (f" (shards {away})" if len(self._shards()) > 1 else "")
        if not queue.worker_alive:
            found["worker"] = "nobody is there to paint"
        if (problem := await _ledger_problem(queue)) is not None:
            found["ledger"] = problem
        return found

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer 200, or 503 with what is wrong."""
        wrong = await self.problems()
        return web.json_response({"healthy": not wrong, "wrong": wrong}, status=503 if wrong else 200)

    async def scrape(self, _: web.Request) -> web.Response:
        """Answer with all metrics."""
        text = await self.metrics.text(self._queue, self._dropped(), await self.problems(), self._shards())
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _ledger_problem(queue: PaintingQueue) -> str | None:
    """Write a row and delete it; return in a few words why that fails, None when it works."""
    ledger: Ledger | None = getattr(queue, "ledger", None)
    if ledger is None:
        return "not open yet"
    try:
        async with asyncio.timeout(_LEDGER_SECONDS):
            await ledger.check_writable()
    except TimeoutError:
        return f"not written within {_LEDGER_SECONDS:g} s"
    except (sqlite3.Error, ValueError) as error:  # aiosqlite raises ValueError once it is closed
        log.warning("The ledger cannot be written: %s", error)
        return "cannot be written"
    return None


@asynccontextmanager
async def serving(settings: HealthSettings) -> AsyncIterator[Health]:
    """Serve both pages while the block runs; a port that is taken is logged and no error."""
    health = Health()
    app = web.Application()
    app.add_routes([web.get("/healthz", health.healthz), web.get("/metrics", health.scrape)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    lag = spawn(watch_lag(health.metrics.note_lag), "watch the loop")
    try:
        if settings.enabled:
            await _listen(runner, settings)
        yield health
    finally:
        lag.cancel()
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: HealthSettings) -> None:
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        log.warning(
            "health.port: %s:%d cannot be had (%s), so there is no /healthz and no /metrics; choose another port.",
            settings.host,
            settings.port,
            error.strerror or error,
        )
        return
    host, port = runner.addresses[0][:2]
    log.info("Health at http://%s:%d/healthz, metrics at /metrics", host, port)
