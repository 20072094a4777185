"""The ledger on real files: what is written stays, and terminal states stay what they are."""

import asyncio
import sqlite3

import pytest

from bot.jobs import COMES_FROM, TERMINAL, JobState, cost_key
from bot.queue.database import LedgerError
from bot.queue.ledger import Ledger
from bot.queue.limits import Limits
from bot.refusals import Refusal
from engine.prompts import parse_prompts
from tests.bot.conftest import row

PATHS = {
    JobState.QUEUED: (),
    JobState.RUNNING: (JobState.RUNNING,),
    JobState.RENDERED: (JobState.RUNNING, JobState.RENDERED),
    JobState.DELIVERED: (JobState.RUNNING, JobState.RENDERED, JobState.DELIVERED),
    JobState.CANCELLED: (JobState.CANCELLED,),
    JobState.FAILED: (JobState.FAILED,),
}


@pytest.mark.parametrize("target", [state for state in JobState if state is not JobState.QUEUED])
@pytest.mark.parametrize("source", JobState)
async def test_only_allowed_transitions_happen(ledger, ask, source, target):
    job, _ = await ledger.add(ask())
    for state in PATHS[source]:
        assert await ledger.transition(job.id, state)
    allowed = source in COMES_FROM[target]
    assert await ledger.transition(job.id, target) is allowed
    assert (await row(ledger, job.id)).state is (target if allowed else source)
    assert not (allowed and source in TERMINAL)


async def test_a_job_comes_back_as_it_was_added(ledger, ask):
    request = ask(notify=True, prompt="naïve 🍎 'quoted'; DROP TABLE jobs", guild_id=None)
    job, new = await ledger.add(request)
    assert new
    assert await row(ledger, job.id) == job
    assert (job.spec, job.prompt, job.notify, job.guild_id) == (request.spec, request.prompt, True, None)
    assert await ledger.job("nothing0") is None


async def test_an_interaction_is_added_once_even_at_the_same_moment(ledger, ask):
    request = ask()
    added = await asyncio.gather(*(ledger.add(request) for _ in range(10)))
    assert len({job.id for job, _ in added}) == 1
    assert sum(new for _, new in added) == 1


async def test_once_means_once_while_unfinished(ledger, ask):
    parent, _ = await ledger.add(ask())
    press = {"kind": "rerun", "parent_id": parent.id, "once": True}
    first, _ = await ledger.add(ask(**press))
    assert await ledger.add(ask(**press)) == (first, False)
    assert (await ledger.add(ask(user_id=2, **press)))[1]
    await ledger.transition(first.id, JobState.CANCELLED)
    assert (await ledger.add(ask(**press)))[1]


async def test_one_claim_of_many_wins(tmp_path, ask):
    ledgers = [await Ledger.open(tmp_path / "ledger.sqlite3") for _ in range(4)]
    job, _ = await ledgers[0].add(ask())
    claims = await asyncio.gather(*(ledger.claim(job.id) for ledger in ledgers for _ in range(5)))
    assert sum(claims) == 1
    assert (await row(ledgers[0], job.id)).attempts == 1
    assert await ledgers[0].served() == {1: 1}
    for ledger in ledgers:
        await ledger.close()


async def test_turns_count_up_whatever_the_clock_says(tmp_path, ask):
    ledger = await Ledger.open(tmp_path / "ledger.sqlite3")
    ledger._clock = iter([9e9, 5.0, 1e9, 2.0, 3.0, 4.0]).__next__
    jobs = [(await ledger.add(ask(user_id=user)))[0] for user in (1, 2)]
    for job in jobs:
        await ledger.claim(job.id)
    assert await ledger.served() == {1: 1, 2: 2}
    await ledger.close()


async def test_progress_forgives_earlier_starts(ledger, ask):
    job, _ = await ledger.add(ask())
    await ledger.claim(job.id)
    await ledger.note_start(job.id)
    assert (await row(ledger, job.id)).crashes == 2
    await ledger.note_progress(job.id, 40, attempt=2)
    await ledger.note_start(job.id)
    resumed = await row(ledger, job.id)
    assert (resumed.attempts, resumed.crashes, resumed.step) == (3, 1, 40)


