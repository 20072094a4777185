"""Requests in, pictures out: the ledger, the thread and the engine together."""

import asyncio
import os
import sqlite3
import time

import pytest

from bot.jobs import JobState, Requester, rerun, vary
from bot.queue.files import StorageError
from bot.queue.ledger import Ledger
from bot.queue.preferences import WHOLE_PROCESS
from bot.queue.service import PaintingQueue
from bot.refusals import Refusal
from bot.worker.events import Checkpointed, Failed, Progress, Rendered, Started, Stopped
from engine.pictures import spec_of
from engine.prompts import Prompt, parse_prompts
from tests.bot.conftest import row, until
from tests.end_to_end.loop_watch import free


async def test_a_request_becomes_a_picture_that_carries_its_spec(open_queue, ask, spec):
    queue, audience = await open_queue()
    job = await queue.submit(ask(notify=True))
    assert job.state is JobState.QUEUED
    rendered = await audience.wait(job.id, Rendered)
    assert spec_of(rendered.picture) == spec
    assert isinstance(audience.events[0], Started)
    done = await row(queue.ledger, job.id)
    assert (done.state, done.step, done.notify) == (JobState.RENDERED, spec.steps, True)
    assert done.started_at
    assert done.finished_at
    assert done.started_at <= done.finished_at
    assert len(queue.files.frames(job.id)) == 4
    assert await queue.mark_delivered(job.id, 77)
    assert not await queue.mark_delivered(job.id, 77)
    assert (await queue.ledger.by_message(77)).state is JobState.DELIVERED


async def test_a_preview_comes_unasked_once_and_then_when_wanted(open_queue, ask, spec):
    queue, audience = await open_queue()
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    with_preview = lambda: [e for e in audience.of(job.id, Progress) if e.preview]  # noqa: E731
    await until(lambda: with_preview() and len(audience.of(job.id, Progress)) >= 4)
    assert len(with_preview()) == 1
    assert with_preview()[0].preview.startswith(b"\xff\xd8")
    queue.want_preview(job.id)
    await until(lambda: len(with_preview()) == 2)
    assert await queue.stop(job.id)
    rendered = await audience.wait(job.id, Rendered)
    assert 0 < rendered.step < 4000
    assert rendered.picture.is_file()


async def test_unknown_words_are_named_before_painting_and_once(open_queue, ask, spec):
    queue, audience = await open_queue()
    job = await queue.submit(ask(spec=spec.but(prompts=parse_prompts("a red apple in neon"))))
    assert [notice.partition(";")[0] for notice in job.notices] == ["These networks do not know “neon”"]
    rendered = await audience.wait(job.id, Rendered)
    assert rendered.notices == job.notices
    assert (await queue.submit(ask())).notices == ()


async def test_the_same_interaction_twice_is_one_job(open_queue, ask):
    queue, audience = await open_queue()
    request = ask()
    first, second = await asyncio.gather(queue.submit(request), queue.submit(request))
    assert first.id == second.id
    await audience.wait(first.id, Rendered)
    assert len(audience.of(first.id, Rendered)) == 1


async def test_a_group_that_a_kill_cut_short_becomes_whole_when_it_is_asked_for_again(open_queue, ask, spec):
    queue, _ = await open_queue()
    await queue.change_guild(WHOLE_PROCESS, paused=True)
    group = [ask(interaction_id=-100 - number, spec=spec.but(seed=number)) for number in range(3)]
    cut_short = [await queue.submit(group[0]), await queue.submit(group[1], in_group=True)]
    await queue.close()
    queue, _ = await open_queue()
    jobs = await queue.submit_group(group)
    assert [job.id for job in jobs[:2]] == [job.id for job in cut_short]
    assert [job.spec.seed for job in jobs] == [0, 1, 2]
    assert [job.id for job in await queue.submit_group(group)] == [job.id for job in jobs]
    assert len(await queue.ledger.queued()) == 3


async def test_users_take_turns(open_queue, ask, spec):
    queue, audience = await open_queue()
    await queue.change_guild(5, paused=True)
    short = spec.but(steps=1)
    users = [1, 1, 2, 3, 3, 1]
    jobs = [await queue.submit(ask(user_id=user, spec=short)) for user in users]
    assert [place.estimate.position for place in await queue.places()] == [1, 2, 3, 4, 5, 6]
    assert not audience.events
    await queue.change_guild(5, paused=False)
    for job in jobs:
        await audience.wait(job.id, Rendered)
    started = [event.job_id for event in audience.events if isinstance(event, Started)]
    assert started == [jobs[i].id for i in (0, 2, 3, 1, 4, 5)]


