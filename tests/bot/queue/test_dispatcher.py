"""Starting jobs, with painters that note what they are handed: whose turn, with what, and again after what."""

import asyncio
import sqlite3

import pytest

from bot.background import Tasks
from bot.jobs import JobState
from bot.queue import dispatcher as module
from bot.queue.dispatcher import Dispatcher
from bot.queue.event_writer import EventWriter
from bot.queue.files import GONE_BEFORE
from bot.queue.preferences import WHOLE_PROCESS, Preferences
from bot.worker.events import Failed, Rendered, Started
from bot.worker.pool import PainterPool
from tests.bot.conftest import row, until
from tests.bot.queue.noted_painter import NotedPainter


@pytest.fixture
async def tasks():
    tasks = Tasks()
    yield tasks
    await tasks.end(5)


@pytest.fixture
def preferences(ledger):
    return Preferences(ledger.database)


@pytest.fixture
async def make(settings, files, ledger, preferences, tasks, monkeypatch):
    """Make a dispatcher with painters of these names."""

    def new(*names, **worker):
        chosen = settings.model_copy(update={"worker": settings.worker.model_copy(update=worker)})
        published = []

        def make_pool(settings, callbacks):
            return PainterPool([NotedPainter(callbacks.of_painters(), name) for name in names or ("one",)])

        monkeypatch.setattr(module, "make_pool", make_pool)
        writer = EventWriter(ledger, files, published.append, tasks.spawn)
        dispatcher = Dispatcher(chosen, files, ledger, preferences, writer, tasks, print)
        dispatcher.published = published  # pyright: ignore[reportAttributeAccessIssue]
        return dispatcher

    return new


async def settled(dispatcher):
    """Wait until nothing more is being started or written."""
    await asyncio.sleep(0)
    await until(lambda: not dispatcher._scheduling and not dispatcher._filming)
    await dispatcher._writer.idle()
    await until(lambda: not dispatcher._scheduling and not dispatcher._filming)


def painter(dispatcher, index=0):
    return dispatcher.pool.painters[index]


async def test_jobs_are_painted_one_after_the_other_by_fair_turns(make, ledger, ask):
    first, second, other = [(await ledger.add(ask(user_id=user)))[0] for user in (1, 1, 2)]
    dispatcher = make()
    await dispatcher.start()
    await settled(dispatcher)
    assert painter(dispatcher).orders == [(first.id, 1)]
    assert (await row(ledger, first.id)).device == "one"
    for _ in range(2):
        painter(dispatcher)._finished()
        await settled(dispatcher)
    assert [job_id for job_id, _ in painter(dispatcher).orders] == [first.id, other.id, second.id]
    assert (await row(ledger, second.id)).state is JobState.RUNNING


async def test_all_painters_are_given_work_and_what_is_left_waits(make, ledger, ask):
    jobs = [(await ledger.add(ask(user_id=user)))[0] for user in (1, 2, 3)]
    dispatcher = make("one", "two")
    await dispatcher.start()
    await settled(dispatcher)
    assert [painter(dispatcher, index).orders for index in (0, 1)] == [[(jobs[0].id, 1)], [(jobs[1].id, 1)]]
    assert (await row(ledger, jobs[2].id)).state is JobState.QUEUED


async def test_a_guild_or_process_that_is_paused_waits(make, ledger, preferences, ask):
    job, _ = await ledger.add(ask(guild_id=5))
    dispatcher = make()
    await preferences.change_guild(5, paused=True)
    await dispatcher.start()
    await settled(dispatcher)
    assert painter(dispatcher).orders == []
    await preferences.change_guild(5, paused=False)
    await preferences.change_guild(WHOLE_PROCESS, paused=True)
    dispatcher.schedule()
    await settled(dispatcher)
    assert painter(dispatcher).orders == []
    await preferences.change_guild(WHOLE_PROCESS, paused=False)
    dispatcher.schedule()
    await settled(dispatcher)
    assert painter(dispatcher).orders == [(job.id, 1)]