async def test_an_earlier_start_has_nothing_to_say_any_more(ledger, ask):
    job, _ = await ledger.add(ask())
    await ledger.claim(job.id)
    await ledger.note_start(job.id)
    assert not await ledger.is_current(job.id, 1)
    await ledger.note_progress(job.id, 40, attempt=1)
    await ledger.note_smaller(job.id, 48, 32, ("late",), attempt=1)
    for state in (JobState.RENDERED, JobState.FAILED, JobState.CANCELLED):
        assert not await ledger.transition(job.id, state, attempt=1)
    now = await row(ledger, job.id)
    assert (now.state, now.step, now.spec, now.notices) == (JobState.RUNNING, 0, job.spec, ())
    assert await ledger.is_current(job.id, 2)
    assert await ledger.transition(job.id, JobState.RENDERED, attempt=2)


async def test_a_job_may_have_several_messages(ledger, ask):
    job, _ = await ledger.add(ask())
    await ledger.attach_message(job.id, 6, 100)
    await ledger.attach_message(job.id, 7, 101, current=False)
    for message in (100, 101):
        assert (await ledger.by_message(message)).id == job.id
    assert (await row(ledger, job.id)).message_id == 100
    assert await ledger.by_message(102) is None


async def test_ends_that_nobody_has_seen_are_listed_until_announced(ledger, ask):
    jobs = [(await ledger.add(ask()))[0] for _ in range(4)]
    await ledger.transition(jobs[0].id, JobState.FAILED, error="No.")
    await ledger.transition(jobs[1].id, JobState.CANCELLED)
    await ledger.claim(jobs[2].id)
    await ledger.transition(jobs[2].id, JobState.RENDERED, seconds=2.5, step=6, notices=["Words were cut off."])
    unannounced = await ledger.unannounced()
    assert [job.id for job in unannounced] == [job.id for job in jobs[:3]]
    assert (unannounced[0].error, unannounced[2].seconds, unannounced[2].notices) == (
        "No.",
        2.5,
        ("Words were cut off.",),
    )
    for job in jobs:
        await ledger.mark_announced(job.id)
        await ledger.transition(job.id, JobState.DELIVERED)
    assert await ledger.unannounced() == []
    assert (await ledger.counts())[JobState.QUEUED] == 1


async def test_steering_stops_with_the_painting(ledger, ask):
    job, _ = await ledger.add(ask())
    prompts = parse_prompts("a green apple")
    assert (await ledger.note_steer(job.id, prompts, "a green apple")).prompts == prompts
    assert (await row(ledger, job.id)).prompt == "a green apple"
    await ledger.transition(job.id, JobState.CANCELLED)
    assert await ledger.note_steer(job.id, prompts, "later") is None


async def test_counting_the_unfinished(ledger, ask):
    for user, guild in ((1, 5), (1, 8), (2, 5), (2, None)):
        last, _ = await ledger.add(ask(user_id=user, guild_id=guild))
    await ledger.transition(last.id, JobState.CANCELLED)
    assert (await ledger.unfinished(), await ledger.unfinished(user_id=1), await ledger.unfinished(guild_id=5)) == (
        3,
        2,
        2,
    )


async def test_history_is_ones_own_newest_first(ledger, ask):
    jobs = [(await ledger.add(ask(user_id=user)))[0].id for user in (1, 2, 1, 1)]
    assert [job.id for job in await ledger.history(1, limit=2)] == [jobs[3], jobs[2]]
    assert [job.id for job in await ledger.history(1, limit=2, offset=2)] == [jobs[0]]


async def test_looking_whether_it_can_be_written_leaves_nothing_behind(ledger):
    await ledger.check_writable()
    assert await ledger.served() == {}