async def test_cancelling_a_waiting_and_a_running_job(open_queue, ask, spec):
    queue, audience = await open_queue()
    running = await queue.submit(ask(spec=spec.but(steps=4000)))
    waiting = await queue.submit(ask())
    await audience.wait(running.id, Progress)
    assert await queue.stop(waiting.id)
    assert await queue.cancel(running.id)
    assert not await queue.cancel(running.id)
    for job in (running, waiting):
        await audience.wait(job.id, Stopped)
        assert (await row(queue.ledger, job.id)).state is JobState.CANCELLED
    after = await queue.submit(ask())
    await audience.wait(after.id, Rendered)
    assert not queue.files.frames(running.id)
    assert not queue.files.checkpoint_path(running.id).exists()
    assert not queue.files.result_path(running).exists()


async def test_steering_changes_the_prompts_of_ledger_and_picture(open_queue, ask, spec):
    queue, audience = await open_queue()
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    await audience.wait(job.id, Progress)
    prompts = parse_prompts("a green apple::2 | fog")
    assert await queue.steer(job.id, prompts)
    seen = len(audience.of(job.id, Progress))
    await until(lambda: len(audience.of(job.id, Progress)) >= seen + 2)
    await queue.stop(job.id)
    rendered = await audience.wait(job.id, Rendered)
    assert spec_of(rendered.picture).prompts == prompts
    assert (await row(queue.ledger, job.id)).spec.prompts == prompts
    assert not await queue.steer(job.id, (Prompt(content="too late"),))


async def test_children_go_on_from_their_parent(open_queue, ask, spec):
    queue, audience = await open_queue()
    parent = await queue.submit(ask())
    await audience.wait(parent.id, Rendered)
    latent, picture = queue.files.latent_of(parent), queue.files.picture_of(parent)
    for kind, child in (("rerun", rerun(spec, 8)), ("vary", vary(spec, 9, latent, picture))):
        job = await queue.submit(ask(kind=kind, spec=child, parent_id=parent.id))
        rendered = await audience.wait(job.id, Rendered)
        assert rendered.picture.read_bytes() != queue.files.picture(parent).read_bytes()
    film = await queue.submit(ask(kind="timelapse", parent_id=parent.id, spec=spec))
    rendered = await audience.wait(film.id, Rendered)
    assert rendered.picture.read_bytes()[4:8] == b"ftyp"
    late = await queue.submit(ask(kind="timelapse", parent_id=film.id, spec=spec))
    assert "no longer kept" in (await audience.wait(late.id, Failed)).sentence


async def test_an_unknown_model_fails_in_one_sentence_and_the_next_job_is_painted(open_queue, ask, spec):
    queue, audience = await open_queue()
    bad, _ = await queue.ledger.add(ask(spec=spec.but(generator="no-such")))  # it was here when it was asked for
    good = await queue.submit(ask())
    failed = await audience.wait(bad.id, Failed)
    assert "no-such" in failed.sentence
    assert failed.sentence.count("\n") == 0
    await audience.wait(good.id, Rendered)
    assert (await row(queue.ledger, bad.id)).error == failed.sentence
    assert [job.id for job in await queue.ledger.unannounced()] == [bad.id, good.id]
    await queue.mark_delivered(bad.id)
    assert [job.id for job in await queue.ledger.unannounced()] == [good.id]


async def test_an_orderly_end_goes_on_where_it_stopped(open_queue, ask, spec):
    queue, audience = await open_queue()
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    await audience.wait(job.id, Progress)
    began = time.monotonic()
    await queue.close()
    assert time.monotonic() - began < 10
    assert (await audience.wait(job.id, Stopped)).back_soon
    queue, audience = await open_queue()
    resumed = (await audience.wait(job.id, Started)).step
    assert resumed >= 1
    assert await queue.stop(job.id)
    await audience.wait(job.id, Rendered)
    assert (await row(queue.ledger, job.id)).state is JobState.RENDERED
    await until(lambda: not queue.files.checkpoint_path(job.id).exists())


@pytest.mark.parametrize("moved", [False, True])
async def test_going_on_on_another_device_is_said(open_queue, ask, spec, moved):
    """Only equal devices paint equally, bit by bit."""
    queue, audience = await open_queue()
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    await audience.wait(job.id, Checkpointed)
    await queue.close()
    if moved:
        ledger = await Ledger.open(queue.files.ledger)
        await ledger.database.write("UPDATE jobs SET device = 'a GPU of another kind'")
        await ledger.close()
    queue, audience = await open_queue()
    assert (await audience.wait(job.id, Started)).step > 0
    assert await queue.stop(job.id)
    notices = (await audience.wait(job.id, Rendered)).notices
    assert any("another device" in notice for notice in notices) is moved


