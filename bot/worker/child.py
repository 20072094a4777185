"""A child process at the other end of a pipe: messages both ways without waiting, and pauses between its starts."""

import asyncio
import logging
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from bot.worker.painter import call_on

log = logging.getLogger(__name__)

_PROCESSES = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
_LONGEST_PAUSE = 60.0
_STABLE_SECONDS = 60.0
"""Seconds of life after which a death is not counted with the one before."""

Outbox = queue.SimpleQueue[Any]


class ChildProcess:
    """Run `main(pipe, *arguments)` in a process of its own; call back on the loop.

    `on_message` gets all that it sends, then `on_exit` its exit code. It is to end when it receives None.
    """

    def __init__(
        self,
        name: str,
        main: Callable[..., None],
        arguments: tuple[Any, ...],
        on_message: Callable[[Any], None],
        on_exit: Callable[[int | None], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message, self._on_exit = on_message, on_exit
        self._began = time.monotonic()
        pipe, end = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=main, args=(end, *arguments), name=name, daemon=True)
        self._process.start()
        end.close()
        self._outbox: Outbox = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(self._outbox, pipe), name=f"{name} sender", daemon=True).start()
        self._listener = threading.Thread(target=self._listen, args=(pipe,), name=f"{name} listener", daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        """Return whether it lives."""
        return self._process.is_alive()

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._began

    def send(self, message: Any) -> None:
        """Pass a message on, in order and without waiting; None asks it to end."""
        self._outbox.put(message)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def end(self, seconds: float) -> bool:
        """Wait for its end, and kill it after `seconds`; return whether it ended by itself."""
        await asyncio.to_thread(self._process.join, seconds)
        in_time = not self.alive
        if not in_time:
            self.kill()
        await asyncio.to_thread(self._listener.join, 1.0)  # it hands on the last words
        return in_time

    def _listen(self, pipe: Connection) -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                break
            call_on(self._loop, self._on_message, message)
        self._process.join()
        self._outbox.put(None)  # ends the thread that sends
        call_on(self._loop, self._on_exit, self._process.exitcode)


def tell_parent(pipe: Connection, message: Any) -> None:
    """Send a message from the child; where the parent is gone, end the child: nobody else is to hear of it."""
    try:
        pipe.send(message)
    except OSError:
        os._exit(1)


class Pauses:
    """How long to wait before a child is started anew: longer each time that it dies soon."""

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, age: float) -> float:
        """Return the seconds to wait after the death of a child that lived for `age` seconds."""
        self._deaths = 1 if age > _STABLE_SECONDS else self._deaths + 1
        return min(_LONGEST_PAUSE, 2.0 ** (self._deaths - 2))


def _pass_on(outbox: Outbox, pipe: Connection) -> None:
    """Send what comes, in a thread of its own: an order may be large, and a child may be slow to read."""
    try:
        while (message := outbox.get()) is not None:
            pipe.send(message)
        pipe.send(None)
    except OSError:  # the child is dying; its end is noticed elsewhere
        log.debug("A child process does not listen")
