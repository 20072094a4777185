"""One job painted, and what may go wrong with it."""

import errno
import io
import threading
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load

from bot.full_disk import FULL_DISK
from bot.worker.events import Checkpoint, Failed, Frame, Painted, Progress, Started, Stopped
from bot.worker.orders import Controls, Steer
from bot.worker.runner import JobRunner
from engine.models import ModelStore
from engine.painting import Painting
from engine.pictures import BadPictureError, spec_of
from engine.prompts import Prompt, parse_prompts
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
    (tmp_path / "picture.png").write_bytes(events[-1].picture)
    assert spec_of(tmp_path / "picture.png") == order.spec
    assert load(events[-1].latent)["z"].shape[0] == 1
    assert [frame.step for frame in of(Frame, events)] == [1, 3, 5, 7]
    assert all(frame.jpeg.startswith(b"\xff\xd8") for frame in of(Frame, events))


def test_inputs_come_with_the_order_and_nothing_stays(paint, ask, spec, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    prompts = (*spec.prompts, Prompt(kind="image", content="b.png"))
    wanted = spec.but(init_image="a.png", prompts=prompts)
    inputs = {"a.png": png("red"), "b.png": png("blue")}
    painted = paint(make_order(ask(spec=wanted), inputs=inputs))[-1]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "picture.png").write_bytes(painted.picture)
    assert spec_of(tmp_path / "picture.png") == wanted
    other = paint(make_order(ask(spec=wanted), inputs={**inputs, "a.png": png("green")}))[-1]
    assert other.picture != painted.picture


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
    assert second[-1].picture == whole.picture
    assert second[-1].latent == whole.latent


def test_a_resumed_painting_goes_towards_the_prompts_of_its_order(paint, ask, spec, often):
    """Somebody steered it after the checkpoint, or while nobody painted."""
    checkpoint = of(Checkpoint, paint(make_order(ask()), worker=often))[2].content
    apple = paint(make_order(ask(), checkpoint=checkpoint))[-1]
    steered = make_order(ask(spec=spec.but(prompts=parse_prompts("a lighthouse"))), checkpoint=checkpoint)
    assert paint(steered)[-1].latent != apple.latent


def test_steering_holds_from_the_next_step(paint, ask, spec, tmp_path):
    prompts = (Prompt(kind="image", content="b.png"),)
    controls = Controls()

    def steer_at_the_start(event):
        if isinstance(event, Started):
            controls.steer = Steer(prompts, {"b.png": png("blue")})

    painted = paint(make_order(ask()), controls, on_event=steer_at_the_start)[-1]
    assert painted.latent != paint(make_order(ask()))[-1].latent
    (tmp_path / "picture.png").write_bytes(painted.picture)
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
