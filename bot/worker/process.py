"""A painter that is a process of its own, which is started anew when it dies."""

import asyncio
import logging
import multiprocessing
import os
import queue
import signal
import threading
import time
from multiprocessing.connection import Connection

from bot import logs
from bot.settings import Settings
from bot.worker.events import PainterEvent
from bot.worker.orders import Control, Inbox, Order
from bot.worker.painter import Callbacks, Painter, call_on
from bot.worker.thread import set_up
from engine.devices import Device

log = logging.getLogger(__name__)

_PROCESSES = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
_LONGEST_PAUSE = 60.0
_STABLE_SECONDS = 60.0
"""Seconds of life after which a death is not counted with the one before."""
_SILENCE = 1.5
"""Times `worker.hang_seconds` without an event: the child, which ends itself after one, cannot even do that."""

Outbox = queue.SimpleQueue[Order | Control | None]


class ProcessPainter(Painter):
    """Paint in a child process; `on_lost` gets the id of a job that the child died with."""

    _crashes = 0
    _up = _closing = False

    def __init__(self, settings: Settings, callbacks: Callbacks) -> None:
        super().__init__(callbacks)
        self._settings = settings

    async def start(self) -> None:
        """Start the child and wait for its device and models; raise `engine.devices.BadDeviceError`."""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Device] = self._loop.create_future()
        self._launch()
        self.device = await self._ready
        log.info("Painting on %s, in process %d", self.device, self.pid)

    @property
    def alive(self) -> bool:
        """Return whether the child lives."""
        return hasattr(self, "_process") and self._process.is_alive()

    @property
    def free(self) -> bool:
        """Return whether an order can be handed over: a child that is only starting is not to be timed."""
        return super().free and self._up

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid

    async def close(self, seconds: float) -> None:
        """Let the child checkpoint what it paints and end; kill it after `seconds`."""
        self._closing = True
        if not hasattr(self, "_process"):
            return
        self._leave()
        await asyncio.to_thread(self._process.join, seconds)
        if self.alive:
            log.warning("No end within %.0f s; job %s goes on from its last checkpoint", seconds, self.job_id)
            self._process.kill()
        await asyncio.to_thread(self._listener.join, 1.0)  # it hands on the child's last words

    def paint(self, order: Order) -> None:
        """Hand an order over. The painter must be free."""
        super().paint(order)
        self._last_event_at = time.monotonic()
        self._watch(order)

    def _send(self, message: Order | Control | None) -> None:
        self._outbox.put(message)

    def _launch(self) -> None:
        pipe, end = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=main, args=(end, self._settings), name="painter", daemon=True)
        self._process.start()
        end.close()
        self._started_at = time.monotonic()
        self._outbox: Outbox = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(self._outbox, pipe), name="sender", daemon=True).start()
        self._listener = threading.Thread(target=self._listen, args=(pipe,), name="listener", daemon=True)
        self._listener.start()

    def _watch(self, order: Order) -> None:
        """Kill a child that is silent for too long; one that is stopped does not even end itself."""
        seconds = self._settings.worker.hang_seconds * _SILENCE
        if not seconds or self._order is not order:
            return
        left = self._last_event_at + seconds - time.monotonic()
        if left <= 0:
            log.error("Nothing was heard of job %s for %.0f s; its painting process is killed", order.job_id, seconds)
            self._process.kill()
        else:
            self._loop.call_later(left, self._watch, order)

    def _on_event(self, event: PainterEvent, attempt: int) -> None:
        self._last_event_at = time.monotonic()
        self._callbacks.on_event(event, attempt)

    def _exited(self, exit_code: int | None) -> None:
        self._outbox.put(None)  # ends its thread
        self._up = False
        if self._closing:
            return
        if not self._ready.done():
            self._ready.set_exception(RuntimeError(f"The painting process ended with code {exit_code} at its start."))
            return
        log.error("The painting process ended with code %s while painting job %s", exit_code, self.job_id)
        self._crashes = 1 if time.monotonic() - self._started_at > _STABLE_SECONDS else self._crashes + 1
        self._lost()
        self._loop.call_later(min(_LONGEST_PAUSE, 2.0 ** (self._crashes - 2)), self._relaunch)

    def _relaunch(self) -> None:
        if not self._closing:
            self._launch()

    # In the listening thread

    def _listen(self, pipe: Connection) -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                break
            if message is None:
                call_on(self._loop, self._finished)
            elif isinstance(message, Device | Exception):
                call_on(self._loop, self._ready_or_failed, message)
            else:
                call_on(self._loop, self._on_event, *message)
        self._process.join()
        call_on(self._loop, self._exited, self._process.exitcode)

    def _ready_or_failed(self, outcome: Device | Exception) -> None:
        self._up = isinstance(outcome, Device)
        if self._ready.done():  # it was started anew
            if isinstance(outcome, Exception):
                log.error("The painting process cannot start: %s", outcome)
            else:
                self._callbacks.on_free()
        elif isinstance(outcome, Exception):
            self._ready.set_exception(outcome)
        else:
            self._ready.set_result(outcome)


def _pass_on(outbox: Outbox, pipe: Connection) -> None:
    """Send what comes, in a thread of its own: an order may be large, and a child may be slow to read."""
    try:
        while (message := outbox.get()) is not None:
            pipe.send(message)
        pipe.send(None)
    except OSError:  # the child is dying; its end is noticed elsewhere
        log.debug("The painting process does not listen")


def main(pipe: Connection, settings: Settings) -> None:
    """Paint what comes through the pipe until None comes; the child's main function."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group: the parent says when
        signal.signal(ending, signal.SIG_IGN)
    logs.set_up(settings.log)
    inbox = Inbox()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    try:
        device, runner = set_up(settings, lambda event, attempt: pipe.send((event, attempt)))
    except Exception as error:
        pipe.send(error)
        return
    pipe.send(device)
    while (order := inbox.get()) is not None:
        runner.paint(*order)
        pipe.send(None)


def _receive(pipe: Connection, inbox: Inbox) -> None:
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            os._exit(1)  # the parent is gone: whoever takes its place starts a child of their own
        inbox.put(message)
