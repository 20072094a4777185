"""What the queue does with jobs but for painting them: taking them, ending and deleting them, saying where they are."""

import pytest

from bot.jobs import JobState
from bot.queue import dispatcher
from bot.queue.files import GoneError
from bot.queue.preferences import WHOLE_PROCESS, UserSettings
from bot.queue.service import PaintingQueue
from bot.refusals import Refusal
from bot.worker.events import Progress, Started, Stopped
from bot.worker.orders import Steer
from bot.worker.pool import PainterPool
from engine.prompts import Prompt, parse_prompts
from engine.spec import Motion
from tests.bot.conftest import Audience, row, until
from tests.bot.queue.noted_painter import NotedPainter


class Stage:
    """A queue, its only painter, what it published and what its painters may call."""

    def __init__(self, queue, callbacks):
        self.queue, self.callbacks = queue, callbacks
        self.audience = Audience(queue)

    @property
    def painter(self):
        return self.queue.painters[0]

    async def painted(self, job):
        """Wait until a job is in the painter's hands."""
        await until(lambda: self.queue._pool.paints(job.id))

    def say(self, event, attempt=1):
        self.callbacks.on_event(event, attempt)


@pytest.fixture
async def new(settings, monkeypatch):
    """Make queues whose painters paint nothing; those still open are closed at the end."""
    stages = []

    def make(painters=1, **changes):
        def make_pool(settings, callbacks):
            stage.callbacks = callbacks
            return PainterPool([NotedPainter(callbacks.of_painters(), str(number)) for number in range(painters)])

        monkeypatch.setattr(dispatcher, "make_pool", make_pool)
        stage = Stage(PaintingQueue(settings.model_copy(update=changes)), None)
        stages.append(stage)
        return stage

    yield make
    for stage in stages:
        await stage.queue.close()


@pytest.fixture
async def stage(new):
    stage = new()
    await stage.queue.start()
    return stage


@pytest.fixture
async def queue(stage):
    return stage.queue


def keep_all(queue, job):
    """Leave a file of each kind for a job."""
    queue.files.save_checkpoint(job.id, b"a state")
    queue.files.save_frame(job.id, 1, b"a frame")
    queue.files.save_result(job, [b"a picture"] * job.spec.count, [b"a latent"] * job.spec.count)


def kept(queue, job):
    return {str(path.relative_to(queue.files.folder)) for path in queue.files.folder.rglob(f"*{job.id}*")}


# Its life


async def test_before_its_start_nobody_paints_and_it_may_be_closed(new):
    queue = new().queue
    assert (list(queue.painters), queue.worker_alive) == ([], False)
    await queue.close()
    await queue.close()


async def test_it_says_who_paints_and_whether_anybody_can(stage, queue):
    assert [painter.chip for painter in queue.painters] == ["0"]
    assert queue.worker_alive
    stage.painter.here = False
    assert not queue.worker_alive


async def test_closing_gives_painters_the_time_that_is_said_and_takes_nothing_more(stage, queue, ask):
    await queue.close(7.5)
    await queue.close(3.0)
    assert stage.painter.closed == [7.5]
    with pytest.raises(Refusal, match="about to restart"):
        await queue.submit(ask())


@pytest.mark.parametrize("lost", [False, True])
async def test_only_a_start_that_ended_in_a_lost_device_counts_against_its_job(new, ask, lost):
    stage = new()
    await stage.queue.start()
    job = await stage.queue.submit(ask())
    await stage.painted(job)
    assert not stage.queue.device_lost.is_set()
    if lost:
        stage.callbacks.on_device_lost(job.id)
    assert stage.queue.device_lost.is_set() is lost
    await stage.queue.close()
    again = new()
    await again.queue.start()
    await again.painted(job)
    assert (await row(again.queue.ledger, job.id)).crashes == (2 if lost else 1)


async def test_one_subscriber_that_fails_does_not_keep_the_news_from_the_others(stage, queue, ask, caplog):
    def fails(event):
        raise ValueError("no")

    first, last = [], []
    for callback in (first.append, fails, last.append):
        queue.subscribe(callback)
    job = await queue.submit(ask())
    await stage.painted(job)
    stage.say(Started(job.id, 0, 6))
    await until(lambda: last)
    assert first == last == [Started(job.id, 0, 6)]
    assert "A subscriber failed on Started" in caplog.text


