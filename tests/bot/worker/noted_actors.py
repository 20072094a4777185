"""What stands for Ray and its actors where the driver is looked at."""

import asyncio
from types import SimpleNamespace

from bot.worker import ray_driver
from tests.bot.worker.children import DEVICE


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
        self.silent, self.asked = False, 0
        self.says = asyncio.Queue()
        self.here = Method(lambda: asyncio.ensure_future(self._here()))
        self.ready = Method(lambda *what: asyncio.ensure_future(self._ready(*what)))
        self.control = Method(self.controls.append)
        self.paint = Method(self._paint)

    def _fail(self, where):
        if self.trouble[where] and (error := self.trouble[where].pop(0)):
            raise error

    async def _here(self):
        self.asked += 1
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
