"""Run a queue in a process of its own: `main` with the arguments DATA MODELS [MEGABYTES]; print the events.

It kills itself at the first checkpoint of the job that KILL_AT_CHECKPOINT_OF names. With MEGABYTES the process may
take that much more than it has at its start, and no more.
"""

import asyncio
import ctypes
import functools
import os
import resource
import signal
import sys
from pathlib import Path

import bot.worker.thread
from bot.jobs import JobState
from bot.queue.service import PaintingQueue
from bot.settings import ModelSettings, Settings, StorageSettings, WorkerSettings
from bot.worker.events import Checkpointed, Event
from engine.models import ModelStore

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4


def confine(megabytes: int) -> None:
    """Let the process have only so many addresses more: what the system refuses, malloc refuses."""
    # Unlike memory, addresses are not given back from inside a heap; so large blocks get addresses of their own again,
    # as in glibc's default, which `pick_device` changes.
    libc = ctypes.CDLL(None)
    for option, value in ((_M_MMAP_MAX, 65536), (_M_MMAP_THRESHOLD, 2**17), (_M_TRIM_THRESHOLD, 2**17)):
        libc.mallopt(option, value)
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    most = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def told(event: Event) -> None:
    print(type(event).__name__, event.job_id, getattr(event, "step", ""), flush=True)
    if isinstance(event, Checkpointed) and event.job_id == os.environ.get("KILL_AT_CHECKPOINT_OF"):
        os.kill(os.getpid(), signal.SIGKILL)


async def paint(data: Path, models: Path, megabytes: int | None) -> None:
    bot.worker.thread.ModelStore = functools.partial(ModelStore, embedded=models)  # type: ignore[misc]
    settings = Settings(
        worker=WorkerSettings(device="cpu", precision="fp32", checkpoint_seconds=0.2, frames=4, attempts=20),
        models=ModelSettings(folder=data / "models"),
        storage=StorageSettings(folder=data),
    )
    queue = PaintingQueue(settings)
    queue.subscribe(told)
    await queue.start()
    if megabytes is not None:
        confine(megabytes)
    print("Open", flush=True)
    while await queue.ledger.in_state(JobState.QUEUED, JobState.RUNNING):  # noqa: ASYNC110, the ledger has no event
        await asyncio.sleep(0.02)
    await queue.close()


def main() -> None:
    asyncio.run(paint(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None))
