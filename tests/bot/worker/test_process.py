"""A painter that is a process: what it makes of all that its child says and of its end; what the child does."""

import asyncio
import functools
import multiprocessing
import signal
import sys
import threading

import pytest
import torch

from bot.worker import process
from bot.worker.events import Painted, Started
from bot.worker.orders import Control
from bot.worker.painter import Callbacks
from bot.worker.process import ProcessPainter
from engine.devices import BadDeviceError, Device
from engine.models import ModelStore
from tests.bot.conftest import make_order
from tests.bot.worker.children import DEVICE, Later


@pytest.fixture
def painter(settings, children, told):
    names = ("event", "free", "lost")
    callbacks = Callbacks(*(lambda *what, name=name: told.append((name, *what)) for name in names))
    return ProcessPainter(settings, callbacks, threads=3)


async def start(painter, children):
    starting = asyncio.create_task(painter.start())
    await asyncio.sleep(0)
    assert not painter.free, "its child is only starting"
    children[0].say(DEVICE)
    await starting
    return children[0]


async def test_it_is_ready_when_its_child_is(painter, children, settings, told):
    assert (painter.alive, painter.pid) == (False, None)
    child = await start(painter, children)
    assert (child.name, child.main, child.arguments) == ("painter", process.main, (settings, 3))
    assert (painter.device, painter.alive, painter.pid, painter.free) == (DEVICE, True, child.pid, True)
    assert told == []


@pytest.mark.parametrize("error", [BadDeviceError("no such device"), RuntimeError("broken")])
async def test_what_a_child_cannot_start_for_is_passed_on(painter, children, error):
    starting = asyncio.create_task(painter.start())
    await asyncio.sleep(0)
    children[0].say(error)
    with pytest.raises(type(error), match=str(error)):
        await starting
    assert not painter.free


async def test_a_child_that_dies_at_its_start_is_not_started_again(painter, children, monkeypatch):
    starting = asyncio.create_task(painter.start())
    await asyncio.sleep(0)
    later = Later(asyncio.get_running_loop(), monkeypatch)
    children[0].exit(-9)
    with pytest.raises(RuntimeError, match="ended with code -9 at its start"):
        await starting
    assert later.asked == []


async def test_an_order_goes_to_the_child_and_its_events_come_back(painter, children, told, ask):
    child, order = await start(painter, children), make_order(ask(), attempt=4)
    painter.paint(order)
    painter.give_up(order.job_id)
    assert child.sent == [order, Control(order.job_id, "end", "drop")]
    child.say((Started(order.job_id, 0, 6), 4))
    assert not painter.free
    child.say(None)
    assert told == [("event", Started(order.job_id, 0, 6), 4), ("free",)]
    assert (painter.free, painter.jobs) == (True, 1)


async def test_a_child_that_dies_loses_its_job_and_is_started_anew(painter, children, told, ask, monkeypatch):
    first = await start(painter, children)
    painter.paint(make_order(ask()))
    later = Later(asyncio.get_running_loop(), monkeypatch)
    first.exit(-9)
    assert told == [("lost", "abcdefgh")]
    assert (painter.alive, painter.free, painter.restarts) == (False, False, 0)
    assert later.do() == 0.5
    assert (len(children), painter.restarts) == (2, 1)
    assert painter.alive
    assert not painter.free, "it is only starting"
    children[1].say(DEVICE)
    assert painter.free
    assert told[1:] == [("free",)]
    children[1].exit(1)
    assert later.do() == 1, "longer after a second early death"
    children[2].age = 100
    children[2].exit(1)
    assert later.do() == 0.5


async def test_a_new_child_that_cannot_start_takes_no_orders(painter, children, told, monkeypatch):
    first = await start(painter, children)
    later = Later(asyncio.get_running_loop(), monkeypatch)
    first.exit(1)
    later.do()
    children[1].say(BadDeviceError("the card is gone"))
    assert not painter.free
    assert told == []
    children[1].exit(0)
    later.do()
    children[2].say(DEVICE)
    assert painter.free


@pytest.mark.parametrize("ends", [True, False])
async def test_at_the_end_the_child_is_left_its_time_and_not_replaced(
    painter, children, told, ask, monkeypatch, caplog, ends
):
    child = await start(painter, children)
    painter.paint(make_order(ask()))
    later = Later(asyncio.get_running_loop(), monkeypatch)
    child.ends = ends
    await painter.close(7.5)
    assert child.sent[1:] == [Control("abcdefgh", "end", "leave"), None]
    assert child.waited == [7.5]
    assert ("No end within" in caplog.text) is not ends
    child.exit(0)
    assert (later.asked, told, len(children)) == ([], [], 1)


async def test_a_restart_that_was_planned_before_the_end_does_not_come(painter, children, monkeypatch):
    child = await start(painter, children)
    later = Later(asyncio.get_running_loop(), monkeypatch)
    child.exit(1)
    await painter.close(1)
    later.do()
    assert len(children) == 1


async def test_one_that_was_never_started_ends(painter):
    await painter.close(1)


async def test_a_child_that_hangs_is_killed(painter, children, ask):
    child = await start(painter, children)
    painter.paint(make_order(ask()))
    painter._end_hung()
    assert child.killed


@pytest.fixture
def in_child(monkeypatch, tiny_models):
    """What only a process of its own may do to itself is undone."""
    monkeypatch.setattr("bot.worker.thread.ModelStore", functools.partial(ModelStore, embedded=tiny_models))
    set_up = []
    monkeypatch.setattr(process.logs, "set_up", set_up.append)
    left = []
    monkeypatch.setattr(process.os, "_exit", lambda code: left.append(code) or sys.exit())
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    ours, end = multiprocessing.Pipe()
    yield ours, end, set_up
    ours.close()
    for receiver in [one for one in threading.enumerate() if "_receive" in one.name]:
        assert receiver.daemon, "a child can end while its parent says nothing"
        receiver.join(10)
    assert left in ([], [1]), "without its parent it ends"
    for one, handler in before.items():
        signal.signal(one, handler)
    torch.set_num_threads(threads)


def said(pipe):
    while pipe.poll():
        yield pipe.recv()


def test_the_child_paints_what_comes_until_none_comes(in_child, settings, ask, monkeypatch):
    ours, end, set_up = in_child
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    order = make_order(ask(), attempt=5)
    ours.send(order)
    ours.send(None)
    process.main(end, settings, 1)
    device, *events, last = said(ours)
    assert isinstance(device, Device)
    assert last is None, "it is free"
    assert {attempt for _, attempt in events} == {5}
    assert isinstance(events[0][0], Started)
    assert isinstance(events[-1][0], Painted)
    assert set_up == [settings.log]
    assert threads[0] == 1
    assert all(signal.getsignal(one) is signal.SIG_IGN for one in (signal.SIGINT, signal.SIGTERM))


def test_the_child_says_what_it_cannot_start_for(in_child, settings, monkeypatch):
    ours, end, _ = in_child
    worker = settings.worker.model_copy(update={"device": "cuda:9"})
    process.main(end, settings.model_copy(update={"worker": worker}))
    (error,) = said(ours)
    assert isinstance(error, BadDeviceError)
    assert "cuda:9" in str(error)


def test_the_child_ends_with_its_parent(in_child, monkeypatch):
    ours, end, _ = in_child
    codes = []
    monkeypatch.setattr(process.os, "_exit", lambda code: codes.append(code) or sys.exit())
    ours.close()
    with pytest.raises(SystemExit):
        process._receive(end, process.Inbox())
    assert codes == [1]