async def test_a_stop_right_after_a_restart_keeps_the_picture_so_far(open_queue, ask, spec):
    queue, audience = await open_queue()
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    await audience.wait(job.id, Progress)
    await queue.close()
    queue, audience = await open_queue()
    assert not queue._pool.paints(job.id)  # not yet in the worker's hands
    assert await queue.stop(job.id)
    rendered = await audience.wait(job.id, Rendered)
    assert 1 <= rendered.step < 4000


async def test_a_job_that_ends_the_process_again_and_again_is_given_up(open_queue, ask, spec, settings):
    queue, _ = await open_queue()
    await queue.change_guild(5, paused=True)
    job = await queue.submit(ask())
    assert await queue.ledger.claim(job.id)
    for _ in range(settings.worker.attempts - 1):
        await queue.ledger.note_start(job.id)
    await queue.close()
    ledger = await Ledger.open(queue.files.ledger)
    assert (await row(ledger, job.id)).crashes == 0  # an orderly end is held against nobody
    for _ in range(settings.worker.attempts):
        await ledger.note_start(job.id)
    await ledger.close()
    queue, audience = await open_queue()
    assert "3 times" in audience.of(job.id, Failed)[0].sentence
    assert (await row(queue.ledger, job.id)).state is JobState.FAILED


async def test_a_picture_that_the_ledger_does_not_know_of_is_not_painted_again(open_queue, ask, spec):
    """The process ended between the two; the picture stays as it is, and all that was to be said of it is said."""
    queue, audience = await open_queue()
    job = await queue.submit(ask(spec=spec.but(prompts=parse_prompts("a red apple in neon"))))
    first = await audience.wait(job.id, Rendered)
    written = first.picture.stat().st_mtime_ns
    await queue.close()
    ledger = await Ledger.open(queue.files.ledger)
    await ledger.database.write("UPDATE jobs SET state = 'running' WHERE id = ?", (job.id,))
    await ledger.close()
    queue, audience = await open_queue()
    assert audience.of(job.id, Rendered) == [first]
    assert audience.of(job.id, Started) == []
    assert first.picture.stat().st_mtime_ns == written
    done = await row(queue.ledger, job.id)
    assert (done.state, done.step, done.seconds) == (JobState.RENDERED, spec.steps, pytest.approx(first.seconds))
    assert done.notices == first.notices != ()


@pytest.mark.parametrize("field", ["init_image", "init_latent"])
async def test_what_is_no_longer_kept_cannot_be_started_from(open_queue, ask, spec, field):
    queue, audience = await open_queue()
    job = await queue.submit(ask(spec=spec.but(**{field: "pictures/gone.png"})))
    assert "no longer kept" in (await audience.wait(job.id, Failed)).sentence
    assert not audience.of(job.id, Started)
    fine = await queue.submit(ask())
    await audience.wait(fine.id, Rendered)


async def test_a_damaged_checkpoint_means_a_fresh_start(open_queue, ask, spec):
    queue, audience = await open_queue()
    job = await queue.submit(ask(spec=spec.but(steps=4000)))
    await audience.wait(job.id, Checkpointed)
    await queue.close()
    checkpoint = queue.files.checkpoint_path(job.id)
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    queue, audience = await open_queue()
    assert (await audience.wait(job.id, Started)).step == 0
    assert await queue.stop(job.id)
    await audience.wait(job.id, Rendered)


async def test_refusals_are_sentences(open_queue, ask, spec):
    queue, _ = await open_queue()
    requester = Requester(1, 5, 6, (50,))
    await queue.change_guild(5, paused=True)
    assert await queue.admission.refusal(requester, "a red apple") is None
    for _ in range(3):
        await queue.submit(ask())
    assert await queue.admission.refusal(requester) == (
        "You have 3 of 3 paintings under way; cancel one or wait for it to finish."
    )
    assert await queue.admission.refusal(Requester(2, 5, 6)) is None
    await queue.change_guild(5, per_role={50: 10_000}, per_user=10_000)
    assert "You have 3 of 3" in await queue.admission.refusal(requester)
    await queue.change_guild(5, per_guild=3)
    assert "This server has 3 of 3" in await queue.admission.refusal(Requester(2, 5, 6))
    await queue.change_guild(5, channels_denied=[6])
    assert "channel" in await queue.admission.refusal(requester)
    await queue.change_guild(WHOLE_PROCESS, draining=True)
    assert "No new paintings" in await queue.admission.refusal(Requester(3, None, 9))


