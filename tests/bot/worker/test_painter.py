"""What a painter is to the queue, wherever it paints: which orders and controls it passes on, and what it tells."""

import asyncio
import logging
import threading

import pytest
import torch

from bot.worker import painter as base
from bot.worker.events import GpuUsage, Progress, Started
from bot.worker.orders import Control, Steer
from bot.worker.painter import Callbacks, WatchedPainter, call_on
from engine.devices import Device
from tests.bot.conftest import make_order, until

JOB = "abcdefgh"
PROGRESS = Progress(JOB, 3, 6, 2.5, 1.2, 0.5, gpu=GpuUsage(0.5, 7))


class Noted(WatchedPainter):
    """A painter that paints nothing and notes what it is asked for."""

    def __init__(self, hang_seconds=0.0):
        self.sent, self.told, self.hung = [], [], 0
        on_event, on_free, on_lost = (self.note(name) for name in ("event", "free", "lost"))
        super().__init__(Callbacks(on_event, on_free, on_lost), hang_seconds)
        self.here = True

    def note(self, name):
        return lambda *arguments: self.told.append((name, *arguments))

    async def start(self):
        pass

    async def close(self, seconds):
        self._leave()

    @property
    def alive(self):
        return self.here

    def _send(self, message):
        self.sent.append(message)

    def _end_hung(self):
        self.hung += 1


@pytest.fixture
def painter():
    return Noted()


@pytest.fixture
def order(ask):
    return make_order(ask(), attempt=3)


async def test_an_order_is_passed_on_and_worked_off(painter, order):
    assert painter.free
    assert painter.job_id is None
    assert painter.node == "", "this machine"
    painter.paint(order)
    assert painter.sent == [order]
    assert (painter.free, painter.job_id) == (False, JOB)
    painter._on_event(PROGRESS, 3)
    assert (painter.steps_per_second, painter.gpu) == (2.5, PROGRESS.gpu)
    painter._on_event(Started(JOB, 0, 6), 3)
    assert painter.steps_per_second == 2.5
    assert painter.told == [("event", PROGRESS, 3), ("event", Started(JOB, 0, 6), 3)]
    painter._finished()
    assert painter.told[2:] == [("free",)]
    assert (painter.free, painter.job_id, painter.jobs) == (True, None, 1)
    assert (painter.steps_per_second, painter.gpu) == (0, None)
    painter.here = False
    assert not painter.free


async def test_a_job_is_lost_once_and_only_where_there_is_one(painter, order):
    painter._lost()
    assert painter.told == []
    painter.paint(order)
    painter._lost()
    painter._lost()
    assert painter.told == [("lost", JOB)]
    assert (painter.free, painter.jobs, painter.restarts) == (True, 0, 0)


@pytest.mark.parametrize(
    ("ask_for", "control"),
    [
        (lambda one, job: one.want_preview(job), ("preview_wanted", True)),
        (lambda one, job: one.steer(job, Steer(())), ("steer", Steer(()))),
        (lambda one, job: one.finish_early(job), ("end", "keep")),
        (lambda one, job: one.give_up(job), ("end", "drop")),
    ],
)
async def test_a_control_goes_to_the_job_it_is_meant_for(painter, order, ask_for, control):
    ask_for(painter, JOB)
    painter.paint(order)
    ask_for(painter, "zzzzzzzz")
    assert painter.sent == [order]
    ask_for(painter, JOB)
    assert painter.sent[1:] == [Control(JOB, *control)]


def ends(painter):
    return [one.value for one in painter.sent if isinstance(one, Control) and one.name == "end"]


async def test_a_job_that_is_given_up_is_not_kept_after_all(painter, order):
    painter.paint(order)
    painter.finish_early(JOB)
    painter.finish_early(JOB)
    painter.give_up(JOB)
    painter.finish_early(JOB)
    assert ends(painter) == ["keep", "drop"]
    painter._finished()
    painter.paint(order)
    painter.finish_early(JOB)
    assert ends(painter) == ["keep", "drop", "keep"], "it is about the job, not the painter"


