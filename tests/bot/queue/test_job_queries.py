"""What the ledger answers about jobs: those that were asked for, in order, and no others."""

import math

import pytest

from bot.jobs import JobState, Requester
from bot.queue.limits import DAY_SECONDS
from bot.queue.preferences import Preferences
from tests.bot.conftest import row

MEMBER = Requester(1, 5, 6)


@pytest.fixture
def add(ledger, ask):
    """Add a job and bring it into a state."""
    ways = {
        JobState.QUEUED: (),
        JobState.RUNNING: (JobState.RUNNING,),
        JobState.RENDERED: (JobState.RUNNING, JobState.RENDERED),
        JobState.DELIVERED: (JobState.RUNNING, JobState.RENDERED, JobState.DELIVERED),
        JobState.CANCELLED: (JobState.CANCELLED,),
        JobState.FAILED: (JobState.RUNNING, JobState.FAILED),
    }

    async def added(state=JobState.QUEUED, **changes):
        job, _ = await ledger.add(ask(**changes))
        for step in ways[state]:
            await ledger.transition(job.id, step)
        return await row(ledger, job.id)

    return added


async def ids(jobs):
    return [job.id for job in await jobs]


async def test_a_job_is_found_by_its_interaction_and_each_of_its_messages(ledger, add):
    job, other = await add(interaction_id=42), await add()
    await ledger.attach_message(job.id, 6, 100)
    await ledger.attach_message(job.id, 7, 101, current=False)
    assert [(await ledger.by_message(number)).id for number in (100, 101)] == [job.id] * 2
    assert await ledger.by_message(102) is None
    assert (await ledger.by_interaction(42)).id == job.id
    assert await ledger.by_interaction(43) is None
    shown = [await ledger.is_shown_in(one.id, channel) for one in (job, other) for channel in (6, 7, 8)]
    assert shown == [True, True, False, False, False, False]


async def test_what_waits_is_listed_oldest_first_of_one_server_or_of_all(ledger, add):
    first, second = await add(guild_id=5), await add(guild_id=6, user_id=2, kind="timelapse")
    third = await add(guild_id=None)
    await add(JobState.RUNNING)
    assert await ids(ledger.queued()) == [first.id, second.id, third.id]
    assert await ids(ledger.queued(6)) == [second.id]
    waiting = await ledger.waiting()
    assert [(one.job_id, one.user_id, one.guild_id, one.kind) for one in waiting] == [
        (first.id, 1, 5, "imagine"),
        (second.id, 2, 6, "timelapse"),
        (third.id, 1, None, "imagine"),
    ]
    assert waiting[0].steps == first.spec.steps


async def test_each_state_is_counted_and_listed(ledger, add):
    jobs = {state: await add(state) for state in JobState}
    assert await ledger.counts() == dict.fromkeys(JobState, 1)
    for state, job in jobs.items():
        assert await ids(ledger.in_state(state)) == [job.id]
    assert await ids(ledger.in_state(JobState.QUEUED, JobState.FAILED)) == [
        jobs[JobState.QUEUED].id,
        jobs[JobState.FAILED].id,
    ]
    assert await ledger.unfinished() == 2


async def test_what_ended_is_unannounced_until_its_channel_shows_it(ledger, add):
    ended = [await add(state) for state in (JobState.RENDERED, JobState.CANCELLED, JobState.FAILED)]
    for state in (JobState.QUEUED, JobState.RUNNING, JobState.DELIVERED):
        await add(state)
    assert await ids(ledger.unannounced()) == [job.id for job in ended]
    await ledger.mark_announced(ended[1].id)
    await ledger.transition(ended[0].id, JobState.DELIVERED)
    assert await ids(ledger.unannounced()) == [ended[2].id]


