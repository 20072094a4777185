"""What painters say, written down: in order, whole, and by the job's latest start only."""

import asyncio

import pytest

from bot.background import spawn
from bot.jobs import JobState, cost_key
from bot.queue.event_writer import EventWriter
from bot.worker.events import (
    Checkpoint,
    Checkpointed,
    Failed,
    Frame,
    Painted,
    Progress,
    Rendered,
    Shrunk,
    Started,
    Stopped,
)
from tests.bot.conftest import row


@pytest.fixture
async def writer(ledger, files, settings):
    published = []
    writer = EventWriter(ledger, files, published.append, spawn)
    writer.published = published  # type: ignore[attr-defined]
    return writer


@pytest.fixture
async def job(ledger, ask):
    job, _ = await ledger.add(ask())
    await ledger.claim(job.id)
    return await row(ledger, job.id)


def painted(job):
    return Painted(job.id, (b"a picture",), (b"a latent",), 2.0, 6, ("a notice",))


async def test_bytes_are_in_their_files_before_the_event_is_published(writer, ledger, files, job):
    seen = []
    writer._publish = lambda event: seen.append((event, {path.name for path in files.folder.rglob("*.*") if path.stem}))
    writer.put(Frame(job.id, 1, b"a frame"), 1)
    writer.put(Checkpoint(job.id, 3, b"a state"), 1)
    writer.put(painted(job), 1)
    await writer.idle()
    (checkpointed, then), (rendered, at_the_end) = seen
    assert checkpointed == Checkpointed(job.id, 3)
    assert {f"{job.id}.pt", "000001.jpg"} <= then
    assert rendered == Rendered(job.id, files.result_path(job), 2.0, 6, ("a notice",))
    assert {f"{job.id}.png", f"{job.id}.safetensors"} <= at_the_end
    ended = await row(ledger, job.id)
    assert (ended.state, ended.step, ended.seconds, ended.notices) == (JobState.RENDERED, 6, 2.0, ("a notice",))
    assert files.result_path(job).read_bytes() == b"a picture"
    assert files.latent_path(job.id).read_bytes() == b"a latent"
    await until_gone(files.checkpoint_path(job.id))


async def until_gone(path):
    async with asyncio.timeout(10):
        while path.exists():  # noqa: ASYNC110, a file has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", [painted, lambda job: Failed(job.id, "Too late."), lambda job: Stopped(job.id)])
async def test_an_earlier_start_has_nothing_to_say_any_more(writer, ledger, files, job, end):
    """A painter that was given up, cut off by its network, speaks again."""
    writer.put(Checkpoint(job.id, 3, b"of the first start"), 1)
    await writer.idle()
    await ledger.note_start(job.id)
    writer.published.clear()
    for event in (
        Started(job.id, 0, 6),
        Progress(job.id, 4, 6, 1.0, 2.0, 0.5, b"a preview"),
        Frame(job.id, 1, b"a frame"),
        Shrunk(job.id, 48, 32, ("smaller",)),
        Checkpoint(job.id, 5, b"late"),
        end(job),
    ):
        writer.put(event, 1)
    await writer.idle()
    await asyncio.sleep(0.05)  # were anything cleared up, it would be by now
    assert writer.published == []
    assert writer.progress == {}
    assert files.checkpoint(job.id) == b"of the first start"
    assert not files.frames(job.id)
    assert not files.result_path(job).exists()
    now = await row(ledger, job.id)
    assert (now.state, now.step, now.spec) == (JobState.RUNNING, 3, job.spec)


async def test_what_was_called_off_leaves_nothing(writer, ledger, files, job):
    writer.put(Checkpoint(job.id, 3, b"a state"), 1)
    await writer.idle()
    assert await writer.end(Stopped(job.id))
    assert not await writer.end(Stopped(job.id))
    writer.put(painted(job), 1)
    await writer.idle()
    await until_gone(files.checkpoint_path(job.id))
    assert not files.result_path(job).exists()
    assert (await row(ledger, job.id)).state is JobState.CANCELLED
    assert [type(event) for event in writer.published] == [Checkpointed, Stopped]


async def test_of_checkpoints_that_wait_only_the_latest_is_kept(writer, files, job):
    for step in (1, 2, 3, 4):
        writer.put(Checkpoint(job.id, step, b"%d" % step), 1)
    await writer.idle()
    assert [event.step for event in writer.published] == [1, 4]
    assert files.checkpoint(job.id) == b"4"


async def test_a_painting_that_became_smaller_is_smaller_for_everybody(writer, ledger, job):
    writer.put(Shrunk(job.id, 48, 32, ("Memory ran short.",)), 1)
    await writer.idle()
    now = await row(ledger, job.id)
    assert (now.spec.width, now.spec.height, now.notices, now.step) == (48, 32, ("Memory ran short.",), 0)
    assert writer.published == [Shrunk(job.id, 48, 32, ("Memory ran short.",))]


@pytest.mark.parametrize("end", [painted, lambda job: Failed(job.id, "No."), lambda job: Stopped(job.id)])
async def test_what_has_ended_makes_no_progress_any_more(writer, job, end):
    progress = Progress(job.id, 4, 6, 1.0, 2.0, 0.5)
    writer.put(progress, 1)
    await writer.idle()
    assert writer.progress == {job.id: progress}
    writer.put(end(job), 1)
    await writer.idle()
    assert writer.progress == {}


async def test_the_pace_of_a_painting_is_remembered_for_the_next_like_it(writer, ledger, job):
    writer.put(painted(job), 1)
    await writer.idle()
    async with asyncio.timeout(10):
        while not (times := await ledger.step_times()):  # noqa: ASYNC110, the ledger has no event
            await asyncio.sleep(0.01)
    assert times == {cost_key(job.spec): pytest.approx(2.0 / 6)}


@pytest.mark.parametrize("end", [lambda job: Failed(job.id, "No."), lambda job: Stopped(job.id)])
async def test_a_painting_without_a_picture_leaves_no_files(writer, files, job, end):
    writer.put(Frame(job.id, 1, b"a frame"), 1)
    writer.put(Checkpoint(job.id, 3, b"a state"), 1)
    writer.put(end(job), 1)
    await writer.idle()
    await until_gone(files.checkpoint_path(job.id))
    await until_gone(files.frame_path(job.id, 1))


async def test_one_that_is_left_for_the_next_process_keeps_its_files(writer, ledger, files, job):
    writer.put(Checkpoint(job.id, 3, b"a state"), 1)
    writer.put(Stopped(job.id, back_soon=True), 1)
    await writer.idle()
    await asyncio.sleep(0.05)
    assert files.checkpoint(job.id) == b"a state"
    assert (await row(ledger, job.id)).state is JobState.RUNNING
    assert writer.published[-1] == Stopped(job.id, back_soon=True)
