"""How fast the painters work that a configuration gives: jobs a minute, and what it costs to have them elsewhere."""

import asyncio
import importlib.util
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.jobs import Request
from bot.options import PaintingOptions, configured_defaults, painting_spec
from bot.queue.service import PaintingQueue
from bot.settings import LimitSettings, RaySettings, Settings, StorageSettings, WorkerSettings
from bot.worker.events import Event, Failed, Rendered
from engine.spec import PaintingSpec

_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one configuration."""

    name: str
    pictures_per_minute: float
    step: float
    """Milliseconds in the painter."""
    besides: float
    """Milliseconds of a job beside its painting, for each painter."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Painters that are compared with others."""

    name: str
    worker: WorkerSettings
    count: int = 1
    """Pictures in one job."""
    of_cluster: int | None = None
    """How many painters a cluster of this machine has."""


def configurations() -> list[Configuration]:
    """Return what can be compared; a cluster only where Ray is installed."""
    one = WorkerSettings(device="cpu", frames=0, checkpoint_seconds=15.0)
    ray = one.model_copy(update={"isolation": "ray"})
    here = [
        Configuration("thread", one),
        Configuration("thread, 4 in one", one, count=4),
        Configuration("process", one.model_copy(update={"isolation": "process"})),
        Configuration("two processes", one.model_copy(update={"painters": ("cpu", "cpu")})),
    ]
    cluster = [
        Configuration("Ray", ray, of_cluster=1),
        Configuration("Ray, two painters", ray, of_cluster=2),
    ]
    return here + cluster if importlib.util.find_spec("ray") is not None else here


def measure(settings: Settings, jobs: int, compared: Sequence[Configuration]) -> Iterator[Figures]:
    """Paint the pictures of `jobs` jobs with one configuration after the other."""
    for one in compared:
        yield asyncio.run(_run(settings, one, max(1, jobs // one.count)))


async def _run(settings: Settings, configuration: Configuration, jobs: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="painters-bench-") as folder:
        chosen = settings.model_copy(
            update={
                "worker": configuration.worker,
                "ray": RaySettings(painters=configuration.of_cluster),
                "storage": StorageSettings(folder=Path(folder)),
                "limits": LimitSettings(per_user=10**6, per_guild=10**6, total=10**6),
            }
        )
        queue = PaintingQueue(chosen)
        await queue.start()
        try:
            painters = configuration.of_cluster or len(queue.painters)
            return await _measure(configuration.name, queue, _spec(settings, configuration.count), jobs, painters)
        finally:
            await queue.close()


def _spec(settings: Settings, count: int) -> PaintingSpec:
    options = PaintingOptions(prompt="a red apple", seed=1, count=count)
    return painting_spec(options, configured_defaults(settings.models), settings.models)


async def _measure(name: str, queue: PaintingQueue, spec: PaintingSpec, jobs: int, painters: int) -> Figures:
    ended: asyncio.Queue[Rendered | Failed] = asyncio.Queue()

    def note(event: Event) -> None:
        if isinstance(event, Rendered | Failed):
            ended.put_nowait(event)

    queue.subscribe(note)
    await _paint(queue, spec, painters, ended, first=0)  # each loads and warms up what it needs
    began = time.perf_counter()
    done = await _paint(queue, spec, jobs, ended, first=painters)
    took = time.perf_counter() - began
    painting = sum(one.seconds for one in done)
    steps = sum(one.step for one in done)
    besides = (took * painters - painting) / jobs
    return Figures(name, jobs * spec.count * 60 / took, 1000 * painting / steps, 1000 * besides)


async def _paint(
    queue: PaintingQueue, spec: PaintingSpec, jobs: int, ended: "asyncio.Queue[Rendered | Failed]", first: int
) -> list[Rendered]:
    while sum(painter.alive for painter in queue.painters) == 0:  # noqa: ASYNC110, a cluster has no event for that
        await asyncio.sleep(0.1)
    for number in range(first, first + jobs):
        await queue.submit(
            Request(
                interaction_id=number + 1,
                kind="imagine",
                spec=spec,
                prompt="a red apple",
                user_id=number % 8 + 1,
                guild_id=1,
                channel_id=1,
            )
        )
    done = [await asyncio.wait_for(ended.get(), _SECONDS) for _ in range(jobs)]
    failed = [one.sentence for one in done if isinstance(one, Failed)]
    if failed:
        raise RuntimeError(f"A job of the bench failed: {failed[0]}")
    return [one for one in done if isinstance(one, Rendered)]
