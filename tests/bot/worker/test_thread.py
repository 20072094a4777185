"""The painting thread: what it does for the loop, and what it leaves alone."""

import asyncio
import functools
import threading
import time

import pytest

from bot.queue.files import Files
from bot.settings import ModelSettings, WorkerSettings
from bot.worker.events import Progress, Rendered, Stopped
from bot.worker.thread import ThreadWorker
from engine.devices import BadDeviceError
from engine.models import ModelStore
from tests.bot.conftest import make_job, until


@pytest.fixture
async def worker(settings, files, tiny_models, monkeypatch):
    monkeypatch.setattr("bot.worker.thread.ModelStore", functools.partial(ModelStore, embedded=tiny_models))
    events, threads = [], set()

    def hear(event):
        events.append(event)
        threads.add(threading.current_thread())

    worker = ThreadWorker(settings, files, hear, lambda: threads.add(threading.current_thread()), print)
    worker.events, worker.threads = events, threads  # type: ignore[attr-defined]
    await worker.start()
    yield worker
    await worker.close(5)


async def test_everything_is_heard_on_the_loop(worker, ask):
    job = make_job(ask())
    worker.paint(job)
    assert worker.job_id == job.id
    await until(lambda: worker.job_id is None)
    assert isinstance(worker.events[-1], Rendered)
    assert worker.threads == {threading.current_thread()}


async def test_what_is_meant_for_another_job_is_ignored(worker, ask, spec):
    job = make_job(ask(spec=spec.but(steps=4000)))
    worker.paint(job)
    worker.give_up("zzzzzzzz")
    worker.finish_early("zzzzzzzz")
    worker.steer("zzzzzzzz", spec.prompts)
    worker.want_preview("zzzzzzzz")
    await until(lambda: len([e for e in worker.events if isinstance(e, Progress)]) >= 2)
    assert worker.job_id == job.id
    worker.give_up(job.id)
    await until(lambda: worker.job_id is None)
    assert worker.events[-1] == Stopped(job.id)


async def test_closing_leaves_a_checkpoint_within_its_time(worker, ask, spec):
    job = make_job(ask(spec=spec.but(steps=4000)))
    worker.paint(job)
    await until(lambda: worker.events)
    await until(lambda: isinstance(worker.events[-1], Progress))
    began = time.monotonic()
    await worker.close(8)
    assert time.monotonic() - began < 8
    assert not worker.alive
    await asyncio.sleep(0)
    assert worker.events[-1] == Stopped(job.id, back_soon=True)
    await worker.close(8)


async def test_a_device_that_is_not_here_is_named(settings):
    wrong = settings.model_copy(update={"worker": WorkerSettings(device="cuda:9")})
    worker = ThreadWorker(wrong, Files(settings.storage.folder), print, print, print)
    with pytest.raises(BadDeviceError, match="cuda:9"):
        await worker.start()


async def test_models_that_are_not_here_are_named_and_do_not_stop_the_start(settings, caplog):
    without = settings.model_copy(update={"models": ModelSettings(generator="no-such")})
    worker = ThreadWorker(without, Files(settings.storage.folder), print, print, print)
    await worker.start()
    assert "no-such" in caplog.text
    assert worker.alive
    await worker.close(5)
