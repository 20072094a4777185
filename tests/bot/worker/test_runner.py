"""One job painted, and what may go wrong with it."""

import errno
import io
import threading
from dataclasses import replace
from shutil import copy, copytree
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load

from bot.full_disk import FULL_DISK
from bot.worker.events import (
    Checkpoint,
    Failed,
    Frame,
    GpuUsage,
    Painted,
    Progress,
    Started,
    Stopped,
)
from bot.worker.orders import Controls, Steer
from bot.worker.runner import JobRunner
from engine.models import EMBEDDED, ModelStore
from engine.painting import Painting
from engine.pictures import BadPictureError, enlarged, preview_jpeg, spec_of
from engine.prompts import Prompt, parse_prompts
from engine.spec import Motion
from engine.vocabulary import UNKNOWN_WORDS
from tests.bot.conftest import make_order
from tests.simulated import png


@pytest.fixture
def paint(settings, tiny_models, cpu):
    """Paint an order here and now; return its events."""
    models = ModelStore(settings.models.folder, cpu, embedded=tiny_models)

    def run(order, controls=None, worker=settings.worker, on_event=lambda event: None):
        events = []

        def emit(event, attempt):
            assert attempt == order.attempt
            events.append(event)
            on_event(event)

        JobRunner(worker, models, emit).paint(order, controls or Controls())
        return events

    return run


@pytest.fixture
def often(settings):
    """Settings under which every step is saved."""
    return settings.worker.model_copy(update={"checkpoint_seconds": 1e-9})


def kinds(events):
    return [type(event) for event in events if not isinstance(event, Progress | Frame | Checkpoint)]


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_a_painting_ends_in_a_picture_a_latent_and_frames(paint, ask, tmp_path):
    order = make_order(ask())
    events = paint(order)
    assert kinds(events) == [Started, Painted]
    (tmp_path / "picture.png").write_bytes(events[-1].pictures[0])
    assert spec_of(tmp_path / "picture.png") == order.spec
    assert load(events[-1].latents[0])["z"].shape[0] == 1
    assert [frame.step for frame in of(Frame, events)] == [1, 3, 5, 7]
    assert all(frame.jpeg.startswith(b"\xff\xd8") for frame in of(Frame, events))


def test_inputs_come_with_the_order_and_nothing_stays(paint, ask, spec, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    prompts = (*spec.prompts, Prompt(kind="image", content="b.png"))
    wanted = spec.but(init_image="a.png", prompts=prompts)
    inputs = {"a.png": png("red"), "b.png": png("blue")}
    painted = paint(make_order(ask(spec=wanted), inputs=inputs))[-1]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "picture.png").write_bytes(painted.pictures[0])
    assert spec_of(tmp_path / "picture.png") == wanted
    other = paint(make_order(ask(spec=wanted), inputs={**inputs, "a.png": png("green")}))[-1]
    assert other.pictures != painted.pictures


def test_an_interrupted_painting_ends_in_the_same_picture(paint, ask, spec, often):
    order = make_order(ask(spec=spec.but(init_image="a.png")), inputs={"a.png": png()})
    whole = paint(order)[-1]
    controls = Controls()

    def leave_after_three(event):
        if isinstance(event, Checkpoint) and event.step == 3:
            controls.end = "leave"

    first = paint(order, controls, often, leave_after_three)
    assert first[-1] == Stopped(order.job_id, back_soon=True)
    checkpoint = of(Checkpoint, first)[-1]
    second = paint(replace(order, attempt=2, checkpoint=checkpoint.content))
    assert second[0] == Started(order.job_id, 3, 6)
    assert second[-1].pictures == whole.pictures
    assert second[-1].latents == whole.latents


def test_a_resumed_painting_goes_towards_the_prompts_of_its_order(paint, ask, spec, often):
    """Somebody steered it after the checkpoint, or while nobody painted."""
    checkpoint = of(Checkpoint, paint(make_order(ask()), worker=often))[2].content
    apple = paint(make_order(ask(), checkpoint=checkpoint))[-1]
    steered = make_order(ask(spec=spec.but(prompts=parse_prompts("a lighthouse"))), checkpoint=checkpoint)
    assert paint(steered)[-1].latents != apple.latents


