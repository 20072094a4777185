"""A painter that is a process of its own, which is started anew when it dies."""

import asyncio
import logging
import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

import torch

from bot import logs
from bot.settings import Settings
from bot.worker.child import ChildProcess, Pauses, tell_parent
from bot.worker.orders import Control, Inbox, Order
from bot.worker.painter import Callbacks, WatchedPainter
from bot.worker.thread import set_up
from engine.devices import Device

log = logging.getLogger(__name__)


class ProcessPainter(WatchedPainter):
    """Paint in a child process; `on_lost` gets the id of a job that the child died with.

    `threads` is the child's share of the processor; None: what torch takes.
    """

    _up = _closing = False

    def __init__(self, settings: Settings, callbacks: Callbacks, threads: int | None = None) -> None:
        super().__init__(callbacks, settings.worker.hang_seconds)
        self._settings = settings
        self._threads = threads
        self._child: ChildProcess | None = None
        self._pauses = Pauses()

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
        return self._child is not None and self._child.alive

    @property
    def free(self) -> bool:
        """Return whether an order can be handed over: a child that is only starting is not to be timed."""
        return super().free and self._up

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return None if self._child is None else self._child.pid

    async def close(self, seconds: float) -> None:
        """Let the child checkpoint what it paints and end; kill it after `seconds`."""
        self._closing = True
        if self._child is None:
            return
        self._leave()
        if not await self._child.end(seconds):
            log.warning("No end within %.0f s; job %s goes on from its last checkpoint", seconds, self.job_id)

    def _send(self, message: Order | Control | None) -> None:
        assert self._child is not None
        self._child.send(message)

    def _end_hung(self) -> None:
        assert self._child is not None
        self._child.kill()

    def _launch(self) -> None:
        if not self._closing:
            arguments = (self._settings, self._threads)
            self._child = ChildProcess("painter", main, arguments, self._on_message, self._exited)

    def _relaunch(self) -> None:
        self.restarts += 1
        self._launch()

    def _on_message(self, message: Any) -> None:
        if message is None:
            self._finished()
        elif isinstance(message, Device | Exception):
            self._ready_or_failed(message)
        else:
            self._on_event(*message)

    def _exited(self, exit_code: int | None) -> None:
        self._up = False
        if self._closing:
            return
        if not self._ready.done():
            self._ready.set_exception(RuntimeError(f"The painting process ended with code {exit_code} at its start."))
            return
        log.error("The painting process ended with code %s while painting job %s", exit_code, self.job_id)
        self._lost()
        assert self._child is not None
        self._loop.call_later(self._pauses.after(self._child.age), self._relaunch)

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


def main(pipe: Connection, settings: Settings, threads: int | None = None) -> None:
    """Paint what comes through the pipe until None comes; the child's main function."""
    leave_signals_to_parent()
    logs.set_up(settings.log)
    if threads is not None:
        torch.set_num_threads(threads)
    inbox = Inbox()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    try:
        device, runner = set_up(settings, lambda event, attempt: tell_parent(pipe, (event, attempt)))
    except Exception as error:
        tell_parent(pipe, error)
        return
    tell_parent(pipe, device)
    while (order := inbox.get()) is not None:
        runner.paint(*order)
        tell_parent(pipe, None)


def leave_signals_to_parent() -> None:
    """Ignore the signals that ask for an end: they go to the whole group, and the parent says when."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)


def _receive(pipe: Connection, inbox: Inbox) -> None:
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            os._exit(1)  # the parent is gone: whoever takes its place starts a child of their own
        inbox.put(message)
