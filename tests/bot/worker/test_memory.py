"""Memory that really runs out: the process may take only so much, and asks for more."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from bot.jobs import JobState, smaller
from bot.worker.events import Checkpoint, Painted, Shrunk, Started
from bot.worker.orders import Controls
from bot.worker.runner import JobRunner
from engine.devices import Device
from engine.models import ModelStore
from engine.painting import Painting
from engine.pictures import spec_of
from tests.bot.conftest import make_order, row
from tests.bot.queue.test_kill import PAINT
from tests.warm_processes import Program

MEGABYTES, NEXT_TO_NOTHING = 250, 20
"""More than the process needs, and less than the picture does; less than any picture does."""


@pytest.fixture
def paint(tmp_path, tiny_models):
    """Let a process paint what the ledger holds, with so many megabytes more than it has at the start."""

    def start(*megabytes):
        return Program(PAINT, tmp_path, tiny_models, *megabytes)

    return start


def lines(process):
    with process:
        return [line.split() for line in process.stdout]


async def test_what_does_not_fit_is_painted_smaller_and_said(ledger, tmp_path, paint, ask, spec):
    large = spec.but(width=512, height=384, steps=2)
    job, _ = await ledger.add(ask(spec=large))
    fits, _ = await ledger.add(ask(spec=spec))
    printed = lines(paint(MEGABYTES))
    assert [line[0] for line in printed].count("Rendered") == 2, printed
    painted = (await row(ledger, job.id)).spec
    assert painted == large.but(width=painted.width, height=painted.height)
    assert painted.width * painted.height <= 0.6 * 512 * 384
    assert spec_of(tmp_path / "pictures" / f"{job.id}.png") == painted
    notice = f"Memory ran short: painted at {painted.width} × {painted.height} instead of 512 × 384."
    assert [said for said in (await row(ledger, job.id)).notices if "painted at" in said] == [notice]
    assert (await row(ledger, fits.id)).spec == spec
    assert (await row(ledger, fits.id)).notices == ()


async def test_what_does_not_fit_at_any_size_is_a_plain_sentence(ledger, paint, ask, spec):
    """The process has all but nothing to spare, so that not even the smallest picture fits."""
    job, _ = await ledger.add(ask(spec=spec.but(width=512, height=512, steps=2)))
    lines(paint(NEXT_TO_NOTHING))
    ended = await row(ledger, job.id)
    assert ended.state is JobState.FAILED
    assert ended.error == "There is not enough memory for this, not even at 64 × 64 pixels; try again later."


async def test_a_restart_in_the_middle_goes_on_at_the_smaller_size(ledger, tmp_path, paint, ask, spec):
    job, _ = await ledger.add(ask(spec=spec.but(width=512, height=512, steps=400)))
    process = paint(MEGABYTES)
    seen = []
    for line in process.stdout:
        seen.append(line.split())
        if line.startswith("Checkpointed"):
            break
    process.kill()
    process.wait()
    assert ["Shrunk", job.id] in seen
    await ledger.database.write("UPDATE jobs SET spec = json_set(spec, '$.steps', ?)", (int(seen[-1][2]) + 3,))
    size = (await row(ledger, job.id)).spec.width
    assert 64 <= size < 512
    printed = lines(paint())  # all the memory there is
    assert int(next(line for line in printed if line[0] == "Started")[2]) >= int(seen[-1][2])
    ended = await row(ledger, job.id)
    assert ended.state is JobState.RENDERED
    assert spec_of(tmp_path / "pictures" / f"{job.id}.png").width == size
    assert f"Memory ran short: painted at {size} × {size} instead of 512 × 512." in ended.notices


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

    def __next__(self):
        if self.spec.width > self.most:
            raise MemoryError
        return super().__next__()


def test_memory_that_runs_out_again_and_again_is_said_once(settings, tiny_models, cpu, ask, spec, monkeypatch, caplog):
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
    assert "no memory for 128 × 128 pixels (MemoryError)" in caplog.text
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


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((512, 512), (368, 368)), ((512, 288), (368, 208)), ((128, 128), (96, 96)), ((96, 96), (64, 64))],
)
def test_smaller_is_half_the_area_in_the_same_shape(spec, size, wanted):
    found = smaller(spec.but(width=size[0], height=size[1]))
    assert found is not None
    assert (found.width, found.height) == wanted


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (512, 64)])
def test_what_would_show_nothing_is_not_tried(spec, size):
    assert smaller(spec.but(width=size[0], height=size[1])) is None


async def test_words_given_meanwhile_stay(ledger, ask, spec):
    job, _ = await ledger.add(ask(spec=spec.but(width=128, height=128)))
    await ledger.claim(job.id)
    other = spec.prompts[0].model_copy(update={"content": "a green apple"})
    await ledger.note_steer(job.id, (other,), "a green apple")
    shrunk = Shrunk(job.id, 96, 96, ("Memory ran short.",))
    await ledger.note_smaller(job.id, shrunk.width, shrunk.height, shrunk.notices, attempt=1)
    noted = await row(ledger, job.id)
    assert (noted.spec.width, noted.spec.prompts, noted.notices) == (96, (other,), ("Memory ran short.",))
