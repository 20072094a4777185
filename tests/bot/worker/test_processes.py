"""The painting process: it may die in any way, and the queue and its jobs live on."""

import functools
import os
import signal

import pytest

from bot.jobs import JobState
from bot.worker.events import Checkpointed, Failed, Progress, Rendered, Started, Stopped
from engine.prompts import parse_prompts
from tests import warm_processes
from tests.bot.conftest import row, until
from tests.bot.worker import tiny_child

PATIENCE = 200.0
"""Seconds: each new process imports torch, which takes long where much else runs."""


@pytest.fixture
def spawned(settings, tiny_models, monkeypatch):
    """Settings under which a process of its own paints."""
    monkeypatch.setattr("bot.worker.process.main", functools.partial(tiny_child.main, tiny_models, None))
    return settings.model_copy(update={"worker": settings.worker.model_copy(update={"isolation": "process"})})


@pytest.fixture
def apart(spawned, monkeypatch):
    """The same, quicker."""
    warm_processes.fork_painters(monkeypatch.setattr)
    return spawned


async def test_a_child_paints_shows_steers_and_stops_like_the_thread(open_queue, spawned, ask, spec):
    queue, audience = await open_queue(spawned)
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    with_preview = lambda: [e for e in audience.of(job.id, Progress) if e.preview]  # noqa: E731
    await until(with_preview)
    queue.want_preview(job.id)
    await until(lambda: len(with_preview()) == 2)
    prompts = parse_prompts("a green apple")
    assert await queue.steer(job.id, prompts)
    assert await queue.stop(job.id)
    rendered = await audience.wait(job.id, Rendered, PATIENCE)
    assert rendered.step < 4000
    assert rendered.picture.is_file()
    cancelled = await queue.submit(ask(spec=spec.but(steps=4000)))
    await audience.wait(cancelled.id, Progress)
    assert await queue.cancel(cancelled.id)
    last = await queue.submit(ask(spec=spec.but(steps=4000)))
    await audience.wait(last.id, Progress)
    await queue.close()
    assert audience.of(last.id, Stopped)[0].back_soon
    assert queue.files.checkpoint_path(last.id).exists()
    assert not queue.worker_alive


async def test_a_killed_child_is_replaced_and_the_job_goes_on(open_queue, apart, ask, spec):
    queue, audience = await open_queue(apart)
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    checkpoint = await audience.wait(job.id, Checkpointed)
    os.kill(queue.painters[0].pid, signal.SIGKILL)
    await until(lambda: len(audience.of(job.id, Started)) == 2, PATIENCE)
    assert await queue.stop(job.id)
    await audience.wait(job.id, Rendered, PATIENCE)
    first, second = audience.of(job.id, Started)
    assert first.step == 0
    assert second.step >= checkpoint.step
    assert (await row(queue.ledger, job.id)).state is JobState.RENDERED


async def test_a_hung_and_then_a_poisoned_child_are_replaced(
    open_queue, apart, tiny_models, ask, spec, tmp_path, monkeypatch
):
    monkeypatch.setattr("bot.worker.process.main", functools.partial(tiny_child.main, tiny_models, tmp_path))
    quick = apart.model_copy(update={"worker": apart.worker.model_copy(update={"hang_seconds": 3.0})})
    queue, audience = await open_queue(quick)
    job = await queue.submit(ask(spec=spec.but(steps=60)))
    await audience.wait(job.id, Rendered, PATIENCE)
    assert len(audience.of(job.id, Started)) == 3
    assert (tmp_path / "hang").exists()
    assert (tmp_path / "device").exists()


async def test_a_child_that_is_stopped_is_killed_and_replaced(open_queue, apart, ask, spec):
    """It cannot even end itself."""
    quick = apart.model_copy(update={"worker": apart.worker.model_copy(update={"hang_seconds": 4.0})})
    queue, audience = await open_queue(quick)
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    await audience.wait(job.id, Checkpointed)
    os.kill(queue.painters[0].pid, signal.SIGSTOP)
    await until(lambda: len(audience.of(job.id, Started)) == 2, PATIENCE)
    assert await queue.stop(job.id)
    await audience.wait(job.id, Rendered, PATIENCE)


async def test_a_job_that_kills_every_child_is_given_up(open_queue, apart, ask, spec):
    changes = {"checkpoint_seconds": 600.0, "attempts": 2}
    queue, audience = await open_queue(apart.model_copy(update={"worker": apart.worker.model_copy(update=changes)}))
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    for count in (1, 2):
        await until(lambda count=count: len(audience.of(job.id, Started)) == count, PATIENCE)
        os.kill(queue.painters[0].pid, signal.SIGKILL)
    assert "2 times" in (await audience.wait(job.id, Failed, PATIENCE)).sentence


async def test_two_painters_take_turns_and_one_that_dies_costs_its_job_one_resume(open_queue, apart, ask, spec):
    two = {"painters": ("cpu", "cpu"), "checkpoint_seconds": 0.05}
    queue, audience = await open_queue(apart.model_copy(update={"worker": apart.worker.model_copy(update=two)}))
    long = spec.but(steps=60)
    cut, whole, third = [await queue.submit(ask(user_id=user, spec=long)) for user in (1, 2, 3)]
    await audience.wait(whole.id, Progress, PATIENCE)
    await audience.wait(cut.id, Checkpointed, PATIENCE)
    assert {painter.job_id for painter in queue.painters} == {cut.id, whole.id}
    assert [place.estimate.position for place in await queue.places()] == [0, 0, 1]
    dying = next(painter for painter in queue.painters if painter.job_id == cut.id)
    os.kill(dying.pid, signal.SIGKILL)
    rendered = [await audience.wait(job.id, Rendered, PATIENCE) for job in (cut, whole, third)]
    assert [len(audience.of(job.id, Started)) for job in (cut, whole, third)] == [2, 1, 1]
    assert audience.of(cut.id, Started)[1].step > 0
    first = rendered[0].picture.read_bytes()
    assert [one.picture.read_bytes() == first for one in rendered] == [True, True, True]
    assert [one.notices for one in rendered] == [(), (), ()]
    await until(lambda: dying.restarts == 1, PATIENCE)
    await until(lambda: sum(painter.jobs for painter in queue.painters) == 3, PATIENCE)  # counted after its last event
