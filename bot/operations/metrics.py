"""Prometheus metrics. All names begin with `painter_`; deploy/ has a dashboard of them."""

import asyncio
import json
import math
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import get_args

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from bot.background import spawn
from bot.jobs import JobState, Kind
from bot.queue.service import PaintingQueue
from bot.worker.events import Event, Failed, Progress, Rendered, Started, Stopped
from bot.worker.painter import Painter

_WAITS = (1, 3, 10, 30, 60, 180, 600, 1800, 3600, 3 * 3600, 12 * 3600)
_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_ENDS = (JobState.RENDERED, JobState.CANCELLED, JobState.FAILED)
_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

_THIS_NODE = socket.gethostname()
_OF_PAINTERS = {
    "up": "1 when the painter is ready or at work",
    "busy": "1 when it paints",
    "steps_per_second": "Lately; 0 when it paints nothing",
    "jobs": "Orders worked off since the start",
    "restarts": "How often it was started anew",
    "gpu_load": "Share of the time that its GPU computes, 0 to 1, where nvidia-ml-py is installed",
    "gpu_memory_bytes": "Taken on its GPU, by whomever, where nvidia-ml-py is installed",
}


class Metrics:
    """The metrics of one process; `text` is the answer to a scrape."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self._wait = Histogram("painter_queue_wait_seconds", "From request to first step", buckets=_WAITS, registry=own)
        self._step = Histogram(
            "painter_step_seconds", "Lately per step, a few looks a second", buckets=_STEPS, registry=own
        )
        self._painting = Histogram("painter_painting_seconds", "Of a finished picture", buckets=_WAITS, registry=own)
        self._ended = Counter("painter_jobs_ended", "Jobs whose work has ended", ["state", "kind"], registry=own)
        for kind in get_args(Kind):  # from the start: Prometheus counts from the first value that it sees
            for state in _ENDS:
                self._ended.labels(state.value, kind)
        self._errors = Counter(
            "painter_discord_errors",
            "Refused or broken calls, by HTTP status and Discord's own code",
            ["status", "code"],
            registry=own,
        )
        self._lag = Histogram("painter_loop_lag_seconds", "How late the event loop was", buckets=_LAGS, registry=own)
        self._jobs = Gauge("painter_jobs", "Jobs in the ledger", ["state"], registry=own)
        self._dropped = Gauge(
            "painter_previews_dropped", "Previews that were never shown, since the start", registry=own
        )
        self._healthy = Gauge("painter_healthy", "1 when a part works: gateway, worker, ledger", ["part"], registry=own)
        self._painters = {
            name: Gauge(f"painter_device_{name}", about, ["painter", "node", "device"], registry=own)
            for name, about in _OF_PAINTERS.items()
        }
        self._shard = Gauge("painter_shard_up", "1 when the gateway is connected", ["shard"], registry=own)
        self._latency = Gauge("painter_shard_latency_seconds", "Between heartbeat and answer", ["shard"], registry=own)
        self._memory = Gauge("painter_gpu_memory_bytes", "Torch's on the GPU", ["device", "kind"], registry=own)

    def watch(self, queue: PaintingQueue) -> None:
        """Count the events of a queue from now on."""

        def note(event: Event) -> None:
            if isinstance(event, Progress) and event.per_second > 0:
                self._step.observe(1 / event.per_second)
            elif isinstance(event, Started) and event.step == 0:
                spawn(self._note_start(queue, event.job_id), f"measure the start of {event.job_id}")
            elif isinstance(event, Rendered | Failed) or (isinstance(event, Stopped) and not event.back_soon):
                spawn(self._note_end(queue, event.job_id), f"measure the end of {event.job_id}")

        queue.subscribe(note)

    async def _note_start(self, queue: PaintingQueue, job_id: str) -> None:
        job = await queue.ledger.job(job_id)
        if job is not None and job.started_at is not None:
            self._wait.observe(max(0.0, job.started_at - job.created_at))

    async def _note_end(self, queue: PaintingQueue, job_id: str) -> None:
        job = await queue.ledger.job(job_id)
        if job is None:
            return
        # The channel may have been told meanwhile; to its work that makes no difference.
        state = "rendered" if job.state.value == "delivered" else job.state.value
        self._ended.labels(state, job.kind).inc()
        if job.seconds is not None:
            self._painting.observe(job.seconds)

    def note_lag(self, seconds: float) -> None:
        """Record one measurement of the loop's lag."""
        self._lag.observe(seconds)

    def trace(self) -> aiohttp.TraceConfig:
        """Return a trace that counts the HTTP errors of a client, also those that its library retries."""
        trace = aiohttp.TraceConfig()

        async def answered(_: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
            if end.response.status >= 400:
                self._errors.labels(str(end.response.status), await _code_in(end.response)).inc()

        async def broke(
            _: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestExceptionParams
        ) -> None:
            self._errors.labels(type(end.exception).__name__, "").inc()

        trace.on_request_end.append(answered)
        trace.on_request_exception.append(broke)
        return trace

    def _note_painters(self, painters: Sequence[Painter]) -> None:
        for gauge in self._painters.values():
            gauge.clear()  # those of a cluster come and go
        for number, painter in enumerate(painters):
            values = {
                "up": painter.alive,
                "busy": painter.job_id is not None,
                "steps_per_second": painter.steps_per_second,
                "jobs": painter.jobs,
                "restarts": painter.restarts,
            }
            if painter.gpu is not None:
                values |= {"gpu_load": painter.gpu.load, "gpu_memory_bytes": painter.gpu.memory}
            for name, value in values.items():
                self._painters[name].labels(str(number), painter.node or _THIS_NODE, str(painter.device)).set(value)

    async def text(
        self,
        queue: PaintingQueue | None,
        dropped: int,
        problems: dict[str, str],
        shards: Mapping[int, float | None] = MappingProxyType({}),
    ) -> bytes:
        """Measure the gauges and return everything in Prometheus' text format."""
        for number, latency in shards.items():
            self._shard.labels(str(number)).set(latency is not None)
            if latency is not None and math.isfinite(latency):
                self._latency.labels(str(number)).set(latency)
        for part in ("gateway", "worker", "ledger"):
            self._healthy.labels(part).set(part not in problems)
        if queue is not None and "ledger" not in problems:
            for state, count in (await queue.ledger.counts()).items():
                self._jobs.labels(state.value).set(count)
        self._note_painters(() if queue is None else queue.painters)
        self._dropped.set(dropped)
        for device, kind, size in await asyncio.to_thread(lambda: list(_gpu_memory())):
            self._memory.labels(device, kind).set(size)
        return generate_latest(self._registry)


async def _code_in(response: aiohttp.ClientResponse) -> str:
    """Return the code by which Discord names an error, such as 10008; empty where there is none."""
    if response.content_type != "application/json":
        return ""
    try:
        body = json.loads(await response.read())  # kept: who asked reads it again
    except (aiohttp.ClientError, OSError, ValueError):
        return ""
    return str(body.get("code") or "") if isinstance(body, dict) else ""


def _gpu_memory() -> Iterator[tuple[str, str, int]]:
    """Give device, kind and bytes of torch's memory; nothing without a GPU, or before it is used."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    for index in range(torch.cuda.device_count()):
        yield str(index), "allocated", torch.cuda.memory_allocated(index)
        yield str(index), "reserved", torch.cuda.memory_reserved(index)
        yield str(index), "peak", torch.cuda.max_memory_allocated(index)
