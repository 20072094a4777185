"""Run a studio in a process of its own: `-m tests.bot.paint_until_killed DATA MODELS`; print the events."""

import asyncio
import functools
import sys
from pathlib import Path

import bot.worker
from bot.jobs import JobState
from bot.settings import ModelSettings, Settings, StorageSettings, WorkerSettings
from bot.studio import Studio
from engine.models import ModelStore


async def main(data: Path, models: Path) -> None:
    bot.worker.ModelStore = functools.partial(ModelStore, embedded=models)  # type: ignore[misc]
    settings = Settings(
        worker=WorkerSettings(device="cpu", precision="fp32", checkpoint_seconds=0.2, frames=4, attempts=20),
        models=ModelSettings(folder=data / "models"),
        storage=StorageSettings(folder=data),
    )
    studio = Studio(settings)
    studio.subscribe(lambda event: print(type(event).__name__, event.job_id, getattr(event, "step", ""), flush=True))
    await studio.start()
    print("Open", flush=True)
    while await studio.ledger.in_state(JobState.QUEUED, JobState.RUNNING):  # noqa: ASYNC110, the ledger has no event
        await asyncio.sleep(0.02)
    await studio.close()


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