def test_steering_holds_from_the_next_step(paint, ask, spec, tmp_path):
    prompts = (Prompt(kind="image", content="b.png"),)
    controls = Controls()

    def steer_at_the_start(event):
        if isinstance(event, Started):
            controls.steer = Steer(prompts, {"b.png": png("blue")})

    painted = paint(make_order(ask()), controls, on_event=steer_at_the_start)[-1]
    assert painted.latents != paint(make_order(ask()))[-1].latents
    (tmp_path / "picture.png").write_bytes(painted.pictures[0])
    assert spec_of(tmp_path / "picture.png") == spec.but(prompts=prompts)


@pytest.mark.parametrize(("end", "last"), [("keep", Painted), ("drop", Stopped), ("leave", Stopped)])
def test_an_end_before_the_first_step(paint, ask, end, last):
    events = paint(make_order(ask()), Controls(end=end))
    assert kinds(events) == [Started, last]
    assert not of(Checkpoint, events)


class LosesItself(Painting):
    """Go NaN at step 4, as often as asked."""

    times = 1

    def __next__(self):
        iterate = super().__next__()
        if self.step == 4 and LosesItself.times:
            LosesItself.times -= 1
            self.z.data.fill_(float("nan"))
        return iterate


@pytest.mark.parametrize(("times", "last"), [(1, Painted), (2, Failed)])
def test_a_lost_painting_goes_on_once_from_its_checkpoint(paint, ask, often, monkeypatch, times, last):
    monkeypatch.setattr(LosesItself, "times", times)
    monkeypatch.setattr("bot.worker.runner.Painting", LosesItself)
    events = paint(make_order(ask()), worker=often)
    assert [event.step for event in of(Started, events)] == [0, 3]
    assert isinstance(events[-1], last)
    if isinstance(events[-1], Failed):
        assert "lower learning rate" in events[-1].sentence


def fails_with(error):
    class Fails(Painting):
        def __next__(self):
            raise error

    return Fails


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "not even at 32 × 32 pixels"),
        (MemoryError(), "not even at 32 × 32 pixels"),
        (OSError(errno.ENOSPC, "No space left on device"), FULL_DISK),
        (RuntimeError("CUDA error: /secret/path"), "under job abcdefgh"),
        (ValueError("cannot reshape /secret/path"), "under job abcdefgh"),
        (BadPictureError("There is no file /secret/path/a.png."), "There is no file a.png."),
    ],
)
def test_failures_are_one_sentence_and_the_next_job_is_painted(paint, ask, monkeypatch, caplog, error, sentence):
    with monkeypatch.context() as broken:
        broken.setattr("bot.worker.runner.Painting", fails_with(error))
        failed = paint(make_order(ask()))[-1]
    assert isinstance(failed, Failed)
    assert sentence in failed.sentence
    assert "secret" not in failed.sentence
    assert "abcdefgh" in caplog.text
    assert isinstance(paint(make_order(ask()))[-1], Painted)


def test_a_checkpoint_holds_no_code(paint, ask):
    """Whatever it is, it is read as numbers only."""
    content = io.BytesIO()
    torch.save({"painting": threading.Thread.__init__, "seconds": 0.0}, content)
    events = paint(make_order(ask(), checkpoint=content.getvalue()))
    assert events[0] == Started("abcdefgh", 0, 6)
    assert isinstance(events[-1], Painted)


@pytest.fixture
def paced(monkeypatch):
    """Let each step take the seconds that are said, by the runner's clock; the last ones go on."""
    now = [1000.0]
    seconds = [0.5]

    class Paced(Painting):
        def __next__(self):
            iterate = super().__next__()
            now[0] += seconds.pop(0) if len(seconds) > 1 else seconds[0]
            return iterate

    monkeypatch.setattr("bot.worker.runner.Painting", Paced)
    monkeypatch.setattr("bot.worker.runner.time", SimpleNamespace(monotonic=lambda: now[0]))
    return seconds


def test_pace_and_time_left_are_those_of_the_painting(paint, ask, paced):
    events = paint(make_order(ask()))
    emitted = of(Progress, events)
    assert [event.step for event in emitted] == [1, 2, 3, 4, 5, 6]
    assert [event.per_second for event in emitted] == pytest.approx([2.0] * 6)
    assert [event.seconds_left for event in emitted] == pytest.approx([2.5, 2.0, 1.5, 1.0, 0.5, 0.0])
    assert events[-1].seconds == pytest.approx(3.0)


