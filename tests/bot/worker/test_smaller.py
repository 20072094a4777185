"""What is painted smaller where memory does not hold it, by memory that seems to be short."""

import io
from dataclasses import replace

import pytest
import torch
from PIL import Image

from bot.jobs import smaller
from bot.worker.events import Checkpoint, Painted, Shrunk, Started
from bot.worker.orders import Controls
from bot.worker.runner import JobRunner
from engine.devices import Device
from engine.models import ModelStore
from engine.painting import Painting
from tests.bot.conftest import make_order


def test_no_memory_for_the_watch_is_no_memory(settings, tiny_models, cpu, ask, spec, monkeypatch):
    """The timer against hangs is a thread; under a full memory it cannot be started, in the middle of a painting."""
    events, started = [], iter(range(100))

    def refuse(*_, **__):
        if next(started) == 2:
            raise RuntimeError("unable to start watchdog thread")

    monkeypatch.setattr("bot.worker.runner.faulthandler.dump_traceback_later", refuse)
    models = ModelStore(settings.models.folder, cpu, embedded=tiny_models)
    order = make_order(ask(spec=spec.but(width=96, height=96)))
    JobRunner(settings.worker, models, lambda event, _: events.append(event)).paint(order, Controls())
    ends = [type(event) for event in events if isinstance(event, Started | Shrunk | Painted)]
    assert ends == [Started, Shrunk, Started, Painted]


class NeedsRoom(Painting):
    """Run out of memory above so many pixels a side."""

    most = 64
    error: BaseException

    def __next__(self):
        if self.spec.width > self.most:
            raise self.error
        return super().__next__()


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (MemoryError(), "(MemoryError)"),
        (torch.OutOfMemoryError("CUDA out of memory.\nAnd much more"), "(CUDA out of memory.)"),
    ],
)
def test_memory_that_runs_out_again_and_again_is_said_once(
    settings, tiny_models, cpu, ask, spec, monkeypatch, caplog, error, logged
):
    monkeypatch.setattr(NeedsRoom, "error", error, raising=False)
    monkeypatch.setattr("bot.worker.runner.Painting", NeedsRoom)
    given = []

    def give_back(device):
        given.append(device)

    monkeypatch.setattr(Device, "give_back", give_back)
    models, events = ModelStore(settings.models.folder, cpu, embedded=tiny_models), []
    order = make_order(ask(spec=spec.but(width=128, height=128)), notices=("first",))
    JobRunner(settings.worker, models, lambda event, _: events.append(event)).paint(order, Controls())
    said = [("first", f"Memory ran short: painted at {side} × {side} instead of 128 × 128.") for side in (96, 64)]
    shrunk = [Shrunk(order.job_id, side, side, notices) for side, notices in zip((96, 64), said, strict=True)]
    assert [event for event in events if isinstance(event, Shrunk)] == shrunk
    assert events[-1].notices == said[-1]
    assert len(given) == 2
    assert f"no memory for 128 × 128 pixels {logged}" in caplog.text
    assert [event.step for event in events if isinstance(event, Started)] == [0, 0, 0]


def test_a_checkpoint_of_the_larger_size_does_not_break_the_smaller_one(settings, tiny_models, cpu, ask, spec):
    often = settings.worker.model_copy(update={"checkpoint_seconds": 1e-9})
    models = ModelStore(settings.models.folder, cpu, embedded=tiny_models)
    large, events = make_order(ask(spec=spec.but(width=96, height=96))), []
    JobRunner(often, models, lambda event, _: events.append(event)).paint(large, Controls())
    checkpoint = next(event for event in events if isinstance(event, Checkpoint))
    small = smaller(large.spec)
    assert small is not None
    events.clear()
    order = replace(large, spec=small, checkpoint=checkpoint.content)
    JobRunner(settings.worker, models, lambda event, _: events.append(event)).paint(order, Controls())
    assert events[0] == Started(large.job_id, 0, 6)
    with Image.open(io.BytesIO(events[-1].pictures[0])) as picture:
        assert picture.size == (small.width, small.height)