@pytest.mark.parametrize(
    ("before", "sent"),
    [("", ["leave"]), ("want_preview", ["leave"]), ("finish_early", ["keep"]), ("give_up", ["drop"])],
)
async def test_at_the_end_a_job_is_left_for_the_next_start_unless_it_ends_anyway(painter, order, before, sent):
    painter.paint(order)
    if before:
        getattr(painter, before)(JOB)
    await painter.close(1)
    assert ends(painter) == sent
    assert painter.sent[-1] is None


async def test_without_a_job_there_is_only_the_end_to_send(painter):
    await painter.close(1)
    assert painter.sent == [None]


@pytest.mark.parametrize(("dtype", "said"), [(torch.float32, "float32"), (torch.bfloat16, "bfloat16")])
def test_a_chip_is_its_name_and_precision(painter, dtype, said):
    assert painter.chip is None
    painter.device = Device(torch.device("cpu"), dtype, "A Chip")
    assert painter.chip == f"A Chip, {said}"


class Clock:
    """A clock that goes on when it is told to, and calls what has become due."""

    def __init__(self, monkeypatch):
        self.now, self.later = 1000.0, []
        monkeypatch.setattr(base.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self.call_later)

    def call_later(self, seconds, callback, *arguments):
        self.later.append((self.now + seconds, callback, arguments))

    def go_on(self, seconds):
        self.now += seconds
        due = [one for one in self.later if one[0] <= self.now]
        self.later = [one for one in self.later if one[0] > self.now]
        for _, callback, arguments in due:
            callback(*arguments)


async def test_a_painter_is_ended_that_is_silent_for_half_as_long_again_as_it_may(order, monkeypatch):
    painter, clock = Noted(hang_seconds=100), Clock(monkeypatch)
    painter.paint(order)
    clock.go_on(149)
    painter._on_event(PROGRESS, 3)
    clock.go_on(1)
    clock.go_on(148)
    assert painter.hung == 0
    clock.go_on(1)
    assert painter.hung == 1
    clock.go_on(149)
    assert painter.hung == 1
    clock.go_on(1)
    assert painter.hung == 2, "asked again, since it is still there"
    painter._lost()
    clock.go_on(1000)
    assert painter.hung == 2
    assert clock.later == [], "nothing is watched any more"


async def test_what_takes_long_to_end_is_not_asked_at_once_again(order, monkeypatch):
    painter, clock = Noted(hang_seconds=10), Clock(monkeypatch)
    painter.paint(order)
    clock.go_on(15)
    clock.go_on(59)
    assert painter.hung == 1
    clock.go_on(1)
    assert painter.hung == 2


async def test_the_watch_over_an_order_ends_with_it(order, ask, monkeypatch):
    painter, clock = Noted(hang_seconds=100), Clock(monkeypatch)
    painter.paint(order)
    clock.go_on(140)
    painter._finished()
    painter.paint(make_order(ask()))
    clock.go_on(140)
    assert painter.hung == 0, "the second has not been silent for long"
    clock.go_on(10)
    assert painter.hung == 1


async def test_without_patience_set_nothing_is_watched(order, monkeypatch):
    clock = Clock(monkeypatch)
    Noted(hang_seconds=0).paint(order)
    assert clock.later == []


async def test_another_thread_calls_on_the_loop():
    called = []
    loop = asyncio.get_running_loop()
    note = lambda *what: called.append((threading.current_thread(), *what))  # noqa: E731
    threading.Thread(target=call_on, args=(loop, note, 1, "a")).start()
    await until(lambda: called)
    assert called == [(threading.main_thread(), 1, "a")]


def test_calling_on_a_loop_that_is_closed_is_no_error(caplog):
    loop = asyncio.new_event_loop()
    loop.close()
    with caplog.at_level(logging.WARNING):
        call_on(loop, print)
    assert caplog.text == ""