async def test_an_order_holds_all_that_a_painter_needs(make, ledger, files, ask, spec):
    name = files.save_input(b"a picture", ".png")
    job, _ = await ledger.add(ask(spec=spec.but(init_image=name), notices=("a notice",)))
    files.save_checkpoint(job.id, b"a state")
    dispatcher = make()
    await dispatcher.start()
    await settled(dispatcher)
    (order,) = painter(dispatcher).sent
    assert (order.spec, order.inputs, order.checkpoint) == (job.spec, {name: b"a picture"}, b"a state")
    assert (order.job_id, order.attempt, order.notices) == (job.id, 1, ("a notice",))


async def test_a_job_whose_input_is_gone_ends_and_the_next_is_painted(make, ledger, ask, spec):
    gone, _ = await ledger.add(ask(spec=spec.but(init_image="inputs/gone.png")))
    job, _ = await ledger.add(ask())
    dispatcher = make()
    await dispatcher.start()
    await settled(dispatcher)
    assert painter(dispatcher).orders == [(job.id, 1)]
    assert (await row(ledger, gone.id)).state is JobState.FAILED
    (failed,) = [event for event in dispatcher.published if isinstance(event, Failed)]
    assert failed.sentence == GONE_BEFORE


async def test_an_input_that_cannot_be_read_is_not_told_of_in_detail(make, ledger, files, ask, monkeypatch):
    def unreadable(spec):
        raise PermissionError("/data/inputs: no")

    monkeypatch.setattr(files, "inputs", unreadable)
    job, _ = await ledger.add(ask())
    dispatcher = make()
    await dispatcher.start()
    await settled(dispatcher)
    (failed,) = dispatcher.published
    assert failed == Failed(job.id, "What this starts from cannot be read; the bot's owner finds the cause in the log.")


@pytest.mark.parametrize("change", ["cancelled", "steered"])
async def test_what_happened_while_inputs_were_read_counts(make, ledger, files, ask, spec, monkeypatch, change):
    job, _ = await ledger.add(ask())
    read, loop = files.inputs, asyncio.get_running_loop()
    prompts = spec.but(prompts=[{"content": "grey"}]).prompts
    changes = iter([change])

    def inputs(spec):
        if next(changes, None) == "cancelled":
            asyncio.run_coroutine_threadsafe(ledger.transition(job.id, JobState.CANCELLED), loop).result(10)
        elif change == "steered":
            asyncio.run_coroutine_threadsafe(ledger.note_steer(job.id, prompts, "grey"), loop).result(10)
        return read(spec)

    monkeypatch.setattr(files, "inputs", inputs)
    dispatcher = make()
    await dispatcher.start()
    await settled(dispatcher)
    orders = painter(dispatcher).sent
    assert [order.spec.prompts for order in orders] == ([] if change == "cancelled" else [prompts])


async def running(ledger, ask, *, step=0, device=None, starts=1, **changes):
    """A job that an earlier process was painting when it died."""
    job, _ = await ledger.add(ask(**changes))
    await ledger.claim(job.id)
    for _ in range(starts - 1):
        await ledger.note_start(job.id)
    await ledger.note_device(job.id, device, ())
    if step:
        await ledger.note_progress(job.id, step, starts)
    return job


async def test_what_an_earlier_process_was_painting_comes_first(make, ledger, ask):
    waiting, _ = await ledger.add(ask(user_id=2))
    job = await running(ledger, ask, step=3, device="one")
    dispatcher = make()
    await dispatcher.start()
    await settled(dispatcher)
    assert painter(dispatcher).orders == [(job.id, 2)]
    assert (await row(ledger, job.id)).notices == ()
    painter(dispatcher)._finished()
    await settled(dispatcher)
    assert painter(dispatcher).orders[1:] == [(waiting.id, 1)]


