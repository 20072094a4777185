"""The driver of a cluster, with what stands for Ray and its actors: who is served, what is passed on, who is ended."""

import asyncio
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from bot.settings import RaySettings
from bot.worker import ray_driver
from bot.worker.events import Started
from bot.worker.orders import Control
from bot.worker.ray_actor import UNREAD, code_version
from bot.worker.ray_driver import Driver, Slot
from bot.worker.ray_messages import Emitted, EndHung, Finished, Joined, Left, ToPainter
from tests.bot.conftest import make_order, until
from tests.bot.worker.children import DEVICE

JOB = "abcdefgh"
DIED = RayActorError()
AWAY = ActorUnavailableError("away for a moment", None)
BROKEN = RayTaskError("ready", "a trace", ValueError("no weights here\nand more"))


class Method:
    def __init__(self, call, **options):
        self._call, self.given = call, options

    def options(self, **options):
        return Method(self._call, **options)

    def remote(self, *arguments):
        return self._call(*arguments, **self.given)


class Actor:
    """An actor that answers, says what the test lets it say, or raises what `trouble` holds next."""

    def __init__(self):
        self.controls, self.readied, self.orders, self.options = [], [], [], []
        self.trouble = {"here": [], "ready": [], "paint": []}
        self.silent = False
        self.says = asyncio.Queue()
        self.here = Method(lambda: asyncio.ensure_future(self._here()))
        self.ready = Method(lambda *what: asyncio.ensure_future(self._ready(*what)))
        self.control = Method(self.controls.append)
        self.paint = Method(self._paint)

    def _fail(self, where):
        if self.trouble[where] and (error := self.trouble[where].pop(0)):
            raise error

    async def _here(self):
        self._fail("here")
        while self.silent:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return "machine", 11

    async def _ready(self, *what):
        self.readied.append(what)
        self._fail("ready")
        return DEVICE

    async def _paint(self, order, **options):
        self.orders.append(order)
        self.options.append(options)
        while (said := await self.says.get()) != "end":
            yield self._said(said)

    async def _said(self, said):
        if isinstance(said, Exception):
            raise said
        return said


class Cluster:
    """What there is of Ray."""

    def __init__(self, monkeypatch):
        self.gpus, self.own, self.killed, self.actors = 0, "own", [], []
        monkeypatch.setattr(ray_driver.ray, "nodes", self.nodes)
        monkeypatch.setattr(ray_driver.ray, "kill", lambda actor, **how: self.killed.append((actor, how)))
        context = SimpleNamespace(get_node_id=lambda: "own")
        monkeypatch.setattr(ray_driver.ray, "get_runtime_context", lambda: context)
        for name, seconds in (("_AGAIN_SECONDS", 0.0), ("_LOOK_SECONDS", 0.01), ("_PING_SECONDS", 0.02)):
            monkeypatch.setattr(ray_driver, name, seconds)

    def nodes(self):
        own = {"Alive": True, "NodeID": self.own, "Resources": {"CPU": 2.0, "GPU": float(self.gpus)}}
        return [own, {"Alive": False, "NodeID": "gone", "Resources": {"GPU": 8.0}}]

    def remote(self):
        self.actors.append(Actor())
        return self.actors[-1]


@pytest.fixture
async def cluster(monkeypatch):
    yield Cluster(monkeypatch)
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:  # until all have noticed: a `wait_for` that is just done does not pass it on
            task.cancel()
        await asyncio.sleep(0.01)


@pytest.fixture
async def make(cluster, settings):
    """Make a driver that looks after so many painters, or the cluster's GPUs; `sent` is what it says."""

    def new(painters):
        sent = []
        driver: Any = Driver(settings.model_copy(update={"ray": RaySettings(painters=painters)}), sent.append)
        driver._actor = cluster
        driver.running = asyncio.ensure_future(driver.run())
        return driver, sent

    return new


async def one_painter(make, cluster):
    driver, sent = make(1)
    await until(lambda: sent)
    return driver, sent, cluster.actors[0]


async def test_an_actor_that_is_ready_joins(make, cluster, settings):
    _, sent, actor = await one_painter(make, cluster)
    assert sent == [Joined(1, DEVICE, "machine", 11)]
    ((given, code),) = actor.readied
    assert code == code_version()
    assert given.worker.device == "cpu", "CPUs paint where their number is set"
    assert given.models.generator == "embedded", "what auto means is decided by the bot"
    assert given.models.perceptors == ("embedded",)