async def test_a_failed_transaction_leaves_nothing(ledger, ask):
    job, _ = await ledger.add(ask())

    async def half():
        async with ledger.database.transaction():
            await ledger.database.read("UPDATE jobs SET prompt = 'other' WHERE id = ?", (job.id,))
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        await half()
    assert (await row(ledger, job.id)).prompt == job.prompt
    assert await ledger.transition(job.id, JobState.RUNNING)


async def test_every_commit_is_synced(ledger):
    assert [tuple(row) for row in await ledger.database.read("PRAGMA synchronous")] == [(2,)]
    assert [tuple(row) for row in await ledger.database.read("PRAGMA journal_mode")] == [("wal",)]


@pytest.mark.parametrize("damage", ["header", "middle"])
async def test_a_damaged_ledger_is_moved_aside(tmp_path, ask, caplog, damage):
    path = tmp_path / "ledger.sqlite3"
    ledger = await Ledger.open(path)
    for _ in range(200):
        await ledger.add(ask())
    await ledger.close()
    content = bytearray(path.read_bytes())
    start = 0 if damage == "header" else len(content) // 2
    content[start : start + 9000] = b"\xa5" * 9000
    path.write_bytes(content)
    ledger = await Ledger.open(path)
    assert await ledger.unfinished() == 0
    await ledger.close()
    aside = [file for file in tmp_path.iterdir() if "damaged" in file.name]
    assert aside[0].read_bytes() == bytes(content)
    assert "moved to" in caplog.text


async def test_a_ledger_of_a_later_version_is_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerError, match="later version"):
        await Ledger.open(path)


async def test_what_another_version_wrote_is_failed_and_left_out(ledger, ask):
    job, _ = await ledger.add(ask())
    other, _ = await ledger.add(ask())
    await ledger.database.write("UPDATE jobs SET spec = '{\"version\": 2}' WHERE id = ?", (job.id,))
    await ledger.fail_unreadable()
    assert await ledger.job(job.id) is None
    assert [job.id for job in await ledger.history(1)] == [other.id]
    assert [waiting.job_id for waiting in await ledger.waiting()] == [other.id]
    assert (await ledger.counts())[JobState.FAILED] == 1
    ((said,),) = await ledger.database.read("SELECT error FROM jobs WHERE id = ?", (job.id,))
    assert "please ask again" in said


async def test_an_orderly_end_is_held_against_nobody(ledger, ask):
    job, _ = await ledger.add(ask())
    await ledger.claim(job.id)
    await ledger.note_orderly_end()
    assert (await row(ledger, job.id)).crashes == 0


async def test_old_jobs_are_deleted_and_nothing_else(ledger, ask):
    now = 100.0
    ledger._clock = lambda: now
    parent, child, recent, waiting, unannounced, shown = [(await ledger.add(ask()))[0] for _ in range(6)]
    await ledger.database.write("UPDATE jobs SET parent_id = ? WHERE id = ?", (parent.id, recent.id))
    await ledger.attach_message(parent.id, 6, 100)
    for job in (parent, child, shown, unannounced, recent):
        now = 900.0 if job is recent else 100.0
        for state in (JobState.RUNNING, JobState.RENDERED, *(() if job is unannounced else (JobState.DELIVERED,))):
            assert await ledger.transition(job.id, state)
    assert await ledger.delete_before(500.0, kept=[shown.id]) == 2
    left = [job.id for job in await ledger.history(1)]
    assert sorted(left) == sorted(job.id for job in (recent, waiting, unannounced, shown))
    assert (await row(ledger, recent.id)).parent_id is None
    assert await ledger.by_message(100) is None
    assert await ledger.delete_before(500.0, kept=[]) == 1


async def test_the_table_of_step_times_is_bounded(ledger):
    for number in range(300):
        await ledger.note_step_time(f"embedded {number}x32 ViT 4", 1.0)
    times = await ledger.step_times()
    assert len(times) == 256
    assert "embedded 299x32 ViT 4" in times
    assert "embedded 43x32 ViT 4" not in times