# Requests


async def test_a_request_is_started_at_once_and_logged_once(stage, queue, ask, caplog):
    caplog.set_level("INFO", "bot")
    request = ask(user_id=3)
    job = await queue.submit(request)
    await stage.painted(job)
    assert stage.painter.orders == [(job.id, 1)]
    assert (await queue.submit(request)).id == job.id
    assert caplog.text.count(f"Job {job.id}: imagine by 3") == 1


async def test_unknown_words_are_named_after_what_was_to_be_said_and_not_for_films(queue, ask, spec):
    await queue.change_guild(5, paused=True)
    neon = spec.but(prompts=parse_prompts("a red apple in neon"))
    job = await queue.submit(ask(spec=neon, notices=("first",)))
    first, second = job.notices
    assert first == "first"
    assert "neon" in second
    film = await queue.submit(ask(spec=neon, kind="timelapse", parent_id=job.id, notices=("first",)))
    assert film.notices == ("first",)


@pytest.fixture
async def slow(new, settings):
    """A queue that takes a request a minute and three at once, and paints nothing."""
    stage = new(limits=settings.limits.model_copy(update={"cooldown_seconds": 60.0, "per_user": 3}))
    await stage.queue.start()
    await stage.queue.change_guild(WHOLE_PROCESS, paused=True)
    return stage.queue


async def test_a_group_counts_once_for_the_pause_between_two_requests(slow, ask):
    jobs = await slow.submit_group([ask(), ask()])
    assert len({job.id for job in jobs}) == 2
    assert len(await slow.ledger.queued()) == 2
    with pytest.raises(Refusal, match="One painting every"):
        await slow.submit(ask())
    with pytest.raises(Refusal, match="One painting every"):
        await slow.submit_group([ask()])


async def test_a_group_that_finds_no_room_is_refused_whole(slow, ask):
    with pytest.raises(Refusal, match="That makes 4 paintings"):
        await slow.submit_group([ask() for _ in range(4)])
    assert await slow.ledger.queued() == []


async def test_a_guild_that_is_no_longer_paused_is_painted_for(stage, queue, ask):
    own = await queue.change_guild(5, paused=True, per_user=2)
    assert (own.paused, own.per_user) == (True, 2)
    job = await queue.submit(ask())
    await until(lambda: not queue._dispatcher._scheduling)
    assert stage.painter.orders == []
    await queue.change_guild(5, paused=False)
    await stage.painted(job)


# Pictures and messages


async def test_what_is_shown_of_a_job_is_its_pictures_or_its_film(queue, ask, spec, monkeypatch):
    await queue.change_guild(5, paused=True)
    four = await queue.submit(ask(spec=spec.but(count=4)))
    motion = Motion(seconds=1, fps=6, begin=1, each=2)
    moving = spec.but(motion=motion.model_dump(), steps=motion.steps)
    animated = await queue.submit(ask(spec=moving))
    film = await queue.submit(ask(user_id=2, kind="timelapse", parent_id=animated.id, spec=moving))
    for job in (four, animated, film):
        assert await queue.posted_files(job) == []
        keep_all(queue, job)
    assert await queue.posted_files(four) == [queue.files.result_path(four, index) for index in range(4)]
    queue.files.animation_path(animated).write_bytes(b"a film")
    assert await queue.posted_files(animated) == [queue.files.animation_path(animated)]
    assert await queue.posted_files(film) == [queue.files.result_path(film)]


async def test_of_several_messages_the_current_one_is_edited(queue, ask):
    job = await queue.submit(ask())
    await queue.attach_message(job.id, 7, 100)
    await queue.attach_message(job.id, 8, 101, current=False)
    now = await row(queue.ledger, job.id)
    assert (now.channel_id, now.message_id) == (7, 100)
    assert [(await queue.ledger.by_message(message)).id for message in (100, 101)] == [job.id, job.id]


