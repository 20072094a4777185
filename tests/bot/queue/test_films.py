"""Films of a job's frames: how fast, how large, and what is said where there is none."""

import errno

import av
import pytest
from PIL import Image

from bot.full_disk import FULL_DISK
from bot.queue.files import GONE
from bot.queue.films import animation, film
from bot.worker.events import Failed, Rendered
from engine.pictures import preview_jpeg
from engine.spec import Motion
from tests.bot.conftest import make_job


@pytest.fixture
def job(ask):
    return make_job(ask(kind="timelapse", parent_id="parent23"), notices=("hidden",))


def keep_frames(files, count):
    for step in range(count):
        files.save_frame("parent23", step, preview_jpeg(Image.new("RGB", (32, 16), (step, 0, 0)), 32))


@pytest.mark.parametrize(("frames", "per_second"), [(1, 5.0), (40, 5.0), (80, 10.0), (240, 30.0), (300, 30.0)])
def test_a_film_lasts_eight_seconds_within_what_can_be_watched(job, files, settings, monkeypatch, frames, per_second):
    asked = []
    monkeypatch.setattr("bot.queue.films.write_timelapse", lambda *arguments: asked.append(arguments))
    keep_frames(files, frames)
    made = film(job, files, settings)
    assert isinstance(made, Rendered)
    assert made.picture == files.result_path(job)
    limit = settings.worker.film_megabytes * 2**20
    assert asked == [(files.frames("parent23"), made.picture, per_second, limit, settings.delivery.enlarge_to)]


def test_a_film_holds_its_frames(job, files, settings):
    keep_frames(files, 4)
    made = film(job, files, settings)
    assert isinstance(made, Rendered)
    assert (made.job_id, made.picture, made.step, made.notices) == (job.id, files.result_path(job), 4, ("hidden",))
    with av.open(made.picture) as opened:
        assert float(opened.streams.video[0].average_rate or 0) == pytest.approx(5.0, rel=0.01)


def test_a_full_disk_is_named_and_another_fault_is_not_hidden(job, files, settings, monkeypatch):
    keep_frames(files, 1)

    def fails(number):
        def write(*arguments):
            raise OSError(number, "no")

        return write

    monkeypatch.setattr("bot.queue.films.write_timelapse", fails(errno.ENOSPC))
    assert film(job, files, settings) == Failed(job.id, FULL_DISK)
    monkeypatch.setattr("bot.queue.films.write_timelapse", fails(errno.EIO))
    with pytest.raises(OSError, match="no"):
        film(job, files, settings)


def test_without_frames_there_is_no_film(job, files, settings, ask):
    assert film(job, files, settings) == Failed(job.id, GONE)
    assert film(make_job(ask(kind="timelapse")), files, settings) == Failed("abcdefgh", GONE)


def test_a_film_that_does_not_fit_says_so(job, files, settings):
    keep_frames(files, 3)
    worker = settings.worker.model_copy(update={"film_megabytes": 1e-5})
    failed = film(job, files, settings.model_copy(update={"worker": worker}))
    assert isinstance(failed, Failed)
    assert "does not fit" in failed.sentence


def test_the_same_film_is_not_made_twice(job, files, settings, ask):
    earlier = make_job(ask(kind="timelapse"), id="earlier2", step=9)
    keep_frames(files, 3)
    files.result_path(earlier).write_bytes(b"a film")
    files.result_path(job).write_bytes(b"half of one")
    made = film(job, files, settings, earlier)
    assert isinstance(made, Rendered)
    assert made.picture.read_bytes() == b"a film"
    assert made.step == 9
    again = film(make_job(ask(kind="timelapse", parent_id="parent23"), id="again234"), files, settings, earlier)
    assert isinstance(again, Rendered)
    assert again.picture.read_bytes() == b"a film"
    files.delete(earlier)
    assert made.picture.read_bytes() == b"a film"
    other = film(make_job(ask(kind="timelapse", parent_id="parent23"), id="other234"), files, settings, earlier)
    assert isinstance(other, Rendered)
    assert other.step == 3


MOTION = Motion(seconds=1, fps=6, begin=1, each=2)


@pytest.fixture
def animated(ask, spec):
    def make(**motion):
        moving = MOTION.model_copy(update=motion)
        return make_job(ask(spec=spec.but(motion=moving.model_dump(), steps=moving.steps)), id="parent23")

    return make


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_an_animation_becomes_the_film_that_was_asked_for(animated, files, settings, monkeypatch, kind):
    """At its own rate, its ends not held, within the limit; a GIF is as large as it was painted."""
    asked = []
    for name in ("write_gif", "write_timelapse"):
        writes = lambda frames, path, *rest, name=name, **more: asked.append((name, frames, path, rest, more))  # noqa: E731
        monkeypatch.setattr(f"bot.queue.films.{name}", writes)
    keep_frames(files, 3)
    job = animated(format=kind)
    path = animation(job, files, settings)
    assert path == files.animation_path(job)
    assert path is not None
    assert path.suffix == f".{kind}"
    limit = settings.worker.film_megabytes * 2**20
    rest, more = ((6, limit), {}) if kind == "gif" else ((6, limit, settings.delivery.enlarge_to), {"held": (0.0, 0.0)})
    assert asked == [("write_gif" if kind == "gif" else "write_timelapse", files.frames("parent23"), path, rest, more)]


def test_an_animation_is_made_once(animated, files, settings):
    job = animated()
    files.animation_path(job).write_bytes(b"a film")
    assert animation(job, files, settings) == files.animation_path(job)
    assert files.animation_path(job).read_bytes() == b"a film"


@pytest.mark.parametrize("frames", [0, 2])
def test_where_no_film_can_be_made_the_last_picture_is_shown(animated, files, settings, frames):
    job = animated()
    keep_frames(files, frames)
    tight = settings.model_copy(update={"worker": settings.worker.model_copy(update={"film_megabytes": 1e-5})})
    assert animation(job, files, tight) is None, "there is none yet"
    files.result_path(job).write_bytes(b"a picture")
    assert animation(job, files, tight) == files.result_path(job)


def test_what_does_not_move_has_a_picture_and_no_film(job, files, settings, ask):
    still = make_job(ask())
    assert animation(still, files, settings) is None
    files.result_path(still).write_bytes(b"a picture")
    assert animation(still, files, settings) == files.result_path(still)