@pytest.mark.parametrize(
    ("step", "device", "said"), [(3, "two", True), (0, "two", False), (3, None, False), (3, "one", False)]
)
async def test_going_on_on_another_chip_is_said_once(make, ledger, ask, step, device, said):
    job = await running(ledger, ask, step=step, device=device)
    dispatcher = make("one")
    await dispatcher.start()
    await settled(dispatcher)
    notices = (await row(ledger, job.id)).notices
    assert [("another device (one)" in notice) for notice in notices] == ([True] if said else [])
    assert painter(dispatcher).sent[0].notices == notices
    assert (await row(ledger, job.id)).device == "one"


async def test_a_job_goes_on_on_the_chip_it_began_on_where_that_is_free(make, ledger, ask):
    job = await running(ledger, ask, step=3, device="two")
    dispatcher = make("one", "two")
    await dispatcher.start()
    await settled(dispatcher)
    assert [painter(dispatcher, index).orders for index in (0, 1)] == [[], [(job.id, 2)]]


@pytest.mark.parametrize(("starts", "goes_on"), [(1, True), (2, True), (3, False)])
async def test_a_job_that_ends_every_process_is_given_up(make, ledger, files, ask, starts, goes_on):
    job = await running(ledger, ask, starts=starts)
    files.save_checkpoint(job.id, b"a state")
    dispatcher = make(attempts=3)
    await dispatcher.start()
    await settled(dispatcher)
    assert bool(painter(dispatcher).orders) is goes_on
    assert files.checkpoint_path(job.id).exists() is goes_on
    if not goes_on:
        (failed,) = dispatcher.published
        assert "ended in a crash 3 times" in failed.sentence


async def test_a_picture_that_lies_there_whole_is_not_painted_again(make, ledger, files, ask):
    job = await running(ledger, ask, step=6)
    files.save_checkpoint(job.id, b"a state")
    files.save_result(job, [b"a picture"], [b"a latent"])
    dispatcher = make()
    await dispatcher.start()
    await settled(dispatcher)
    assert painter(dispatcher).orders == []
    assert dispatcher.published == [Rendered(job.id, files.result_path(job), 0.0, 6, ())]
    assert (await row(ledger, job.id)).state is JobState.RENDERED
    assert not files.checkpoint_path(job.id).exists()


async def test_a_painter_that_breaks_down_gives_its_job_to_another(make, ledger, ask):
    job, _ = await ledger.add(ask())
    dispatcher = make("one", "two")
    await dispatcher.start()
    await settled(dispatcher)
    painter(dispatcher).here = False
    painter(dispatcher)._lost()
    await until(lambda: painter(dispatcher, 1).orders)
    assert painter(dispatcher, 1).orders == [(job.id, 2)]


@pytest.mark.parametrize("end", [JobState.CANCELLED, JobState.RENDERED])
async def test_a_job_that_ended_before_its_painter_did_is_not_taken_up(make, ledger, files, ask, end):
    job, _ = await ledger.add(ask())
    files.save_checkpoint(job.id, b"a state")
    dispatcher = make()
    await dispatcher.start()
    await settled(dispatcher)
    await ledger.transition(job.id, end)
    painter(dispatcher)._lost()
    await dispatcher._tasks.end(5)
    assert len(painter(dispatcher).orders) == 1
    assert files.checkpoint_path(job.id).exists() is (end is JobState.RENDERED)


async def test_stopping_keeps_the_picture_of_what_is_painted_or_about_to_go_on(make, ledger, ask):
    dispatcher = make()
    waiting, _ = await ledger.add(ask())
    assert not dispatcher.finish_early(waiting), "it has no picture yet"
    await dispatcher.start()
    await settled(dispatcher)
    assert dispatcher.finish_early(await row(ledger, waiting.id))
    assert painter(dispatcher).ends == ["keep"]
    begun, other = await running(ledger, ask), await running(ledger, ask, step=3)
    assert not dispatcher.finish_early(await row(ledger, begun.id)), "nor has this one"
    assert dispatcher.finish_early(await row(ledger, other.id))
    dispatcher._left_over.append(await row(ledger, other.id))
    painter(dispatcher)._finished()
    await settled(dispatcher)
    assert painter(dispatcher).orders[1:] == [(other.id, 2)]
    assert painter(dispatcher).ends == ["keep", "keep"]
    painter(dispatcher)._lost()
    await until(lambda: len(painter(dispatcher).orders) == 3)
    assert painter(dispatcher).ends == ["keep", "keep"], "it is asked once"


