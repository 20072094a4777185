"""One job of several pictures: painted as one batch, in turns where memory does not hold that, and like any other."""

import io
from dataclasses import replace

import pytest
from PIL import Image

import engine.painting
from bot.worker.events import Checkpoint, Frame, Painted, Progress, Started, Stopped
from bot.worker.orders import Controls, Steer
from bot.worker.runner import JobRunner
from engine.models import ModelStore
from engine.pictures import spec_of
from engine.prompts import parse_prompts
from tests.bot.conftest import make_order


@pytest.fixture
def four(ask, spec):
    return make_order(ask(spec=spec.but(count=4)))


@pytest.fixture(params=["batch", "in turns"])
def paint(request, settings, tiny_models, cpu, monkeypatch):
    """Paint an order here and now; return its events. In turns, because no batch fits into memory."""
    models = ModelStore(settings.models.folder, cpu, embedded=tiny_models)
    if request.param == "in turns":
        step = engine.painting.Painting.__next__

        def out_of_memory(painting):
            if painting.spec.count > 1:
                raise MemoryError
            return step(painting)

        monkeypatch.setattr(engine.painting.Painting, "__next__", out_of_memory)
    worker = settings.worker.model_copy(update={"checkpoint_seconds": 1e-9})

    def run(order, controls=None, on_event=lambda event: None):
        events = []

        def emit(event, attempt):
            events.append(event)
            on_event(event)

        JobRunner(worker, models, emit).paint(order, controls or Controls())
        return events

    return run


def size_of(picture):
    with Image.open(io.BytesIO(picture)) as image:
        return image.size


def difference(one, other):
    first, second = (Image.open(io.BytesIO(picture)).convert("RGB").tobytes() for picture in (one, other))
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def test_each_picture_has_its_seed_and_frames_and_previews_show_all(paint, four, tmp_path):
    events = paint(four)
    painted = events[-1]
    assert isinstance(painted, Painted)
    assert len(set(painted.pictures)) == len(set(painted.latents)) == 4
    for index, picture in enumerate(painted.pictures):
        path = tmp_path / f"{index}.png"
        path.write_bytes(picture)
        assert spec_of(path) == four.spec.alone(index)
        [alone] = paint(replace(four, spec=four.spec.alone(index)))[-1].pictures
        assert difference(picture, alone) <= 2, "the same up to rounding"
    assert {size_of(event.jpeg) for event in events if isinstance(event, Frame)} == {(64, 64)}
    assert [size_of(event.preview) for event in events if isinstance(event, Progress) and event.preview] == [(64, 64)]


def test_an_interrupted_one_ends_in_the_same_pictures(paint, four):
    whole = paint(four)[-1]
    controls = Controls()

    def leave_after_three(event):
        if isinstance(event, Checkpoint) and event.step == 3:
            controls.end = "leave"

    first = paint(four, controls, leave_after_three)
    assert first[-1] == Stopped(four.job_id, back_soon=True)
    checkpoint = [event for event in first if isinstance(event, Checkpoint)][-1]
    second = paint(replace(four, attempt=2, checkpoint=checkpoint.content))
    assert second[0] == Started(four.job_id, 3, 6)
    assert (second[-1].pictures, second[-1].latents) == (whole.pictures, whole.latents)


def test_it_is_steered_and_stopped_as_one(paint, four, tmp_path):
    prompts = parse_prompts("a lighthouse")
    controls = Controls(steer=Steer(prompts))

    def stop_after_four(event):
        if isinstance(event, Checkpoint) and event.step == 4:
            controls.end = "keep"

    painted = paint(four, controls, stop_after_four)[-1]
    assert (painted.step, len(painted.pictures)) == (4, 4)
    (tmp_path / "picture.png").write_bytes(painted.pictures[3])
    assert spec_of(tmp_path / "picture.png").prompts == prompts
