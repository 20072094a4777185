"""A queue on a real ledger, a real thread and the tiny networks."""

import asyncio
import functools
import itertools
from typing import Any

import pytest

from bot.jobs import Job, JobState, Request
from bot.queue.files import Files
from bot.queue.ledger import Ledger
from bot.queue.service import PaintingQueue
from bot.settings import LimitSettings, ModelSettings, Settings, StorageSettings, WorkerSettings
from bot.worker.orders import Order
from engine.models import ModelStore
from engine.prompts import Prompt
from engine.spec import Cutouts, PaintingSpec


@pytest.fixture
def spec():
    return PaintingSpec(
        prompts=(Prompt(content="a red apple"),), width=32, height=32, steps=6, cutouts=Cutouts(count=2), seed=7
    )


@pytest.fixture
def settings(tmp_path):
    return Settings(
        worker=WorkerSettings(device="cpu", precision="fp32", first_preview_step=2, checkpoint_seconds=0.3, frames=4),
        models=ModelSettings(folder=tmp_path / "models"),
        storage=StorageSettings(folder=tmp_path / "data"),
        limits=LimitSettings(most_steps=10_000),
    )


@pytest.fixture
def files(settings):
    """A data folder, ready to be used."""
    files = Files(settings.storage.folder)
    files.prepare()
    return files


@pytest.fixture
async def ledger(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.sqlite3")
    yield ledger
    await ledger.close()


@pytest.fixture
def ask(spec):
    """Make requests, each from an interaction of its own."""
    numbers = itertools.count(1000)

    def request(user_id=1, **changes):
        fields = {
            "interaction_id": next(numbers),
            "kind": "imagine",
            "spec": spec,
            "prompt": "a red apple",
            "user_id": user_id,
            "guild_id": 5,
            "channel_id": 6,
        }
        return Request(**fields | changes)

    return request


def make_job(request, **changes) -> Job:
    """Make the row that a request would get, without a ledger."""
    fields: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    asked = {name: getattr(request, name) for name in fields if hasattr(request, name)}
    start = {"id": "abcdefgh", "state": JobState.RUNNING, "notices": (), "created_at": 1.0, "step": 0}
    start |= {"attempts": 1, "forgiven": 0}
    return Job(**fields | asked | start | changes)


def make_order(request, **changes) -> Order:
    """Make what a painter would be handed for a request without inputs."""
    return Order(**{"job_id": "abcdefgh", "attempt": 1, "spec": request.spec} | changes)


async def row(ledger, job_id) -> Job:
    """Look up a job that must be there."""
    job = await ledger.job(job_id)
    assert job is not None
    return job


async def until(condition, seconds: float = 60):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110, conditions of every kind, some of them on disk
            await asyncio.sleep(0.01)


class Audience:
    """Keep a queue's events and wait for the one that is wanted."""

    def __init__(self, queue):
        self.events = []
        self._news = asyncio.Event()
        queue.subscribe(self._on_event)

    def _on_event(self, event):
        self.events.append(event)
        self._news.set()

    def of(self, job_id, kind):
        return [event for event in self.events if event.job_id == job_id and isinstance(event, kind)]

    async def wait(self, job_id, kind, seconds=60):
        async with asyncio.timeout(seconds):
            while not self.of(job_id, kind):
                self._news.clear()
                await self._news.wait()
        return self.of(job_id, kind)[-1]


@pytest.fixture
async def open_queue(settings, tiny_models, monkeypatch):
    """Start queues; those still open are closed at the end."""
    monkeypatch.setattr("bot.worker.thread.ModelStore", functools.partial(ModelStore, embedded=tiny_models))
    queues = []

    async def start(chosen=settings):
        queue = PaintingQueue(chosen)
        audience = Audience(queue)
        await queue.start()
        queues.append(queue)
        return queue, audience

    yield start
    for queue in queues:
        await queue.close()
