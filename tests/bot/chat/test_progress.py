"""The edits of a running job's message: the newest picture, at the pace that Discord takes, and then the end."""

import asyncio
import io
from types import SimpleNamespace

import pytest
from PIL import Image

from bot.chat.delivery import Delivery
from bot.chat.edit_rate import EditRate
from bot.chat.progress import ProgressReporter
from bot.chat.waiting import WaitingMessages
from bot.jobs import JobState
from bot.worker.events import Checkpointed, Progress, Rendered, Stopped
from tests.bot.chat.fake_discord import MESSAGE, refusal
from tests.bot.conftest import row, until

INTERVAL = 0.0625
"""Seconds; a power of two, so that sums of it are exact."""


class Clock:
    """Stands still: how long a channel waits can be read off."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pace(clock):
    return EditRate(INTERVAL, clock)


@pytest.fixture
async def reporter(world, queue, settings, pace, monkeypatch):
    monkeypatch.setattr(queue, "want_preview", lambda job_id: None)
    monkeypatch.setattr("bot.chat.progress._FIRST_PATIENCE", 0.05)
    monkeypatch.setattr("bot.chat.progress._LOOK_SECONDS", 0.01)
    waiting = WaitingMessages(world, queue, pace, INTERVAL)
    reporter = ProgressReporter(world, queue, Delivery(world, queue, settings), pace, waiting)
    yield reporter
    await reporter.close()


@pytest.fixture
async def running(rendered):
    return await rendered(JobState.RUNNING)


def jpeg(side=32):
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 90).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def progress(job, step, preview=None):
    return Progress(job.id, step, 6, 2.0, (6 - step) / 2, 0.9, preview)


async def ended(queue, job):
    """Let the job end with a picture, in the ledger and on disk."""
    await queue.ledger.transition(job.id, JobState.RENDERED, step=6, seconds=2.0)
    return Rendered(job.id, queue.files.result_path(job), 2.0, 6)


def shows(world, name="edit"):
    """Return the words of the last edit."""
    return " ".join(part.content for part in world.last(name)["view"].walk_children() if hasattr(part, "content"))


async def shown_as(queue, job):
    """Wait until the ledger knows that the job's end is to be seen."""
    async with asyncio.timeout(10):
        while (await row(queue.ledger, job.id)).delivered_at is None:  # noqa: ASYNC110, the ledger has no event
            await asyncio.sleep(0.01)


async def tried(world, name, count=1):
    await until(lambda: world.tried.count(name) >= count, 10)


async def test_a_preview_is_shown_with_its_step_and_the_next_one_after_the_interval(
    world, reporter, running, pace, clock
):
    reporter.on_event(progress(running, 2, jpeg()))
    await tried(world, "edit")
    assert world.last("edit")["message"] == MESSAGE
    assert world.files("edit") == [f"step-2-{running.id}.jpg"]
    assert "step 2 of 6 · 2.0 it/s" in shows(world)
    assert pace.wait(running.channel_id) == INTERVAL
    clock.now += INTERVAL
    reporter.on_event(progress(running, 3, jpeg()))
    await tried(world, "edit", 2)
    assert world.files("edit") == [f"step-3-{running.id}.jpg"]


async def test_words_are_shown_where_no_picture_comes(world, reporter, running):
    reporter.on_event(progress(running, 1))
    await tried(world, "edit")
    assert "attachments" not in world.last("edit")
    assert "step 1 of 6" in shows(world)


async def test_before_the_first_step_the_paint_is_mixed(world, reporter, running):
    reporter.on_event(SimpleNamespace(job_id=running.id))
    await tried(world, "edit")
    assert "mixing the paint" in shows(world)


async def test_the_newest_picture_is_shown_and_the_others_are_counted(world, reporter, running, pace):
    pace.edited(running.channel_id, active=1)
    for step in (1, 2, 3):
        reporter.on_event(progress(running, step, jpeg()))
    assert reporter.dropped == 2
    reporter.on_event(progress(running, 4))
    pace.forget(running.channel_id)
    await tried(world, "edit")
    assert world.files("edit") == [f"step-3-{running.id}.jpg"]
    assert "step 4 of 6" in shows(world)


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (refusal(503), 2 * INTERVAL),
        (refusal(500), 2 * INTERVAL),
        (refusal(429), 2 * INTERVAL),
        (TimeoutError(), 2 * INTERVAL),
        (ConnectionResetError(104, "reset"), 2 * INTERVAL),
    ],
)
async def test_what_may_pass_slows_the_edits_down(world, reporter, running, pace, error, wait):
    world.refusals["edit"] = [error]
    reporter.on_event(progress(running, 2, jpeg()))
    await tried(world, "edit")
    await until(lambda: pace.wait(running.channel_id) == wait, 10)
    assert reporter.dropped == 1


async def test_discord_is_waited_for_as_long_as_it_says(world, reporter, running, pace):
    error = refusal(429)
    error.retry_after = 40.0  # pyright: ignore[reportAttributeAccessIssue]
    world.refusals["edit"] = [error]
    reporter.on_event(progress(running, 2, jpeg()))
    await until(lambda: pace.wait(running.channel_id) == 40.0, 10)


@pytest.mark.parametrize("status", [403, 404, 400])
async def test_a_message_that_can_never_be_edited_is_given_up_and_the_end_comes_as_a_reply(
    world, reporter, running, queue, pace, status
):
    world.refusals["edit"] = [refusal(status)] * 2
    reporter.on_event(progress(running, 2, jpeg()))
    await tried(world, "edit")
    for step in (3, 4, 5):
        reporter.on_event(progress(running, step, jpeg()))
        await asyncio.sleep(0.02)
    assert pace.wait(running.channel_id) == 0.0
    reporter.on_event(await ended(queue, running))
    await tried(world, "send")
    assert world.tried.count("edit") == 1


