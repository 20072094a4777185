"""The same worker in a process of its own, which is started anew when it dies."""

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
from bot.jobs import Job
from bot.queue.files import Files
from bot.settings import Settings
from bot.worker.runner import Controls
from bot.worker.thread import ThreadWorker, set_up
from engine.devices import Device

log = logging.getLogger(__name__)

_PROCESSES = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
_LONGEST_PAUSE = 60.0
_STABLE_SECONDS = 60.0
"""Seconds of life after which a death is not counted with the one before."""


class ProcessWorker(ThreadWorker):
    """Paint as `ThreadWorker` does, but in a child process; `on_lost` gets the id of a job that the child died with."""

    _crashes = 0
    _ending = False

    async def start(self) -> None:
        """Start the child and wait for its device and models; raise `engine.devices.BadDeviceError`."""
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._launch()
        self.device = await self._ready
        log.info("Painting on %s, in process %d", self.device, self.pid)

    @property
    def free(self) -> bool:
        """Tell whether a job can be handed over."""
        return self._job_id is None and self.alive

    @property
    def alive(self) -> bool:
        """Tell whether the child lives."""
        return hasattr(self, "_process") and self._process.is_alive()

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid

    async def close(self, seconds: float) -> None:
        """Let the child checkpoint what it paints and end; kill it after `seconds`."""
        self._ending = True
        await super().close(seconds)
        if self.alive:
            self._process.kill()
        if self._thread.is_alive():  # it hands on the child's last words
            await asyncio.to_thread(self._thread.join, 1.0)

    def _control(self, name: str, value: object) -> None:
        super()._control(name, value)
        self._send((name, value))

    def _hand_over(self, job: Job | None) -> None:
        self._send(job)

    def _send(self, message: Job | tuple[str, object] | None) -> None:
        try:
            self._pipe.send(message)
        except OSError:  # the child is dying; its end is noticed elsewhere
            log.debug("The painting process does not listen")

    def _launch(self) -> None:
        self._pipe, end = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=main, args=(end, self._settings), name="painter", daemon=True)
        self._process.start()
        end.close()
        self._started_at = time.monotonic()
        self._thread = threading.Thread(target=self._listen, args=(self._pipe,), name="listener", daemon=True)
        self._thread.start()

    def _exited(self, exit_code: int | None) -> None:
        if self._ending:
            return
        if not self._ready.done():
            self._ready.set_exception(RuntimeError(f"The painting process ended with code {exit_code} at its start."))
            return
        log.error("The painting process ended with code %s while painting job %s", exit_code, self._job_id)
        self._crashes = 1 if time.monotonic() - self._started_at > _STABLE_SECONDS else self._crashes + 1
        job_id, self._job_id = self._job_id, None
        if job_id is not None:
            self._on_lost(job_id)
        self._loop.call_later(min(_LONGEST_PAUSE, 2.0 ** (self._crashes - 2)), self._relaunch)

    def _relaunch(self) -> None:
        if not self._ending:
            self._launch()
            self._on_free()

    # In the listening thread

    def _listen(self, pipe: Connection) -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                break
            if message is None:
                self._on_loop(self._finished)
            elif isinstance(message, Device | Exception):
                self._on_loop(self._ready_or_failed, message)
            else:
                self._emit(message)
        self._process.join()
        self._on_loop(self._exited, self._process.exitcode)

    def _ready_or_failed(self, outcome: Device | Exception) -> None:
        if self._ready.done():
            return
        if isinstance(outcome, Exception):
            self._ready.set_exception(outcome)
        else:
            self._ready.set_result(outcome)


def main(pipe: Connection, settings: Settings) -> None:
    """Paint what comes through the pipe until None comes; the child's main function."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group: the parent says when
        signal.signal(ending, signal.SIG_IGN)
    logs.set_up(settings.log)
    inbox: queue.SimpleQueue[tuple[Job, Controls] | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    try:
        device, runner = set_up(settings, Files(settings.storage.folder), pipe.send)
    except Exception as error:
        pipe.send(error)
        return
    pipe.send(device)
    while (order := inbox.get()) is not None:
        runner.paint(*order)
        pipe.send(None)


def _receive(pipe: Connection, inbox: "queue.SimpleQueue[tuple[Job, Controls] | None]") -> None:
    controls = Controls()
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            os._exit(1)  # the parent is gone: whoever takes its place starts a child of their own
        if isinstance(message, tuple):
            setattr(controls, *message)
        elif message is None:
            inbox.put(None)
            return
        else:
            controls = Controls()
            inbox.put((message, controls))