async def test_what_two_people_sent_stays_until_both_have_deleted_it(ledger, ask, spec):
    data = ledger.personal_data
    for user in (1, 2):
        await data.note_upload("inputs/a.png", user, 100)
    assert await data.uploaded(1) == (100, 100)
    mine, _ = await ledger.add(ask(user_id=1, spec=spec.but(init_image="inputs/a.png")))
    assert await data.release(["inputs/a.png"], 1) == ()  # a job of theirs needs it
    assert (await data.uploaded(1))[0] == 100
    erased = await data.erase(mine.id)
    assert erased.inputs == ()
    assert await data.uploaded(1) == (0, 100)
    assert await data.release(["inputs/a.png"], 2) == ("inputs/a.png",)
    assert await data.uploaded(2) == (0, 0)


async def test_once_is_asked_of_each_picture_of_several(ledger, ask, spec):
    parent, _ = await ledger.add(ask())
    press = {"kind": "vary", "parent_id": parent.id, "once": True}
    starts = [{"init_image": "pictures/a.png"}, {"init_image": "pictures/b.png"}, {"init_latent": "latents/a.st"}, {}]
    jobs = [(await ledger.add(ask(spec=spec.but(**start), **press)))[0] for start in starts]
    assert len({job.id for job in jobs}) == 4
    for start, job in zip(starts, jobs, strict=True):
        assert await ledger.add(ask(spec=spec.but(**start), **press)) == (job, False)
    assert (await ledger.add(ask(kind="refine", parent_id=parent.id, once=True)))[1]
    assert (await ledger.add(ask(kind="vary", once=True)))[1]


async def test_each_state_has_its_moment(ledger, ask):
    now = 10.0
    ledger._clock = lambda: now
    jobs = {}
    for end in (JobState.DELIVERED, JobState.CANCELLED, JobState.FAILED):
        job, _ = await ledger.add(ask())
        for number, state in enumerate(PATHS[end]):
            now = 20.0 + 10 * number
            assert await ledger.transition(job.id, state)
        jobs[end] = await row(ledger, job.id)
        now = 10.0
    moments = {end: (job.created_at, job.started_at, job.finished_at, job.delivered_at) for end, job in jobs.items()}
    assert moments == {
        JobState.DELIVERED: (10.0, 20.0, 30.0, 40.0),
        JobState.CANCELLED: (10.0, None, 20.0, None),
        JobState.FAILED: (10.0, None, 20.0, None),
    }
    now = 50.0
    for job in jobs.values():
        await ledger.mark_announced(job.id)
    assert [(await row(ledger, job.id)).delivered_at for job in jobs.values()] == [40.0, 50.0, 50.0]


async def test_what_is_noted_of_an_end_stays_where_nothing_else_is_said(ledger, ask):
    job, _ = await ledger.add(ask(notices=("first",)))
    await ledger.claim(job.id)
    await ledger.note_progress(job.id, 3, 1)
    await ledger.transition(job.id, JobState.RENDERED)
    now = await row(ledger, job.id)
    assert (now.step, now.seconds, now.notices, now.error) == (3, None, ("first",), None)


async def test_a_result_and_a_device_are_noted_of_what_is_being_painted_by_its_latest_start(ledger, ask):
    job, _ = await ledger.add(ask())
    await ledger.note_device(job.id, "too early", ("no",))
    await ledger.note_result(job.id, 6, 2.5, ("no",), 0)
    assert await row(ledger, job.id) == job
    await ledger.claim(job.id)
    await ledger.note_device(job.id, "a chip", ("on another device",))
    await ledger.note_start(job.id)
    await ledger.note_result(job.id, 6, 2.5, ("late",), 1)
    now = await row(ledger, job.id)
    assert (now.device, now.notices, now.step, now.seconds) == ("a chip", ("on another device",), 0, None)
    await ledger.note_result(job.id, 6, 2.5, ("done",), 2)
    now = await row(ledger, job.id)
    assert (now.state, now.notices, now.step, now.seconds) == (JobState.RUNNING, ("done",), 6, 2.5)


