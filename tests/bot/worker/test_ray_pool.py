"""The painters of a cluster as its driver tells of them: who is ready, who broke down, who is gone for good."""

import asyncio
import sys
from typing import Any

import pytest

from bot.worker import ray_pool
from bot.worker.events import Started
from bot.worker.orders import Control
from bot.worker.pool import PoolCallbacks
from bot.worker.ray_messages import Emitted, EndHung, Finished, Joined, Left, ToPainter
from bot.worker.ray_pool import RayPool
from engine.devices import BadDeviceError
from tests.bot.conftest import make_order
from tests.bot.worker.children import DEVICE, Later

JOB = "abcdefgh"


@pytest.fixture
async def pool(settings, children, told):
    names = ("event", "free", "job lost", "device lost")
    callbacks = PoolCallbacks(*(lambda *what, name=name: told.append((name, *what)) for name in names))
    pool = RayPool(settings, callbacks)
    assert not pool.has_driver
    assert pool.driver_pid is None
    await pool.start()
    return pool


def join(driver, key=1, pid=11):
    driver.say(Joined(key, DEVICE, f"machine {key}", pid))


async def test_painters_are_there_once_the_driver_says_so(pool, children, told, settings):
    (driver,) = children
    assert (driver.name, driver.main, driver.arguments) == ("ray", ray_pool.drive, (settings,))
    assert (pool.has_driver, pool.driver_pid) == (True, driver.pid)
    assert (pool.painters, pool.alive) == ([], False)
    join(driver)
    (painter,) = pool.painters
    assert (painter.free, painter.device, painter.node, painter.pid) == (True, DEVICE, "machine 1", 11)
    assert painter.restarts == 0
    await painter.start()
    assert told == [("free",)]
    join(driver, key=2)
    assert [one.key for one in pool.painters] == [1, 2]


async def test_orders_and_controls_go_to_the_actor_and_its_events_come_back(pool, children, told, ask):
    (driver,) = children
    join(driver, 1)
    join(driver, 2)
    order = make_order(ask(), attempt=4)
    painter = pool.painters[1]
    painter.paint(order)
    pool.give_up(JOB)
    assert driver.sent == [ToPainter(2, order), ToPainter(2, Control(JOB, "end", "drop"))]
    driver.say(Emitted(2, Started(JOB, 0, 6), 4))
    assert pool.job_ids == [JOB]
    driver.say(Finished(2))
    assert told[2:] == [("event", Started(JOB, 0, 6), 4), ("free",)]
    assert (painter.free, painter.jobs, pool.painters[0].jobs) == (True, 1, 0)


async def test_an_actor_that_broke_down_loses_its_job_and_comes_back(pool, children, told, ask):
    (driver,) = children
    join(driver)
    (painter,) = pool.painters
    painter.paint(make_order(ask()))
    driver.say(Left(1))
    assert told[1:] == [("job lost", JOB)]
    assert (pool.painters, painter.alive, painter.free) == ([painter], False, False)
    join(driver, pid=12)
    assert (painter.free, painter.pid, painter.restarts) == (True, 12, 1)
    assert told[2:] == [("free",)]


async def test_a_machine_that_leaves_takes_its_painter_with_it(pool, children, told, ask):
    (driver,) = children
    join(driver, 1)
    join(driver, 2)
    pool.painters[0].paint(make_order(ask()))
    driver.say(Left(1, for_good=True))
    assert [painter.key for painter in pool.painters] == [2]
    assert told[2:] == [("job lost", JOB)]
    for late in (Emitted(1, Started(JOB, 0, 6), 1), Finished(1), Left(1)):
        driver.say(late)
    assert len(told) == 3, "what it still says is of nobody"
    join(driver, 1)
    assert [painter.restarts for painter in pool.painters] == [0, 0], "it is another one"


async def test_a_silent_actor_is_ended_first_and_then_the_driver(pool, children, ask):
    (driver,) = children
    join(driver)
    (painter,) = pool.painters
    painter.paint(make_order(ask()))
    painter._end_hung()
    assert (driver.sent[-1], driver.killed) == (EndHung(1), False)
    join(driver)
    painter._end_hung()
    assert not driver.killed, "it came back: this is the first time again"
    painter._end_hung()
    assert driver.killed


async def test_a_driver_that_ended_is_started_again_and_its_painters_are_gone(pool, children, told, ask, monkeypatch):
    join(children[0], 1)
    join(children[0], 2)
    pool.painters[1].paint(make_order(ask()))
    later = Later(asyncio.get_running_loop(), monkeypatch)
    children[0].exit(1)
    assert (pool.painters, pool.alive, told[2:]) == ([], False, [("job lost", JOB)])
    assert later.do() == 0.5
    assert len(children) == 2
    join(children[1], 1)
    assert pool.painters[0].free
    children[1].exit(1)
    assert later.do() == 1, "longer after a second early death"


async def test_painters_live_no_longer_than_their_driver(pool, children):
    join(children[0])
    assert pool.painters[0].alive
    children[0].alive = False
    assert not pool.painters[0].alive


@pytest.mark.parametrize("ends", [True, False])
async def test_at_the_end_jobs_are_left_for_the_next_start(pool, children, ask, monkeypatch, caplog, ends):
    (driver,) = children
    join(driver)
    pool.painters[0].paint(make_order(ask()))
    driver.ends = ends
    later = Later(asyncio.get_running_loop(), monkeypatch)
    await pool.close(7.5)
    assert driver.sent[1:] == [ToPainter(1, Control(JOB, "end", "leave")), None]
    assert driver.waited == [7.5]
    assert ("did not end within" in caplog.text) is not ends
    driver.exit(0)
    assert (later.asked, len(children)) == ([], 1)


async def test_a_restart_that_was_planned_before_the_end_does_not_come(pool, children, monkeypatch):
    later = Later(asyncio.get_running_loop(), monkeypatch)
    children[0].exit(1)
    await pool.close(1)
    later.do()
    assert len(children) == 1


async def test_without_ray_one_sentence_says_how_to_get_it(settings, children, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    pool = RayPool(settings, PoolCallbacks(print, print, print, print))
    with pytest.raises(BadDeviceError, match=r"pip install \.\[cluster\]"):
        await pool.start()
    await pool.close(1)
    assert children == []


def test_only_the_child_loads_ray(settings, monkeypatch):
    done = []
    monkeypatch.setattr("bot.worker.ray_driver.main", lambda *arguments: done.append(arguments))
    pipe: Any = "a pipe"
    ray_pool.drive(pipe, settings)
    assert done == [("a pipe", settings)]