@pytest.mark.parametrize(
    ("painters", "device", "needs"), [(None, "auto", {"num_gpus": 1, "num_cpus": 0}), (2, "cpu", {"num_cpus": 1})]
)
def test_an_actor_takes_a_gpu_or_a_cpu_and_is_never_asked_twice(settings, monkeypatch, painters, device, needs):
    asked = {}
    remote = lambda actor: SimpleNamespace(options=lambda **how: asked.update(how))  # noqa: E731
    monkeypatch.setattr(ray_driver.ray, "remote", remote)
    driver = Driver(settings.model_copy(update={"ray": RaySettings(painters=painters)}), print)
    assert driver._settings.worker.device == device
    fixed = {"max_concurrency": 2, "max_restarts": -1, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
    assert asked == {**fixed, **needs}


async def test_an_order_is_streamed_and_controls_wait_until_it_was_taken(make, cluster, ask):
    driver, sent, actor = await one_painter(make, cluster)
    order, early, late = make_order(ask(), attempt=3), Control(JOB, "end", "keep"), Control(JOB, "end", "drop")
    driver.take(ToPainter(1, order))
    driver.take(ToPainter(1, early))
    await until(lambda: actor.orders)
    assert actor.options == [{"num_returns": "streaming", "_generator_backpressure_num_objects": UNREAD}]
    assert actor.controls == []
    actor.says.put_nowait(None)
    await until(lambda: actor.controls)
    driver.take(ToPainter(1, late))
    assert actor.controls == [early, late]
    actor.says.put_nowait((Started(JOB, 0, 6), 3))
    actor.says.put_nowait("end")
    await until(lambda: Finished(1) in sent)
    assert sent[1:] == [Emitted(1, Started(JOB, 0, 6), 3), Finished(1)]
    driver.take(ToPainter(7, late))
    driver.take(EndHung(7))
    assert (actor.controls, cluster.killed) == ([early, late], []), "nobody is meant"


async def test_it_ends_when_no_painter_is_busy(make, cluster, ask):
    driver, sent, actor = await one_painter(make, cluster)
    driver.take(ToPainter(1, make_order(ask())))
    driver.take(None)
    await asyncio.sleep(0.05)
    assert not driver.running.done()
    actor.says.put_nowait("end")
    async with asyncio.timeout(10):
        await driver.running
    assert sent[-1] == Finished(1)


@pytest.mark.parametrize("error", [DIED, AWAY, TimeoutError()])
async def test_a_painter_that_breaks_down_gives_its_job_up_and_is_started_anew(make, cluster, ask, error):
    driver, sent, actor = await one_painter(make, cluster)
    driver.take(ToPainter(1, make_order(ask())))
    driver.take(ToPainter(1, Control(JOB, "end", "drop")))
    await until(lambda: actor.orders)
    actor.says.put_nowait(error)
    await until(lambda: len(sent) == 3)
    assert sent[1:] == [Left(1), Joined(1, DEVICE, "machine", 11)]
    assert len(cluster.actors) == (2 if error is DIED else 1), "one that died does not come back, the others do"
    assert cluster.killed == ([(actor, {"no_restart": False})] if isinstance(error, TimeoutError) else [])
    again = cluster.actors[-1]
    driver.take(ToPainter(1, make_order(ask(), attempt=2)))
    await until(lambda: again.orders and again.orders[-1].attempt == 2)
    again.says.put_nowait(None)
    again.says.put_nowait("end")
    await until(lambda: Finished(1) in sent)
    assert again.controls == [], "that control was of the job before"


async def test_an_order_that_was_waiting_is_given_up_with_the_painter(make, cluster, ask):
    driver, sent, actor = await one_painter(make, cluster)
    driver.take(ToPainter(1, make_order(ask())))
    await until(lambda: actor.orders)
    driver.take(ToPainter(1, make_order(ask(), attempt=2)))
    actor.says.put_nowait(DIED)
    await until(lambda: len(sent) == 3)
    assert cluster.actors[-1].orders == []
    assert driver._slots[1].idle.is_set()


async def test_an_idle_actor_that_does_not_answer_is_ended(make, cluster, monkeypatch):
    monkeypatch.setattr(ray_driver, "_PING_PATIENCE", 0.05)
    _, sent, actor = await one_painter(make, cluster)
    actor.silent = True
    await until(lambda: cluster.killed)
    assert cluster.killed[0] == (actor, {"no_restart": False})
    actor.silent = False
    await until(lambda: len(sent) == 3)
    assert sent[1] == Left(1)


async def test_a_machine_that_cannot_paint_is_tried_again_later(make, cluster, caplog, monkeypatch):
    monkeypatch.setattr(ray_driver, "_PROBLEM_SECONDS", 0.1)
    cluster.remote()
    cluster.actors[0].trouble["ready"].append(BROKEN)
    monkeypatch.setattr(cluster, "remote", lambda: cluster.actors[0])
    _, sent = make(1)
    await until(lambda: sent)
    assert sent == [Joined(1, DEVICE, "machine", 11)], "it had not joined, so nobody left"
    assert "A painter cannot start: no weights here" in caplog.text
    assert "and more" not in caplog.text
    assert cluster.killed == []


def test_before_a_machine_is_tried_again_that_cannot_paint_time_passes():
    assert ray_driver._PROBLEM_SECONDS > 10 * ray_driver._AGAIN_SECONDS


async def test_an_actor_that_gets_ready_for_long_is_only_asked_whether_it_lives(make, cluster, monkeypatch):
    monkeypatch.setattr(ray_driver, "_PING_PATIENCE", 0.05)
    goes_on = asyncio.Event()
    cluster.remote()
    (actor,) = cluster.actors

    async def slow(*_):
        await goes_on.wait()
        return DEVICE

    actor.ready = Method(lambda *what: asyncio.ensure_future(slow(*what)))
    monkeypatch.setattr(cluster, "remote", lambda: actor)
    _, sent = make(1)
    await asyncio.sleep(0.15)
    assert (sent, cluster.killed) == ([], [])
    actor.silent = True
    await until(lambda: cluster.killed)
    actor.silent = False
    goes_on.set()
    await until(lambda: sent)


async def test_there_are_as_many_painters_as_gpus_while_machines_come_and_go(make, cluster, caplog):
    driver, sent = make(None)
    await asyncio.sleep(0.05)
    assert sent == []
    assert caplog.text.count("has no GPU") == 1, "said once"
    cluster.gpus = 2
    await until(lambda: len(sent) == 2)
    assert {news.key for news in sent} == {1, 2}
    cluster.gpus = 1
    await asyncio.sleep(0.05)
    assert len(sent) == 2, "those that are up stay until their actors are gone"
    driver._slots[1].up = False
    await until(lambda: len(sent) == 3)
    assert sent[2] == Left(1, for_good=True)
    assert (list(driver._slots), cluster.killed) == ([2], [(cluster.actors[0], {})])
    cluster.gpus = 2
    await until(lambda: len(sent) == 4)
    assert sent[3].key == 3, "a number of its own"


async def test_a_silent_painter_is_ended_for_ray_to_start_anew(make, cluster):
    driver, _, actor = await one_painter(make, cluster)
    driver.take(EndHung(1))
    await until(lambda: cluster.killed)
    assert cluster.killed == [(actor, {"no_restart": False})]


async def test_no_control_goes_to_an_actor_that_is_not_up():
    slot = Slot(1, Actor())
    slot.control(Control(JOB, "end", "drop"))
    slot.up = True
    slot.taken()
    assert slot.actor.controls == []
    slot.control(Control(JOB, "end", "drop"))
    assert len(slot.actor.controls) == 1


class Left1(BaseException):
    pass


@pytest.mark.parametrize("trouble", ["another cluster", "no answer"])
async def test_a_driver_whose_cluster_is_gone_ends(cluster, monkeypatch, trouble):
    def leave(code):
        raise Left1(code)

    def no_answer():
        raise ConnectionError("the head is away")

    monkeypatch.setattr(ray_driver.os, "_exit", leave)
    cluster.own = "other" if trouble == "another cluster" else "own"
    if trouble == "no answer":
        monkeypatch.setattr(ray_driver.ray, "nodes", no_answer)
    with pytest.raises(Left1) as left:
        await ray_driver._gpus("own")
    assert left.value.args == (1,)


async def test_gpus_are_counted_on_machines_that_live(cluster):
    cluster.gpus = 3
    assert await ray_driver._gpus("own") == 3


@pytest.mark.parametrize(
    ("settings", "address", "special"),
    [
        (RaySettings(), "local", {"include_dashboard": False, "num_cpus": max(os.cpu_count() or 1, 1)}),
        (RaySettings(painters=99), "local", {"include_dashboard": False, "num_cpus": 99}),
        (RaySettings(address="10.0.0.1:6379"), "10.0.0.1:6379", {}),
    ],
)
def test_a_cluster_is_joined_or_one_of_this_machine_started(monkeypatch, settings, address, special):
    asked = []
    monkeypatch.setattr(ray_driver.ray, "init", lambda *where, **how: asked.append((where, how)))
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    ray_driver.connect(settings)
    (((where,), how),) = asked
    assert where == address
    root, *rest = how.pop("runtime_env")["env_vars"]["PYTHONPATH"].split(os.pathsep)
    assert Path(root, "bot", "worker", "ray_driver.py").is_file()
    assert rest == ["elsewhere"]
    how.pop("object_store_memory", None)
    assert how == {"log_to_driver": False, "logging_level": logging.ERROR, **special}


async def test_what_the_bot_says_reaches_the_driver_and_its_end_is_the_drivers(monkeypatch):
    heard = []

    def leave(code):
        raise Left1(code)

    messages = iter([EndHung(1), None])

    def receive():
        try:
            return next(messages)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(ray_driver.os, "_exit", leave)
    driver: Any = SimpleNamespace(take=heard.append)
    pipe: Any = SimpleNamespace(recv=receive)
    with pytest.raises(Left1):
        await asyncio.to_thread(ray_driver._receive, pipe, asyncio.get_running_loop(), driver)
    await asyncio.sleep(0)
    assert heard == [EndHung(1), None]