async def test_when_closing_nothing_more_is_started(make, ledger, ask):
    dispatcher = make()
    await dispatcher.start()
    await dispatcher.close(7.5)
    await ledger.add(ask())
    dispatcher.schedule()
    await settled(dispatcher)
    assert (painter(dispatcher).closed, painter(dispatcher).orders) == ([7.5], [])


async def test_a_ledger_that_does_not_answer_is_asked_again(make, ledger, ask, monkeypatch):
    job, _ = await ledger.add(ask())
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    for name in ("waiting", "note_device"):
        monkeypatch.setattr(ledger, name, _failing_once(getattr(ledger, name)))
    dispatcher = make()
    await dispatcher.start()
    await until(lambda: painter(dispatcher).orders)
    assert [job_id for job_id, _ in painter(dispatcher).orders] == [job.id]


def _failing_once(call):
    failing = [sqlite3.OperationalError("disk I/O error")]

    async def fails(*arguments):
        if failing:
            raise failing.pop()
        return await call(*arguments)

    return fails


# Films


async def ended(ledger, ask):
    """The id of a job that has ended."""
    job, _ = await ledger.add(ask())
    await ledger.transition(job.id, JobState.CANCELLED)
    return job.id


@pytest.fixture
def film_made(monkeypatch):
    """What is said of each film, and what it was made of."""
    asked = []

    def film(job, files, settings, earlier):
        asked.append((job.id, earlier and earlier.id))
        if asked[0] == "broken":
            raise ValueError("no film")
        return Rendered(job.id, files.result_path(job), 1.0, 4)

    monkeypatch.setattr(module, "film", film)
    return asked


async def test_films_are_made_beside_the_painting_one_at_a_time(make, ledger, ask, film_made):
    painted, _ = await ledger.add(ask())
    films = [(await ledger.add(ask(kind="timelapse", parent_id=painted.id)))[0] for _ in range(2)]
    dispatcher = make()
    await dispatcher.start()
    await until(lambda: len(film_made) == 2)
    await settled(dispatcher)
    assert [job_id for job_id, _ in painter(dispatcher).orders] == [painted.id]
    assert film_made == [(films[0].id, None), (films[1].id, films[0].id)], "the second is the first"
    assert [type(event) for event in dispatcher.published] == [Started, Rendered] * 2
    assert (dispatcher.published[0].step, dispatcher.published[0].steps) == (0, 1)
    assert (await row(ledger, films[1].id)).state is JobState.RENDERED


async def test_a_film_that_breaks_off_says_so(make, ledger, ask, film_made):
    film_made.append("broken")
    job, _ = await ledger.add(ask(kind="timelapse", parent_id=await ended(ledger, ask)))
    dispatcher = make()
    await dispatcher.start()
    await until(lambda: len(dispatcher.published) == 2)
    assert dispatcher.published[1] == Failed(
        job.id, "The time-lapse could not be made; the bot's owner finds the cause in the log."
    )


async def test_half_a_film_of_an_earlier_process_is_made_anew(make, ledger, files, ask, film_made):
    job = await running(ledger, ask, kind="timelapse", parent_id=await ended(ledger, ask))
    files.result_path(job).write_bytes(b"half")
    dispatcher = make()
    await dispatcher.start()
    await until(lambda: film_made)
    await settled(dispatcher)
    assert [job_id for job_id, _ in film_made] == [job.id]
    assert painter(dispatcher).orders == []
