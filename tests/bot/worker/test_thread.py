"""The painting thread: what it does for the loop, and what it leaves alone."""

import functools
import threading
from types import SimpleNamespace

import pytest
import torch

from bot.settings import ModelSettings
from bot.worker import thread
from bot.worker.events import Painted, Started
from bot.worker.painter import Callbacks
from bot.worker.thread import DeviceLostError, ThreadPainter, set_up
from engine.devices import BadDeviceError
from engine.models import ModelStore
from tests.bot.conftest import make_order, until
from tests.bot.worker.children import DEVICE


async def test_every_callback_is_called_on_the_loop(settings, tiny_models, monkeypatch, ask):
    monkeypatch.setattr("bot.worker.thread.ModelStore", functools.partial(ModelStore, embedded=tiny_models))
    events, threads = [], set()

    def receive(event, _):
        events.append(event)
        threads.add(threading.current_thread())

    painter = ThreadPainter(settings, Callbacks(receive, lambda: threads.add(threading.current_thread()), print))
    await painter.start()
    painter.paint(make_order(ask()))
    await until(lambda: painter.free)
    assert isinstance(events[-1], Painted)
    assert threads == {threading.current_thread()}
    await painter.close(5)


async def test_models_that_are_not_here_are_named_and_do_not_stop_the_start(settings, caplog):
    without = settings.model_copy(update={"models": ModelSettings(generator="wikiart-16384")})
    painter = ThreadPainter(without, Callbacks(print, print, print))
    await painter.start()
    assert "run `models fetch wikiart-16384`" in caplog.text
    assert painter.alive
    await painter.close(5)


class Told:
    """What the painter calls on the loop."""

    def __init__(self):
        self.free, self.lost = 0, []
        self.callbacks = Callbacks(lambda *_: None, self.freed, self.lost.append)

    def freed(self):
        self.free += 1


def painting(monkeypatch, paint):
    """Let something else be done with each order, at once ready."""
    runner = SimpleNamespace(paint=paint)
    monkeypatch.setattr(thread, "set_up", lambda settings, emit: (DEVICE, runner))


async def test_a_device_that_is_lost_takes_its_job_and_the_painter_with_it(settings, ask, monkeypatch):
    """Only a new process can use it; drivers hang, so that this one ends for certain."""

    def paint(order, controls):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    ends = []
    monkeypatch.setattr(thread.faulthandler, "dump_traceback_later", lambda *what, **how: ends.append((what, how)))
    painting(monkeypatch, paint)
    told = Told()
    painter = ThreadPainter(settings, told.callbacks)
    await painter.start()
    assert painter.device is DEVICE
    painter.paint(make_order(ask()))
    await until(lambda: told.lost)
    await until(lambda: not painter.alive)
    assert (told.lost, told.free, ends) == (["abcdefgh"], 0, [((60.0,), {"exit": True})])
    await painter.close(5)


async def test_it_works_off_one_order_after_the_other(settings, ask, monkeypatch):
    painted = []
    painting(monkeypatch, lambda order, controls: painted.append((order.attempt, controls.preview_wanted)))
    told = Told()
    painter = ThreadPainter(settings, told.callbacks)
    assert not painter.alive
    await painter.start()
    assert [one.daemon for one in threading.enumerate() if one.name == "painter"] == [True], "a process can end"
    for attempt in (1, 2):
        painter.paint(make_order(ask(), attempt=attempt))
        await until(lambda: painter.free)
    assert (painted, told.free, told.lost, painter.jobs) == ([(1, True), (2, True)], 2, [], 2)
    await painter.close(5)
    assert not painter.alive


async def test_it_does_not_wait_for_ever_for_its_end(settings, ask, monkeypatch, caplog):
    goes_on = threading.Event()
    painting(monkeypatch, lambda order, controls: goes_on.wait(60))
    painter = ThreadPainter(settings, Told().callbacks)
    await painter.start()
    painter.paint(make_order(ask()))
    await painter.close(0.01)
    assert "No end within" in caplog.text
    assert painter.alive
    goes_on.set()
    await until(lambda: not painter.alive)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (BadDeviceError("no such device"), BadDeviceError),
        (torch.AcceleratorError("CUDA error"), DeviceLostError),
    ],
)
async def test_what_it_cannot_start_for_is_passed_on(settings, monkeypatch, error, raised):
    def fails(settings, emit):
        raise error

    monkeypatch.setattr(thread, "set_up", fails)
    painter = ThreadPainter(settings, Told().callbacks)
    with pytest.raises(raised):
        await painter.start()
    await until(lambda: not painter.alive)


def test_the_usual_networks_are_loaded_before_the_first_job(settings, tiny_models, monkeypatch, ask):
    stores, events = [], []

    class Watched(ModelStore):
        def __init__(self, folder, device):
            super().__init__(folder, device, embedded=tiny_models)
            stores.append(self)

    monkeypatch.setattr(thread, "ModelStore", Watched)
    device, runner = set_up(settings, lambda event, attempt: events.append((event, attempt)))
    (store,) = stores
    assert (store.folder, store.device) == (settings.models.folder, device)
    assert str(device).startswith("cpu")
    assert list(store._generators) == list(store._perceptors) == ["embedded"]
    runner.paint(make_order(ask(), attempt=2), thread.Inbox()._latest[1])
    assert (type(events[0][0]), type(events[-1][0])) == (Started, Painted)
    assert {attempt for _, attempt in events} == {2}


def test_a_device_lost_while_networks_are_loaded_is_no_missing_network(settings, monkeypatch):
    def lost(*_, **__):
        raise torch.AcceleratorError("CUDA error")

    monkeypatch.setattr(ModelStore, "generator", lost)
    with pytest.raises(torch.AcceleratorError):
        set_up(settings, print)


def test_the_device_is_the_one_that_the_settings_say(settings, monkeypatch):
    asked = []
    monkeypatch.setattr(thread, "pick_device", lambda *what, **how: asked.append((*what, how)) or DEVICE)
    worker = settings.worker.model_copy(update={"device": "cuda:1", "precision": "bf16", "deterministic": True})
    set_up(settings.model_copy(update={"worker": worker}), print)
    assert asked == [("cuda:1", "bf16", {"deterministic": True})]
