"""The messages of those who wait: which is edited, when, and what it says."""

import asyncio
import time

import pytest

from bot.chat.waiting import _Shown
from bot.jobs import cost_key
from bot.queue.scheduler import Estimate
from bot.worker.events import Failed, Progress, Started
from tests.bot.chat.fake_discord import CHANNEL, GUILD, refusal
from tests.bot.conftest import row


@pytest.fixture
def line(queue, ask, spec):
    """Let so many jobs wait, each with a message of its own; their pace is a minute each."""

    async def add(count, **changes):
        await queue.ledger.note_step_time(cost_key(spec), 10.0)
        jobs = []
        for number in range(count):
            job, _ = await queue.ledger.add(ask(**changes))
            await queue.attach_message(job.id, job.channel_id, 100 * (1 + len(jobs)) + number)
            jobs.append(await row(queue.ledger, job.id))
        return jobs

    return add


def status(world):
    return " ".join(part.content for part in world.last("edit")["view"].walk_children() if hasattr(part, "content"))


async def test_the_first_message_says_the_place_and_when_it_starts(waiting, line):
    first, _second, third = await line(3)
    assert "mixing the paint" in (await waiting.first_content(first)).status
    body = await waiting.first_content(third)
    assert "Number 3 in line, starts <t:" in body.status
    stamp = int(body.status.partition("<t:")[2].partition(":")[0])
    assert stamp == pytest.approx(time.time() + 120, abs=5)


async def test_where_painting_is_paused_it_waits_and_says_so(waiting, line, queue):
    (job,) = await line(1)
    await queue.change_guild(GUILD, paused=True)
    assert "Painting is paused here" in (await waiting.first_content(job)).status


async def test_a_place_that_changed_is_edited_and_one_that_did_not_is_not(waiting, line, world, queue, pace):
    first, second, third = await line(3)
    for job in (first, second, third):
        await waiting.first_content(job)
    assert not await waiting._update()
    assert world.tried == []
    await queue.cancel(second.id)
    assert await waiting._update()
    assert world.last("edit")["message"] == third.message_id
    assert world.guilds == {CHANNEL: GUILD}
    assert "Number 2 in line" in status(world)
    assert pace.wait(CHANNEL) == 3.0
    assert not await waiting._update()


async def test_the_most_outdated_of_a_channel_comes_first_and_each_channel_has_its_own(waiting, line, world, queue):
    jobs = await line(3)
    (other,) = await line(1, channel_id=66)
    for job in (*jobs, other):
        waiting._shown[job.id] = _Shown(9, None)
    waiting._shown[jobs[2].id] = _Shown(99, None)
    assert await waiting._update()
    edited = [arguments["message"] for _, arguments in world.done]
    assert edited == [jobs[2].message_id, other.message_id]


async def test_nothing_is_edited_while_a_refusal_is_waited_out(waiting, line, world, pace):
    await line(2)
    pace.refused(CHANNEL)
    assert await waiting._update()
    assert world.tried == []


@pytest.mark.parametrize("status", [503, 429])
async def test_what_may_pass_slows_the_channel_down_and_is_tried_again(waiting, line, world, pace, status):
    (job,) = await line(1)
    world.refusals["edit"] = [refusal(status)]
    await waiting._update()
    assert pace.wait(CHANNEL) == 6.0
    pace.forget(CHANNEL)
    await waiting._update()
    assert world.last("edit")["message"] == job.message_id


@pytest.mark.parametrize("status", [403, 404, 400])
async def test_a_message_that_can_never_be_edited_is_let_alone(waiting, line, world, pace, status):
    await line(1)
    world.refusals["edit"] = [refusal(status)]
    await waiting._update()
    assert not await waiting._update()
    assert world.tried == ["edit"]
    assert pace.wait(CHANNEL) == 0.0


async def test_only_the_nearest_are_kept_informed(waiting, line, world):
    jobs = await line(27)
    for _ in jobs:
        await waiting._update()
    edited = {arguments["message"] for _, arguments in world.done}
    assert edited == {job.message_id for job in jobs[:25]}


async def test_who_has_begun_or_has_no_message_is_not_edited(waiting, line, world, queue, ask):
    (job,) = await line(1)
    await queue.ledger.claim(job.id)
    await queue.ledger.add(ask())
    assert not await waiting._update()
    assert world.tried == []


async def test_leaving_waits_for_an_edit_under_way(waiting, line, world, monkeypatch):
    (job,) = await line(1)
    opened = asyncio.Event()
    take = world.take

    async def slow(name, **arguments):
        await opened.wait()
        await take(name, **arguments)

    monkeypatch.setattr(world, "take", slow)
    updating = asyncio.create_task(waiting._update())
    await asyncio.sleep(0.05)
    leaving = asyncio.create_task(waiting.leave(job.id))
    await waiting.leave("another2")
    await asyncio.sleep(0.05)
    assert not leaving.done()
    opened.set()
    await updating
    await leaving
    assert world.names() == ["edit"]


async def test_a_first_message_on_its_way_is_waited_for(waiting):
    await waiting.posted("abcdefgh")
    with waiting.posting("abcdefgh"):
        assert waiting.is_posting("abcdefgh")
        assert not waiting.is_posting("another2")
        late = asyncio.create_task(waiting.posted("abcdefgh"))
        await asyncio.sleep(0.02)
        assert not late.done()
    await asyncio.wait_for(late, 5)
    assert not waiting.is_posting("abcdefgh")


async def test_what_begins_or_ends_is_news_and_progress_is_none(waiting):
    shown_as = []
    for event in (Progress("a", 1, 2, 1.0, 1.0, 0.5), Started("a", 0, 2), Failed("a", "No.")):
        waiting._changed.clear()
        waiting._on_event(event)
        shown_as.append(waiting._changed.is_set())
    assert shown_as == [False, True, True]


async def test_what_starts_in_a_moment_or_at_no_known_time(waiting, line):
    (job,) = await line(1)
    assert await waiting._current(job, None) == _Shown(0, None)
    assert await waiting._current(job, Estimate(1, 0, 5.0)) == _Shown(0, None)
    assert await waiting._current(job, Estimate(2, None, None)) == _Shown(2, None)