@pytest.mark.parametrize(
    ("state", "message", "channel", "shown_in", "delivered"),
    [
        (JobState.RENDERED, 100, 7, (7, 100), True),
        (JobState.RENDERED, 100, None, (6, 100), True),
        (JobState.RENDERED, None, None, (6, None), True),
        (JobState.FAILED, 100, 7, (7, 100), False),
        (JobState.RUNNING, 100, 7, (7, 100), False),
    ],
)
async def test_an_end_is_noted_with_the_message_that_shows_it(queue, ask, state, message, channel, shown_in, delivered):
    job, _ = await queue.ledger.add(ask())
    await queue.ledger.claim(job.id)
    if state is not JobState.RUNNING:
        await queue.ledger.transition(job.id, state)
    assert await queue.mark_delivered(job.id, message, channel) is delivered
    now = await row(queue.ledger, job.id)
    assert (now.channel_id, now.message_id) == shown_in
    assert now.state is (JobState.DELIVERED if delivered else state)
    assert (now.delivered_at is None) is (state is JobState.RUNNING)


async def test_of_a_job_that_is_not_there_nothing_is_noted_or_ended(queue):
    assert not await queue.mark_delivered("zzzzzzzz", 100, 7)
    assert await queue.ledger.by_message(100) is None
    assert [await ends("zzzzzzzz") for ends in (queue.stop, queue.cancel)] == [False, False]
    assert await queue.delete("zzzzzzzz") == ()
    assert not await queue.steer("zzzzzzzz", (Prompt(content="fog"),))
    assert await queue.estimate("zzzzzzzz") is None


# Jobs under way


@pytest.fixture
async def both(stage, queue, ask):
    """A job that is being painted and one that waits."""
    painted = await queue.submit(ask())
    await stage.painted(painted)
    return painted, await queue.submit(ask())


async def test_stopping_keeps_the_picture_of_what_is_painted_and_calls_the_rest_off(stage, queue, both):
    painted, waiting = both
    assert await queue.stop(painted.id)
    assert stage.painter.controls == [(painted.id, "end", "keep")]
    assert (await row(queue.ledger, painted.id)).state is JobState.RUNNING
    assert await queue.stop(waiting.id)
    assert (await row(queue.ledger, waiting.id)).state is JobState.CANCELLED
    assert not await queue.stop(waiting.id)
    assert stage.audience.events == [Stopped(waiting.id)]


async def test_calling_off_deletes_what_nobody_writes_to_any_more(stage, queue, both):
    painted, waiting = both
    for job in both:
        keep_all(queue, job)
    there = kept(queue, painted)
    assert len(there) >= 4
    assert [await queue.cancel(job.id) for job in both] == [True, True]
    assert stage.painter.controls == [(painted.id, "end", "drop")]
    assert kept(queue, painted) == there, "its painter may still be writing"
    assert kept(queue, waiting) == set()
    assert [await queue.cancel(job.id) for job in both] == [False, False]
    assert [(await row(queue.ledger, job.id)).state for job in both] == [JobState.CANCELLED] * 2


async def test_what_has_ended_keeps_its_files_when_it_is_called_off(queue, both):
    _, waiting = both
    await queue.ledger.transition(waiting.id, JobState.FAILED)
    keep_all(queue, waiting)
    assert not await queue.cancel(waiting.id)
    assert len(kept(queue, waiting)) >= 4


async def test_steering_reaches_the_painter_with_its_pictures_and_the_ledger(stage, queue, both):
    painted, waiting = both
    name = queue.files.save_input(b"a picture", ".png")
    prompts = (Prompt(content="fog", weight=2.0), Prompt(kind="image", content=name))
    for job in both:
        assert await queue.steer(job.id, prompts)
        now = await row(queue.ledger, job.id)
        assert (now.spec.prompts, now.prompt[:6]) == (prompts, "fog::2")
    assert stage.painter.controls == [(painted.id, "steer", Steer(prompts, {name: b"a picture"}))]
    with pytest.raises(GoneError):
        await queue.steer(painted.id, (Prompt(kind="image", content="inputs/gone.png"),))
    assert (await row(queue.ledger, painted.id)).spec.prompts == prompts
    await queue.cancel(waiting.id)
    assert not await queue.steer(waiting.id, prompts)


async def test_a_preview_is_asked_of_the_painter(stage, queue, both):
    for job in both:
        queue.want_preview(job.id)
    assert stage.painter.controls == [(both[0].id, "preview_wanted", True)]


