"""The painters of a Ray cluster: as many as it has, while machines come and go. Ray itself runs in a child process."""

import asyncio
import importlib.util
import logging
from multiprocessing.connection import Connection
from typing import Any

from bot.settings import Settings
from bot.worker.child import ChildProcess, Pauses
from bot.worker.orders import Control, Order
from bot.worker.painter import Callbacks, WatchedPainter
from bot.worker.pool import PainterPool, PoolCallbacks
from bot.worker.ray_messages import Emitted, EndHung, Finished, FromDriver, Joined, Left, ToPainter
from engine.devices import BadDeviceError

log = logging.getLogger(__name__)

_NOT_INSTALLED = "worker.isolation: ray needs Ray, which is not installed here: pip install .[cluster]"


class RayPainter(WatchedPainter):
    """Stand for one actor of the cluster."""

    def __init__(self, key: int, pool: "RayPool", callbacks: Callbacks, hang_seconds: float) -> None:
        super().__init__(callbacks, hang_seconds)
        self.key = key
        self.pid = 0
        """The actor's process id, on its machine."""
        self._pool = pool
        self._up = self._joined = self._ending_hung = False

    async def start(self) -> None:
        """Do nothing: it is here because it is ready."""

    async def close(self, seconds: float) -> None:
        """Let the job at hand checkpoint; the pool waits for that."""
        self._leave()

    @property
    def alive(self) -> bool:
        """Return whether the actor is ready or at work."""
        return self._up and self._pool.has_driver

    def joined(self, news: Joined) -> None:
        """Note that the actor is ready, for the first time or again."""
        self.device, self.node, self.pid = news.device, news.node, news.pid
        self.restarts += self._joined
        self._up = self._joined = True
        self._ending_hung = False
        self._callbacks.on_free()

    def left(self) -> None:
        """Note that the actor broke down."""
        self._up = False
        self._lost()

    def emitted(self, news: Emitted) -> None:
        """Pass on an event of the job at hand."""
        self._on_event(news.event, news.attempt)

    def finished(self) -> None:
        """Note that the order is worked off."""
        self._finished()

    def _send(self, message: Order | Control | None) -> None:
        if message is not None:
            self._pool.send(ToPainter(self.key, message))

    def _end_hung(self) -> None:
        if self._ending_hung:  # nobody did anything about it
            self._pool.kill_driver()
        self._ending_hung = True
        self._pool.send(EndHung(self.key))


class RayPool(PainterPool):
    """Hold the painters of a cluster. While its head is away there are none, and jobs wait."""

    def __init__(self, settings: Settings, callbacks: PoolCallbacks) -> None:
        super().__init__([])
        self._settings = settings
        self._callbacks = callbacks.of_painters()
        self._by_key: dict[int, RayPainter] = {}
        self._pauses = Pauses()
        self._child: ChildProcess | None = None
        self._closing = False

    async def start(self) -> None:
        """Start the driver, and do not wait for the cluster; raise `BadDeviceError` where Ray is not installed."""
        if importlib.util.find_spec("ray") is None:
            raise BadDeviceError(_NOT_INSTALLED)
        self._launch()

    async def close(self, seconds: float) -> None:
        """Let all painters checkpoint and the driver end, and kill it after `seconds`."""
        self._closing = True
        if self._child is None:
            return
        await super().close(seconds)
        self._child.send(None)
        if not await self._child.end(seconds):
            log.warning("The Ray driver did not end within %.0f s; jobs go on from their last checkpoints", seconds)

    @property
    def has_driver(self) -> bool:
        """Return whether the child that uses Ray lives."""
        return self._child is not None and self._child.alive

    @property
    def driver_pid(self) -> int | None:
        """The process id of the child that uses Ray."""
        return None if self._child is None else self._child.pid

    def send(self, message: ToPainter | EndHung) -> None:
        """Pass a message on to the driver."""
        assert self._child is not None
        self._child.send(message)

    def kill_driver(self) -> None:
        """End a driver that hangs."""
        log.error("The Ray driver hangs; it is killed")
        assert self._child is not None
        self._child.kill()

    def _launch(self) -> None:
        if not self._closing:
            self._child = ChildProcess("ray", drive, (self._settings,), self._on_message, self._exited)

    def _on_message(self, message: FromDriver) -> None:
        painter = self._by_key.get(message.key)
        match message:
            case Joined():
                self._painter(message.key).joined(message)
            case Left() if painter is not None:
                painter.left()
                if message.for_good:
                    self._drop(painter)
            case Emitted() if painter is not None:
                painter.emitted(message)
            case Finished() if painter is not None:
                painter.finished()
            case _:
                log.debug("Painter %d is not known any more", message.key)

    def _painter(self, key: int) -> RayPainter:
        if key not in self._by_key:
            self._by_key[key] = RayPainter(key, self, self._callbacks, self._settings.worker.hang_seconds)
            self.painters.append(self._by_key[key])
        return self._by_key[key]

    def _drop(self, painter: RayPainter) -> None:
        del self._by_key[painter.key]
        self.painters.remove(painter)

    def _exited(self, exit_code: int | None) -> None:
        if self._closing:
            return
        assert self._child is not None
        pause = self._pauses.after(self._child.age)
        log.error("The Ray driver ended with code %s; it is started again in %g s", exit_code, pause)
        for painter in list(self._by_key.values()):
            painter.left()
            self._drop(painter)
        asyncio.get_running_loop().call_later(pause, self._launch)


def drive(pipe: Connection, *arguments: Any) -> None:
    """Be the driver: the child's main function, and the only one that imports Ray."""
    from bot.worker import ray_driver

    ray_driver.main(pipe, *arguments)
