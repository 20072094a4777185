"""One job on the runner, and what may go wrong there."""

import errno
import io
import threading
from pathlib import Path

import pytest
import torch

from bot.queue.files import FULL_DISK
from bot.worker.events import Checkpointed, Failed, Progress, Rendered, Started, Stopped
from bot.worker.runner import Controls, JobRunner
from engine.models import ModelStore
from engine.painting import Painting
from engine.pictures import BadPictureError, spec_of
from tests.bot.conftest import make_job


@pytest.fixture
def paint(settings, files, tiny_models, cpu):
    """Paint a job here and now; return its events."""
    models = ModelStore(settings.models.folder, cpu, embedded=tiny_models)

    def run(job, controls=None, worker=settings.worker, on_event=lambda event: None):
        events = []

        def tell(event):
            events.append(event)
            on_event(event)

        JobRunner(worker, models, files, tell).paint(job, controls or Controls())
        return events

    return run


@pytest.fixture
def often(settings):
    """Settings under which every step is saved."""
    return settings.worker.model_copy(update={"checkpoint_seconds": 1e-9})


def kinds(events):
    return [type(event) for event in events if not isinstance(event, Progress)]


def test_a_painting_leaves_a_picture_a_latent_and_frames(paint, files, ask):
    job = make_job(ask())
    events = paint(job)
    assert (kinds(events)[0], kinds(events)[-1]) == (Started, Rendered)
    assert spec_of(files.result_path(job)) == job.spec
    assert files.latent_path(job.id).is_file()
    assert [int(frame.stem) for frame in files.frames(job.id)] == [1, 3, 5, 7]
    assert not list(files.folder.rglob("*.part"))


def test_an_interrupted_painting_ends_in_the_same_picture(paint, files, ask, often):
    whole, halved = make_job(ask(), id="aaaaaaaa"), make_job(ask(), id="bbbbbbbb")
    paint(whole)
    controls = Controls()

    def leave_after_three(event):
        if isinstance(event, Checkpointed) and event.step == 3:
            controls.end = "leave"

    first = paint(halved, controls, often, leave_after_three)
    assert first[-1] == Stopped(halved.id, back_soon=True)
    assert not files.result_path(halved).exists()
    second = paint(halved)
    assert second[0] == Started(halved.id, 3, 6)
    assert files.result_path(halved).read_bytes() == files.result_path(whole).read_bytes()


@pytest.mark.parametrize(("end", "last"), [("keep", Rendered), ("drop", Stopped), ("leave", Stopped)])
def test_an_end_before_the_first_step(paint, files, ask, end, last):
    job = make_job(ask())
    assert kinds(paint(job, Controls(end=end))) == [Started, last]
    assert files.result_path(job).exists() is (last is Rendered)
    assert not files.checkpoint_path(job.id).exists()


class LosesItself(Painting):
    """Go NaN at step 4, as often as told."""

    times = 1

    def __next__(self):
        iterate = super().__next__()
        if self.step == 4 and LosesItself.times:
            LosesItself.times -= 1
            self.z.data.fill_(float("nan"))
        return iterate


@pytest.mark.parametrize(("times", "last"), [(1, Rendered), (2, Failed)])
def test_a_lost_painting_goes_on_once_from_its_checkpoint(paint, files, ask, often, monkeypatch, times, last):
    monkeypatch.setattr(LosesItself, "times", times)
    monkeypatch.setattr("bot.worker.runner.Painting", LosesItself)
    job = make_job(ask())
    events = paint(job, worker=often)
    assert [event.step for event in events if isinstance(event, Started)] == [0, 3]
    assert isinstance(events[-1], last)
    assert files.result_path(job).exists() is (last is Rendered)
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
def test_failures_are_told_in_a_sentence_and_the_easel_goes_on(paint, ask, monkeypatch, caplog, error, sentence):
    with monkeypatch.context() as broken:
        broken.setattr("bot.worker.runner.Painting", fails_with(error))
        failed = paint(make_job(ask()))[-1]
    assert isinstance(failed, Failed)
    assert sentence in failed.sentence
    assert "secret" not in failed.sentence
    assert "abcdefgh" in caplog.text
    assert isinstance(paint(make_job(ask()))[-1], Rendered)


def fill_disk_at(path):
    """Let everything that is written beside `path` first meet a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.part").symlink_to("/dev/full")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_at_the_end_is_a_sentence(paint, files, ask):
    job = make_job(ask())
    fill_disk_at(files.result_path(job))
    assert paint(job)[-1] == Failed(job.id, FULL_DISK)
    assert not files.result_path(job).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_on_the_way_costs_the_checkpoint_but_not_the_picture(paint, files, ask, often, caplog):
    job = make_job(ask())
    fill_disk_at(files.checkpoint_path(job.id))
    files.frame_path(job.id, 1).parent.mkdir(parents=True)
    files.frame_path(job.id, 1).symlink_to("/dev/full")
    events = paint(job, worker=often)
    assert isinstance(events[-1], Rendered)
    assert "could not be checkpointed" in caplog.text
    assert "no more are tried" in caplog.text


@pytest.mark.parametrize("field", ["init_image", "init_latent"])
def test_what_is_no_longer_kept_cannot_be_started_from(paint, ask, spec, field):
    failed = paint(make_job(ask(spec=spec.but(**{field: "pictures/gone.png"}))))[-1]
    assert "no longer kept" in failed.sentence


def test_a_checkpoint_holds_no_code(paint, files, ask, often):
    """Whatever lies there is read as numbers only."""
    job = make_job(ask())
    content = io.BytesIO()
    torch.save({"painting": threading.Thread.__init__, "seconds": 0.0}, content)
    files.checkpoint_path(job.id).write_bytes(content.getvalue())
    events = paint(job)
    assert events[0] == Started(job.id, 0, 6)
    assert isinstance(events[-1], Rendered)
