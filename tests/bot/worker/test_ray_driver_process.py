"""The driver of a cluster as a process: which cluster it joins, whom it hears, and when it ends."""

import asyncio
import logging
import multiprocessing
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.settings import RaySettings
from bot.worker import ray_driver
from bot.worker.ray_actor import PaintingActor
from bot.worker.ray_messages import EndHung, Joined
from tests.bot.worker.children import DEVICE
from tests.bot.worker.noted_actors import Actor


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
    assert Path(root) == Path(ray_driver.__file__).resolve().parents[2]
    assert rest == ["elsewhere"]
    assert how.pop("object_store_memory", 0) == (200_000_000 if address == "local" else 0)
    assert how == {"log_to_driver": False, "logging_level": logging.ERROR, **special}


def test_where_nothing_else_is_on_the_path_of_modules_no_empty_folder_is(monkeypatch):
    asked = []
    monkeypatch.setattr(ray_driver.ray, "init", lambda *where, **how: asked.append(how))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    ray_driver.connect(RaySettings())
    (how,) = asked
    assert os.pathsep not in how["runtime_env"]["env_vars"]["PYTHONPATH"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_driver_joins_the_cluster_serves_and_leaves_when_the_bot_says_no_more(cluster, settings, monkeypatch):
    done, codes = [], []
    monkeypatch.setattr(ray_driver, "connect", done.append)
    monkeypatch.setattr(ray_driver.ray, "shutdown", lambda: done.append("left"))
    monkeypatch.setattr(
        ray_driver.ray, "remote", lambda actor: done.append(actor) or SimpleNamespace(options=lambda **_: cluster)
    )
    monkeypatch.setattr(ray_driver.os, "_exit", lambda code: codes.append(code) or sys.exit())
    ours, end = multiprocessing.Pipe()
    one = settings.model_copy(update={"ray": RaySettings(painters=1)})
    driving = asyncio.ensure_future(ray_driver._drive(end, one, Actor))
    assert await asyncio.to_thread(ours.recv) == Joined(1, DEVICE, "machine", 11)
    assert done == [one.ray, Actor]
    ours.send(None)
    async with asyncio.timeout(10):
        await driving
    assert done[2:] == ["left"]
    (receiver,) = [thread for thread in threading.enumerate() if "_receive" in thread.name]
    assert receiver.daemon
    ours.close()
    await asyncio.to_thread(receiver.join, 10)
    assert codes == [1], "without the bot it ends"


def test_the_child_leaves_signals_to_its_parent_and_logs_as_the_settings_say(settings, monkeypatch):
    done = []

    async def drive(*arguments):
        done.append(arguments)

    monkeypatch.setattr(ray_driver, "_drive", drive)
    monkeypatch.setattr(ray_driver, "leave_signals_to_parent", lambda: done.append("signals"))
    monkeypatch.setattr(ray_driver.logs, "set_up", done.append)
    pipe: Any = "a pipe"
    ray_driver.main(pipe, settings, Actor)
    ray_driver.main(pipe, settings)
    begun = ["signals", settings.log]
    assert done == [*begun, (pipe, settings, Actor), *begun, (pipe, settings, PaintingActor)]


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