async def test_clearing_calls_off_what_waits_in_a_guild_or_everywhere(queue, both, ask):
    elsewhere = await queue.submit(ask(user_id=2, guild_id=8))
    alone = await queue.submit(ask(user_id=3, guild_id=None))
    assert await queue.clear(5) == 1
    assert {job.id for job in await queue.ledger.queued()} == {elsewhere.id, alone.id}
    assert await queue.clear(None) == 2
    assert await queue.ledger.queued() == []
    assert (await row(queue.ledger, both[0].id)).state is JobState.RUNNING


# Deleting


async def test_deleting_ends_a_job_and_leaves_no_word_or_file_of_it(stage, queue, ask, spec):
    name = await queue.inputs.keep(1, b"a picture", ".png")
    job = await queue.submit(ask(spec=spec.but(init_image=name)))
    await stage.painted(job)
    keep_all(queue, job)
    for channel, message in ((6, 100), (7, 101)):
        await queue.attach_message(job.id, channel, message)
    assert sorted(await queue.delete(job.id)) == [(6, 100), (7, 101)]
    assert stage.painter.ends == ["drop"]
    assert await queue.ledger.by_message(100) is None
    now = await row(queue.ledger, job.id)
    assert (now.state, now.prompt, now.spec.init_image) == (JobState.CANCELLED, "", None)
    assert kept(queue, job) == set()
    assert not (queue.files.folder / name).exists()
    assert await queue.delete(job.id) == ()


async def test_a_person_who_leaves_takes_everything_along_and_nothing_of_others(queue, ask, spec):
    await queue.change_guild(5, paused=True)
    mine = await queue.inputs.keep(1, b"mine", ".png")
    unused = await queue.inputs.keep(1, b"unused", ".png")
    shared = await queue.inputs.keep(1, b"shared", ".png")
    assert await queue.inputs.keep(2, b"shared", ".png") == shared
    jobs = [await queue.submit(ask(spec=spec.but(init_image=path))) for path in (mine, shared)]
    others = await queue.submit(ask(user_id=2, spec=spec.but(init_image=shared)))
    for number, job in enumerate((*jobs, others)):
        await queue.attach_message(job.id, 6, 100 + number)
        keep_all(queue, job)
    for user in (1, 2):
        await queue.preferences.save_user(user, UserSettings(preset="draft"))
    assert sorted(await queue.delete_person(1)) == [(6, 100), (6, 101)]
    held = await queue.ledger.personal_data.held(1)
    assert (held.jobs, held.uploads, held.has_settings, held.requests_today) == (0, 0, False, 2)
    assert [kept(queue, job) for job in jobs] == [set(), set()]
    assert queue.files.input_paths() == {shared}
    assert unused != shared
    assert len(kept(queue, others)) >= 4
    assert (await row(queue.ledger, others.id)).state is JobState.QUEUED
    assert (await queue.ledger.personal_data.held(2)).has_settings
    assert await queue.delete_person(1) == ()


# What the queue looks like


async def test_places_count_from_what_is_painted_by_the_time_that_it_has_left(stage, queue, both, ask, spec):
    painted, waiting = both
    last = await queue.submit(ask(user_id=2))
    await queue.ledger.note_step_time("embedded 32x32 embedded 2", 0.5)
    stage.say(Progress(painted.id, 2, 6, 1.0, 40.0, 0.1))
    await until(lambda: painted.id in queue._writer.progress)
    places = await queue.places()
    assert [place.job_id for place in places] == [painted.id, last.id, waiting.id], "who was not served yet comes first"
    assert [place.estimate.position for place in places] == [0, 1, 2]
    assert places[0].estimate.painting == 40.0
    first, second = [place.estimate for place in places[1:]]
    assert (first.seconds, second.seconds) == (40.0, 40.0 + first.painting)
    assert await queue.estimate(last.id) == first
    assert await queue.estimate(waiting.id) == second


async def test_with_more_painters_a_turn_comes_earlier(new, ask):
    stage = new(painters=2)
    await stage.queue.start()
    first = await stage.queue.submit(ask())
    await stage.painted(first)
    second = await stage.queue.submit(ask())
    await stage.painted(second)
    for job, left in ((first, 40.0), (second, 10.0)):
        stage.say(Progress(job.id, 2, 6, 1.0, left, 0.1))
    await until(lambda: len(stage.queue._writer.progress) == 2)
    waiting = await stage.queue.submit(ask())
    estimate = await stage.queue.estimate(waiting.id)
    assert (estimate.position, estimate.seconds) == (1, 10.0)