async def test_many_requests_at_once_stay_under_the_cap(open_queue, ask):
    queue, _ = await open_queue()
    await queue.change_guild(5, paused=True)
    results = await asyncio.gather(*(queue.submit(ask()) for _ in range(10)), return_exceptions=True)
    refusals = [result for result in results if isinstance(result, Refusal)]
    assert len(refusals) == 7
    assert str(refusals[0]).startswith("You have 3 of 3 paintings under way")
    assert await queue.ledger.unfinished(user_id=1) == 3


async def test_one_process_per_folder(open_queue, settings):
    queue, _ = await open_queue()
    with pytest.raises(StorageError, match="another process"):
        await PaintingQueue(settings).start()
    await queue.close()
    await open_queue()


async def test_the_expected_wait_is_known_after_the_first_painting(open_queue, ask, spec):
    queue, audience = await open_queue()
    first = await queue.submit(ask())
    await audience.wait(first.id, Rendered)
    await queue.close()
    queue, _ = await open_queue()
    await queue.change_guild(5, paused=True)
    second, third = await queue.submit(ask()), await queue.submit(ask(user_id=2))
    near, far = await queue.estimate(second.id), await queue.estimate(third.id)
    assert (far.position, near.position) == (1, 2)
    assert near.seconds == pytest.approx(far.painting)
    assert await queue.estimate(first.id) is None


async def test_the_loop_stays_free_while_painting(open_queue, ask, spec):
    queue, audience = await open_queue()

    async def job() -> None:
        asked = await queue.submit(ask(spec=spec.but(steps=20, width=128, height=128)))

        def done() -> bool:
            queue.want_preview(asked.id)
            return bool(audience.of(asked.id, Rendered))

        await until(done)
        assert len(audience.of(asked.id, Progress)) > 10

    await free(job)


async def test_a_ledger_that_cannot_be_written_for_a_while_loses_nothing(open_queue, ask, monkeypatch, caplog):
    monkeypatch.setattr("bot.queue.event_writer.RETRY_SECONDS", 0.2)
    queue, audience = await open_queue()
    job = await queue.submit(ask())
    await audience.wait(job.id, Started)
    blocker = sqlite3.connect(queue.files.ledger, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    await queue.ledger.database.read("PRAGMA busy_timeout = 0")
    await until(lambda: "cannot be written" in caplog.text)
    assert not audience.of(job.id, Rendered)
    with pytest.raises(Refusal, match="try again in a few minutes"):
        await queue.submit(ask())
    blocker.execute("ROLLBACK")
    blocker.close()
    await audience.wait(job.id, Rendered)
    assert (await row(queue.ledger, job.id)).state is JobState.RENDERED


async def test_what_is_old_goes_without_anything_being_painted(open_queue, files):
    old = files.folder / "pictures" / "abcdefgh.png"
    old.write_bytes(b"x")
    os.utime(old, (1, 1))
    await open_queue()
    await until(lambda: not old.exists())


async def test_a_film_is_made_once(open_queue, ask):
    queue, audience = await open_queue()
    job = await queue.submit(ask())
    await audience.wait(job.id, Rendered)
    films = [await queue.submit(ask(kind="timelapse", parent_id=job.id, user_id=user)) for user in (1, 2)]
    for one in films:
        await audience.wait(one.id, Rendered)
    first, second = [queue.files.result_path(one) for one in films]
    assert first.samefile(second)


async def test_whatever_door_a_job_comes_through_it_is_judged(open_queue, ask, spec):
    queue, _ = await open_queue()
    await queue.change_guild(5, blocked_words=["gore"], paused=True)
    hidden = spec.but(prompts=(Prompt(content="a hill"), Prompt(content="gore", weight=-0.5)))
    for request in (ask(prompt="gore"), ask(spec=hidden)):
        with pytest.raises(Refusal):
            await queue.submit(request)
    parent = await queue.submit(ask(user_id=2))
    await queue.change_guild(5, blocked_users=[1])
    with pytest.raises(Refusal, match="may not use"):
        await queue.submit(ask(guild_id=None, channel_id=9, parent_id=parent.id))
    assert (await queue.submit(ask(guild_id=None, channel_id=9))).guild_id is None