async def test_a_refused_token_is_reported(world, reporter, running):
    world.refusals["edit"] = [refusal(401)]
    reporter.on_event(progress(running, 2, jpeg()))
    await until(lambda: world.dispatched == ["token_refused"], 10)


async def test_a_preview_that_is_too_large_comes_smaller_the_next_time(world, reporter, running, clock):
    large = jpeg(128)
    world.refusals["edit"] = [refusal(413)]
    for step, times in ((2, 1), (3, 2)):
        reporter.on_event(progress(running, step, large))
        await tried(world, "edit", times)
        clock.now += INTERVAL
    file = world.last("edit")["attachments"][0]
    assert file.filename == f"step-3-{running.id}.jpg"
    file.reset()
    assert len(file.fp.read()) <= len(large) // 2


async def test_where_the_job_has_moved_a_refusal_gives_nothing_up(world, reporter, running, queue, monkeypatch, clock):
    """Somebody had it shown again while the old message was deleted."""
    take = world.take

    async def moving(name, **arguments):
        if name == "edit" and arguments["message"] == MESSAGE:
            await queue.attach_message(running.id, running.channel_id, 888)
            world.tried.append(name)
            raise refusal(404)
        await take(name, **arguments)

    monkeypatch.setattr(world, "take", moving)
    reporter.on_event(progress(running, 2, jpeg()))
    await tried(world, "edit")
    reporter.on_event(progress(running, 3, jpeg()))
    await until(lambda: world.done, 10)
    assert world.last("edit")["message"] == 888


async def test_the_end_does_not_wait_for_the_pace(world, reporter, running, queue, pace):
    pace.refused(running.channel_id, 1000)
    reporter.on_event(progress(running, 2, jpeg()))
    reporter.on_event(await ended(queue, running))
    await until(lambda: "edit" in world.names(), 10)
    assert "Painted in 2 s" in shows(world)
    await until(lambda: pace.wait(running.channel_id) == 0.0, 10)  # nothing is left to be edited there


async def test_several_jobs_share_the_pace_of_their_channel(world, reporter, rendered, pace, clock):
    jobs = [await rendered(JobState.RUNNING) for _ in range(3)]
    for job in jobs:
        reporter.on_event(progress(job, 2, jpeg()))

    def all_shown():
        clock.now += INTERVAL / 8
        return world.tried.count("edit") >= 3

    await until(all_shown, 30)
    assert pace.wait(jobs[0].channel_id) > 2 * INTERVAL


async def test_an_orderly_end_says_back_soon_and_nothing_after_it(world, reporter, running, queue, clock):
    reporter.on_event(progress(running, 2, jpeg()))
    await tried(world, "edit")
    await reporter.close()
    assert "Back soon" in shows(world)
    assert world.files("edit") == [f"step-2-{running.id}.jpg"]
    clock.now += 100
    reporter.on_event(progress(running, 3, jpeg()))
    await asyncio.sleep(0.05)
    assert world.tried.count("edit") == 2


@pytest.mark.parametrize("event", [lambda job: Checkpointed(job.id, 2), lambda job: Stopped(job.id, back_soon=True)])
async def test_what_nobody_needs_to_see_edits_nothing(world, reporter, running, event):
    reporter.on_event(event(running))
    await asyncio.sleep(0.1)
    assert world.tried == []


async def test_what_ended_while_the_bot_was_off_is_announced_at_the_start(world, reporter, rendered, queue):
    done, failed = await rendered(), await rendered(JobState.FAILED)
    reporter.start()
    for job in (done, failed):
        await shown_as(queue, job)
    assert world.names().count("edit") == 2


async def test_one_that_cannot_be_announced_keeps_no_other_back(world, reporter, rendered, queue, monkeypatch):
    first, second = await rendered(), await rendered()
    deliver = reporter._delivery.deliver_if_unannounced

    async def failing(job):
        if job.id == first.id:
            raise ValueError
        await deliver(job)

    monkeypatch.setattr(reporter._delivery, "deliver_if_unannounced", failing)
    reporter.start()
    await shown_as(queue, second)
    assert (await row(queue.ledger, first.id)).delivered_at is None


async def test_nothing_is_edited_before_the_job_has_a_message(world, reporter, queue, ask):
    job, _ = await queue.ledger.add(ask())
    await queue.ledger.claim(job.id)
    reporter.on_event(progress(job, 2, jpeg()))
    await asyncio.sleep(0.1)
    assert world.tried == []
    await queue.attach_message(job.id, job.channel_id, MESSAGE)
    await tried(world, "edit")
    assert world.last("edit")["message"] == MESSAGE


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.RENDERED])
async def test_a_message_that_was_sent_and_not_noted_is_looked_for_at_the_start(
    reporter, queue, ask, monkeypatch, state
):
    noted, _ = await queue.ledger.add(ask())
    await queue.attach_message(noted.id, noted.channel_id, MESSAGE)
    job, _ = await queue.ledger.add(ask())
    if state is not JobState.QUEUED:
        await queue.ledger.claim(job.id)
        await queue.ledger.transition(job.id, state)
    looked_for = []

    async def adopt(job):
        looked_for.append(job.id)

    async def deliver(job):
        pass

    monkeypatch.setattr(reporter._delivery, "adopt", adopt)
    monkeypatch.setattr(reporter._delivery, "deliver_if_unannounced", deliver)
    reporter.start()
    await reporter._recovery
    assert looked_for == [job.id]