def test_a_slower_pace_is_reported_by_and_by(paint, ask, paced):
    paced[:] = [1.0, 2.0, 2.0]
    first, second, third, *_ = of(Progress, paint(make_order(ask())))
    assert 1 / first.per_second == pytest.approx(1.0)
    assert 1 / second.per_second == pytest.approx(0.7 * 1.0 + 0.3 * 2.0)
    assert 1 / third.per_second == pytest.approx(0.7 * 1.3 + 0.3 * 2.0)
    assert second.seconds_left == pytest.approx(4 * 1.3)


def test_progress_is_emitted_a_few_times_a_second_and_the_pace_counts_all_steps(paint, ask, paced):
    paced[:] = [0.1]
    emitted = of(Progress, paint(make_order(ask()), Controls(preview_wanted=False)))
    assert [event.step for event in emitted] == [3, 6]
    assert [event.per_second for event in emitted] == pytest.approx([10.0, 10.0])


def test_the_seconds_before_a_restart_count(paint, ask, often, paced):
    checkpoint = of(Checkpoint, paint(make_order(ask()), worker=often))[2]
    assert checkpoint.step == 3
    resumed = paint(make_order(ask(), checkpoint=checkpoint.content))
    assert resumed[-1].seconds == pytest.approx(1.5 + 1.5)
    assert [event.step for event in of(Progress, resumed)] == [4, 5, 6]
    assert of(Progress, resumed)[0].per_second == pytest.approx(2.0)
    assert of(Progress, resumed)[0].seconds_left == pytest.approx(1.0)


def test_checkpoints_come_in_the_seconds_that_are_set_and_none_twice(paint, ask, settings, paced):
    worker = settings.worker.model_copy(update={"checkpoint_seconds": 1.0})
    assert [event.step for event in of(Checkpoint, paint(make_order(ask()), worker=worker))] == [2, 4, 6]


def test_previews_come_when_they_are_asked_for_and_not_before_there_is_something_to_see(paint, ask, settings, paced):
    worker = settings.worker.model_copy(update={"first_preview_step": 3})
    controls = Controls()

    def ask_again(event):
        if isinstance(event, Progress) and event.step == 4:
            controls.preview_wanted = True

    emitted = of(Progress, paint(make_order(ask()), controls, worker, ask_again))
    assert [event.step for event in emitted if event.preview] == [3, 5]


@pytest.mark.parametrize(
    ("frames", "steps"), [(0, []), (1, [1, 7]), (2, [1, 4, 7]), (4, [1, 3, 5, 7]), (100, [*range(1, 8)])]
)
def test_as_many_frames_are_kept_as_are_set_and_the_last_picture(paint, ask, settings, frames, steps):
    worker = settings.worker.model_copy(update={"frames": frames})
    assert [event.step for event in of(Frame, paint(make_order(ask()), worker=worker))] == steps


