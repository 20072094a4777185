"""What holds for painters of every kind: they differ in how orders and events travel, and in nothing else."""

import asyncio
import functools

import pytest

from bot.worker import painter as base
from bot.worker.events import Checkpoint, Frame, Painted, Progress, Started, Stopped
from bot.worker.orders import Steer
from bot.worker.process import ProcessPainter
from bot.worker.thread import ThreadPainter
from engine.devices import BadDeviceError
from engine.models import ModelStore
from engine.pictures import spec_of
from engine.prompts import Prompt
from tests import warm_processes
from tests.bot.conftest import make_order, until
from tests.bot.worker import tiny_actor, tiny_child
from tests.bot.worker.clusters import LoneRayPainter, on_cluster, ray_cluster, with_worker
from tests.simulated import png

KINDS = {"thread": ThreadPainter, "process": ProcessPainter, "ray": LoneRayPainter}
HERE = ("thread", "process")
PATIENCE = 200.0
ENDLESS = 10_000


@pytest.fixture(scope="module")
def cluster():
    """A head that paints nothing, beside a machine with one painter."""
    with ray_cluster(machines=1) as one:
        yield one


@pytest.fixture(params=KINDS)
def make(request, settings, tiny_models, monkeypatch):
    """Make painters of one kind, one after the other; `received` holds what each sends."""
    monkeypatch.setattr("bot.worker.thread.ModelStore", functools.partial(ModelStore, embedded=tiny_models))
    monkeypatch.setattr("bot.worker.process.main", functools.partial(tiny_child.main, tiny_models, None))
    monkeypatch.setattr("bot.worker.ray_pool.drive", tiny_actor.drive)
    warm_processes.fork_painters(monkeypatch.setattr)
    if request.param == "ray":
        settings = on_cluster(settings, request.getfixturevalue("cluster"), tiny_models, painters=1)

    def new(received, **changes):
        callbacks = base.Callbacks(
            lambda event, attempt: received.append((event, attempt)),
            lambda: None,
            lambda job_id: received.append((job_id, 0)),
        )
        return KINDS[request.param](with_worker(settings, **changes), callbacks)

    return new


@pytest.fixture
async def started(make):
    """A painter that is ready, and what it sends."""
    received = []
    painter = make(received, checkpoint_seconds=0.05)
    await painter.start()
    yield painter, received
    await painter.close(5)


async def done(painter, received):
    """Wait until the order is worked off; return its events and the attempts that they are of."""
    await until(lambda: painter.free, PATIENCE)
    events, attempts = [event for event, _ in received], {attempt for _, attempt in received}
    received.clear()
    return events, attempts


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


async def test_bytes_go_in_and_bytes_come_out(started, settings, ask, spec, tmp_path):
    painter, received = started
    prompts = (*spec.prompts, Prompt(kind="image", content="b.png"))
    wanted = spec.but(init_image="a.png", prompts=prompts, steps=40)
    order = functools.partial(make_order, ask(spec=wanted), inputs={"a.png": png("red"), "b.png": png("blue")})
    assert str(painter.device).startswith("CPU") or "cpu" in str(painter.device).lower()
    painter.paint(order(attempt=7))
    assert painter.job_id == "abcdefgh"
    whole, attempts = await done(painter, received)
    assert attempts == {7}
    assert whole[0] == Started("abcdefgh", 0, 40)
    assert len(of(Frame, whole)) == 5
    (tmp_path / "picture.png").write_bytes(whole[-1].pictures[0])
    assert spec_of(tmp_path / "picture.png") == wanted

    painter.paint(order(attempt=8))
    await until(lambda: of(Checkpoint, [event for event, _ in received]), PATIENCE)
    painter.give_up("abcdefgh")
    cut, _ = await done(painter, received)
    assert cut[-1] == Stopped("abcdefgh")
    checkpoint = of(Checkpoint, cut)[-1]
    painter.paint(order(attempt=9, checkpoint=checkpoint.content))
    again, attempts = await done(painter, received)
    assert attempts == {9}
    assert again[0] == Started("abcdefgh", checkpoint.step, 40)
    assert (again[-1].pictures, again[-1].latents) == (whole[-1].pictures, whole[-1].latents)
    assert not settings.storage.folder.exists()


async def test_controls_reach_the_painting_and_only_the_one_they_are_meant_for(started, ask, spec, tmp_path):
    painter, received = started
    previews = lambda: [event for event, _ in received if isinstance(event, Progress) and event.preview]  # noqa: E731
    painter.paint(make_order(ask(spec=spec.but(steps=ENDLESS))))
    await until(previews, PATIENCE)
    for control in (painter.want_preview, painter.finish_early, painter.give_up):
        control("zzzzzzzz")
    painter.steer("zzzzzzzz", Steer(spec.prompts))
    seen = len(received)
    await until(lambda: len(received) > seen + 2, PATIENCE)
    assert len(previews()) == 1
    painter.want_preview("abcdefgh")
    await until(lambda: len(previews()) == 2, PATIENCE)
    prompts = (Prompt(kind="image", content="c.png"),)
    painter.steer("abcdefgh", Steer(prompts, {"c.png": png("green")}))
    painter.want_preview("abcdefgh")
    await until(lambda: len(previews()) == 3, PATIENCE)
    painter.finish_early("abcdefgh")
    events, _ = await done(painter, received)
    assert isinstance(events[-1], Painted)
    assert events[-1].step < ENDLESS
    (tmp_path / "picture.png").write_bytes(events[-1].pictures[0])
    assert spec_of(tmp_path / "picture.png").prompts == prompts


async def test_closing_leaves_a_checkpoint_within_its_time(started, ask, spec):
    painter, received = started
    painter.paint(make_order(ask(spec=spec.but(steps=ENDLESS))))
    await until(lambda: of(Progress, [event for event, _ in received]), PATIENCE)
    async with asyncio.timeout(10):
        await painter.close(8)
    assert not painter.alive
    await asyncio.sleep(0)
    events = [event for event, _ in received]
    assert events[-1] == Stopped("abcdefgh", back_soon=True)
    assert of(Checkpoint, events)
    await painter.close(8)


@pytest.mark.parametrize("make", HERE, indirect=True)  # which devices a cluster has is its own to say
async def test_a_device_that_is_not_here_is_named(make):
    painter = make([], device="cuda:9")
    with pytest.raises(BadDeviceError, match="cuda:9"):
        await asyncio.wait_for(painter.start(), 60)
    await painter.close(1)