async def test_history_is_ones_own_newest_first_a_page_at_a_time(ledger, add):
    mine = [(await add()).id for _ in range(4)]
    await add(user_id=2)
    assert await ids(ledger.history(1)) == mine[::-1]
    assert await ids(ledger.history(1, 2)) == mine[:1:-1]
    assert await ids(ledger.history(1, 2, 3)) == mine[:1]
    await ledger.personal_data.erase(mine[3])
    assert await ids(ledger.history(1)) == mine[2::-1]


async def test_a_film_is_found_while_it_is_there(ledger, add):
    parent = await add(JobState.DELIVERED)
    assert await ledger.film_of(parent.id) is None
    await add(JobState.FAILED, kind="timelapse", parent_id=parent.id)
    await add(JobState.DELIVERED, kind="rerun", parent_id=parent.id)
    assert await ledger.film_of(parent.id) is None
    films = [await add(JobState.RENDERED, kind="timelapse", parent_id=parent.id) for _ in range(2)]
    assert (await ledger.film_of(parent.id)).id == films[1].id
    await ledger.personal_data.erase(films[1].id)
    assert (await ledger.film_of(parent.id)).id == films[0].id


async def test_owners_are_those_who_asked(ledger, add):
    mine, theirs = await add(), await add(user_id=2)
    assert await ledger.owners() == {mine.id: 1, theirs.id: 2}


async def test_usage_counts_what_each_limit_is_about(ledger, add):
    now = [1e6]
    ledger._clock = lambda: now[0]
    for changes in ({}, {"guild_id": 6}, {"user_id": 2}, {"user_id": 2, "guild_id": None}):
        await add(**changes)
    await add(JobState.CANCELLED)
    used = await ledger.usage(MEMBER)
    assert (used.of_user, used.of_guild, used.in_all, used.groups) == (2, 2, 4, 3)
    in_private = await ledger.usage(Requester(1, None, 9))
    assert (in_private.of_user, in_private.of_guild, in_private.groups) == (2, 0, 4)
    assert (await ledger.usage(Requester(2, None, 9))).of_guild == 1
    assert (await ledger.usage(Requester(3, 7, 9))).groups == 4
    await Preferences(ledger.database).change_guild(5, paused=True)
    paused = await ledger.usage(MEMBER)
    assert (paused.in_all, paused.groups) == (2, 2)


async def test_a_day_is_a_day_from_the_first_request_on(ledger, add):
    now = [1e6]
    ledger._clock = lambda: now[0]
    nothing = await ledger.usage(MEMBER)
    assert (nothing.today, nothing.since_last, nothing.day_resets_in) == (0, math.inf, 0.0)
    for seconds in (0, 100, 200):
        now[0] = 1e6 + seconds
        await add()
    now[0] = 1e6 + 250
    used = await ledger.usage(MEMBER)
    assert (used.today, used.since_last, used.day_resets_in) == (3, 50.0, DAY_SECONDS - 250)
    assert (await ledger.usage(Requester(2, 5, 6))).today == 0
    now[0] = 1e6 + DAY_SECONDS + 100
    assert (await ledger.usage(MEMBER)).today == 1


async def test_one_start_is_the_current_one(ledger, add):
    job = await add(JobState.RUNNING)
    assert await ledger.is_current(job.id, job.attempts)
    assert not await ledger.is_current(job.id, job.attempts + 1)
    await ledger.transition(job.id, JobState.RENDERED)
    assert not await ledger.is_current(job.id, job.attempts)


async def test_a_job_of_another_version_is_left_out_of_every_list(ledger, add):
    kept, strange = await add(), await add()
    await ledger.database.write("UPDATE jobs SET spec = '{\"version\": 99}' WHERE id = ?", (strange.id,))
    assert await ids(ledger.queued()) == [kept.id]
    assert await ledger.job(strange.id) is None


async def test_each_kind_of_painting_has_the_pace_that_was_measured_last(ledger):
    for key, seconds in (("small", 1.0), ("large", 4.0), ("small", 2.0)):
        await ledger.note_step_time(key, seconds)
    assert await ledger.step_times() == {"small": 2.0, "large": 4.0}
