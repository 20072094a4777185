"""Background tasks of the event loop."""

import asyncio
import contextvars
import logging
import time
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)
_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Run `work` as a task: its reference is kept, its failure logged, and its context empty."""
    # An empty context: work for the whole process must not inherit what one interaction's handler carries about.
    task = contextvars.Context().run(asyncio.get_running_loop().create_task, work, name=name)
    _running.add(task)
    task.add_done_callback(_done)
    return task


class Tasks:
    """Background tasks that end together."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()
        self._ended = False

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run `work` as `spawn` does; not at all once the others have been ended."""
        if self._ended:
            log.debug("%s was not started: its owner is closed", name)
            work.close()
            return
        task = spawn(work, name)
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def end(self, seconds: float) -> None:
        """Wait up to `seconds` for all tasks, those included that they start; cancel what is left. None runs after."""
        end = time.monotonic() + seconds
        while self._open and (left := end - time.monotonic()) > 0:
            await asyncio.wait(set(self._open), timeout=left)
        self._ended = True
        if late := set(self._open):
            for task in late:
                task.cancel()
            await asyncio.wait(late)


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("Background task %s failed", task.get_name(), exc_info=error)