def side(jpeg):
    """The longer side of a picture, in pixels."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        return max(picture.size)


@pytest.mark.parametrize(
    ("width", "enlarge_to", "preview_side", "previewed", "kept"),
    [
        (32, 0, 768, 32, 32),
        (32, 96, 768, 96, 32),
        (32, 100, 768, 128, 32),  # by a whole factor
        (32, 512, 64, 64, 32),
        (544, 0, 768, 544, 512),  # what frames are good for
        (544, 512, 300, 300, 512),
    ],
)
def test_previews_and_frames_are_as_large_as_they_are_shown(
    settings, tiny_models, cpu, ask, spec, width, enlarge_to, preview_side, previewed, kept
):
    models = ModelStore(settings.models.folder, cpu, embedded=tiny_models)
    worker = settings.worker.model_copy(update={"preview_side": preview_side, "first_preview_step": 1, "frames": 1})
    events = []
    runner = JobRunner(worker, models, lambda event, _: events.append(event), enlarge_to=enlarge_to)
    runner.paint(make_order(ask(spec=spec.but(width=width, steps=1))), Controls())
    assert [side(event.preview) for event in of(Progress, events)] == [previewed]
    assert [side(frame.jpeg) for frame in of(Frame, events)] == [kept, kept]


@pytest.mark.parametrize("upscales", [False, True])
def test_where_it_is_quick_previews_are_finished_as_pictures_are(
    settings, tiny_models, cpu, ask, spec, tmp_path, upscales
):
    folder = copytree(tiny_models, tmp_path / "pair")
    copy(EMBEDDED / "embedded-upscaler.safetensors", folder)
    models = ModelStore(settings.models.folder, cpu, embedded=folder)
    worker = settings.worker.model_copy(update={"first_preview_step": 1})
    events = []
    runner = JobRunner(worker, models, lambda event, _: events.append(event), enlarge_to=128)
    assert runner.upscales_previews is False  # this is a CPU
    runner.upscales_previews = upscales
    spec = spec.but(steps=1)
    runner.paint(make_order(ask(spec=spec)), Controls())
    picture = next(Painting(spec, models)).picture()
    wanted = models.upscaler("embedded").enlarged(picture, 128) if upscales else enlarged(picture, 128)
    assert [event.preview for event in of(Progress, events)] == [preview_jpeg(wanted, worker.preview_side)]


def test_the_frames_of_an_animation_are_those_of_its_film_and_no_last_one(paint, ask, spec):
    motion = Motion(seconds=1, fps=3, begin=2, each=2)
    moving = spec.but(motion=motion.model_dump(), steps=motion.steps)
    events = paint(make_order(ask(spec=moving)))
    assert [frame.step for frame in of(Frame, events)] == [2, 4, 6]
    assert events[-1].step == motion.steps == 6


@pytest.fixture
def timers(settings, tiny_models, cpu, monkeypatch):
    """Paint with a limit of seconds for each step; return how its timer was set and called off."""
    set_to = []
    monkeypatch.setattr(
        "bot.worker.runner.faulthandler",
        SimpleNamespace(
            dump_traceback_later=lambda seconds, **how: set_to.append((seconds, how)),
            cancel_dump_traceback_later=lambda: set_to.append("off"),
        ),
    )

    def paint(order, hang_seconds):
        worker = settings.worker.model_copy(update={"hang_seconds": hang_seconds})
        models = ModelStore(settings.models.folder, cpu, embedded=tiny_models)
        JobRunner(worker, models, lambda event, _: None).paint(order, Controls())
        return set_to

    return paint


def test_a_process_that_hangs_is_ended_by_a_timer_that_each_step_puts_off(timers, ask):
    began = (45.0, {"exit": True, "file": 2})
    assert timers(make_order(ask()), 45.0) == [began] * 7 + ["off"]


def test_where_no_time_is_set_nothing_is_ended(timers, ask):
    assert timers(make_order(ask()), 0.0) == ["off"]


def test_the_timer_is_called_off_when_a_painting_fails(timers, ask, monkeypatch):
    monkeypatch.setattr("bot.worker.runner.Painting", fails_with(ValueError("no")))
    assert timers(make_order(ask()), 45.0)[1:] == ["off"]


def test_what_is_painted_says_how_busy_the_gpu_is_and_how_far_it_is_from_the_words(
    settings, tiny_models, cpu, ask, spec
):
    models = ModelStore(settings.models.folder, cpu, embedded=tiny_models)
    events = []
    runner = JobRunner(settings.worker, models, lambda event, _: events.append(event))
    usages = iter([GpuUsage(0.5, 1), GpuUsage(0.75, 2)])
    runner.gpu = SimpleNamespace(usage=lambda: next(usages))  # pyright: ignore[reportAttributeAccessIssue]
    order = make_order(ask(spec=spec.but(steps=2)))
    runner.paint(order, Controls())
    iterates = list(Painting(order.spec, models))
    emitted = of(Progress, events)
    assert [event.gpu for event in emitted] == [GpuUsage(0.5, 1), GpuUsage(0.75, 2)][: len(emitted)]
    losses = {iterate.step: iterate.loss for iterate in iterates}
    assert emitted[0].loss == pytest.approx(losses[emitted[0].step])
    assert emitted[0].steps == 2


def test_a_lost_painting_goes_on_at_half_the_pace_of_learning(paint, ask, spec, often, monkeypatch):
    rates = []

    class Noted(LosesItself):
        def __init__(self, spec, models):
            super().__init__(spec, models)
            rates.append(spec.learning_rate)

    monkeypatch.setattr(LosesItself, "times", 1)
    monkeypatch.setattr("bot.worker.runner.Painting", Noted)
    painted = paint(make_order(ask()), worker=often)[-1]
    assert rates == [spec.learning_rate, spec.learning_rate / 2]
    assert isinstance(painted, Painted)


def test_what_was_said_stays_said_unless_it_was_about_words_that_are_gone(paint, ask):
    unknown = f"{UNKNOWN_WORDS} 'xyzzy'."
    order = make_order(ask(), notices=("Memory ran short.", unknown))
    assert paint(order)[-1].notices[:2] == order.notices
    steered = paint(order, Controls(steer=Steer(parse_prompts("a lighthouse"))))[-1]
    assert steered.notices[0] == "Memory ran short."
    assert unknown not in steered.notices