async def test_a_smaller_size_begins_anew_at_another_cost(ledger, ask, spec):
    job, _ = await ledger.add(ask(spec=spec.but(width=128, height=96)))
    await ledger.claim(job.id)
    await ledger.note_progress(job.id, 3, 1)
    await ledger.note_smaller(job.id, 96, 64, ("Memory ran short.",), 1)
    now = await row(ledger, job.id)
    assert (now.spec, now.step, now.notices) == (spec.but(width=96, height=64), 0, ("Memory ran short.",))
    ((key,),) = await ledger.database.read("SELECT cost_key FROM jobs WHERE id = ?", (job.id,))
    assert key == cost_key(now.spec)


async def test_requests_count_for_a_day(ledger, ask):
    now = 1e6
    ledger._clock = lambda: now
    for at in (1e6, 1e6 + 86_400, 1e6 + 86_401):
        now = at
        await ledger.add(ask())
    rows = await ledger.database.read("SELECT user_id, at FROM asked ORDER BY at")
    assert [tuple(one) for one in rows] == [(1, 1e6 + 86_400), (1, 1e6 + 86_401)]


async def test_a_day_ago_to_the_second_is_today(ledger, ask):
    now = 1e6
    ledger._clock = lambda: now
    await ledger.add(ask())
    now += 86_400
    await ledger.add(ask())
    assert len(await ledger.database.read("SELECT * FROM asked")) == 2


async def test_whoever_is_served_again_goes_to_the_end(ledger, ask):
    jobs = [(await ledger.add(ask(user_id=user)))[0] for user in (1, 2, 1)]
    for job in jobs:
        assert await ledger.claim(job.id)
    assert await ledger.served() == {1: 3, 2: 2}
    assert not await ledger.claim(jobs[0].id)
    assert await ledger.served() == {1: 3, 2: 2}


async def test_a_message_shows_the_job_that_it_was_first_said_to_show(ledger, ask):
    first, second = [(await ledger.add(ask()))[0] for _ in range(2)]
    await ledger.attach_message(first.id, 6, 100)
    await ledger.attach_message(second.id, 6, 100)
    assert (await ledger.by_message(100)).id == first.id


async def test_a_limit_refuses_a_new_job_and_none_that_is_there(ledger, ask):
    limits = Limits(per_user=1, per_guild=9, total=9, cooldown_seconds=0.0, per_day=None)
    request = ask()
    job, _ = await ledger.add(request, limits)
    assert await ledger.add(request, limits) == (job, False)
    with pytest.raises(Refusal, match="1 of 1 painting under way"):
        await ledger.add(ask(), limits)
    guild = Limits(per_user=9, per_guild=1, total=9, cooldown_seconds=0.0, per_day=None)
    with pytest.raises(Refusal, match="This server has 1 of 1"):
        await ledger.add(ask(user_id=2), guild)
    assert (await ledger.add(ask(user_id=2, guild_id=None), guild))[1]


async def test_specs_are_looked_through_once_by_each_version(ledger, ask):
    spoil = "UPDATE jobs SET spec = '{\"version\": 2}' WHERE id = ?"
    for state in (JobState.FAILED, JobState.QUEUED):
        job, _ = await ledger.add(ask())
        await ledger.database.write(spoil, (job.id,))
        await ledger.fail_unreadable()
        rows = await ledger.database.read("SELECT state FROM jobs WHERE id = ?", (job.id,))
        assert rows[0][0] == state
    await ledger.database.write("UPDATE notes SET value = 'older' WHERE name = 'specs'")
    await ledger.fail_unreadable()
    assert (await ledger.counts())[JobState.FAILED] == 2


async def test_the_latest_step_times_are_kept_and_the_last_said_holds(ledger):
    for seconds in (1.0, 2.0):
        await ledger.note_step_time("embedded 32x32 embedded 2", seconds)
    assert await ledger.step_times() == {"embedded 32x32 embedded 2": 2.0}
