"""The driver of a cluster, with what stands for Ray and its actors: who is served, what is passed on, who is ended."""

import asyncio
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
from tests.bot.worker.noted_actors import Actor, Method

JOB = "abcdefgh"
DIED = RayActorError()
AWAY = ActorUnavailableError("away for a moment", None)
BROKEN = RayTaskError("ready", "a trace", ValueError("no weights here\nand more"))


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
    _, sent, actor = await one_painter(make, cluster)
    actor.silent = True
    monkeypatch.setattr(ray_driver, "_PING_PATIENCE", 0.05)
    await until(lambda: cluster.killed)
    assert cluster.killed[0] == (actor, {"no_restart": False})
    actor.silent = False
    await until(lambda: len(sent) >= 3)
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
    goes_on = asyncio.Event()
    cluster.remote()
    (actor,) = cluster.actors

    async def slow(*_):
        await goes_on.wait()
        return DEVICE

    actor.ready = Method(lambda *what: asyncio.ensure_future(slow(*what)))
    monkeypatch.setattr(cluster, "remote", lambda: actor)
    _, sent = make(1)
    await until(lambda: actor.asked >= 5)
    assert (sent, cluster.killed) == ([], [])
    actor.silent = True
    monkeypatch.setattr(ray_driver, "_PING_PATIENCE", 0.05)
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
