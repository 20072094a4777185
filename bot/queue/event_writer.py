"""Events on their way into the ledger: one by one, in order, none lost while it cannot be written."""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bot.worker.events import Event

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Between two attempts at a ledger that does not answer."""


class EventWriter:
    """Have `note` called with each event. All methods belong to the loop, where `spawn` starts a task by its name."""

    def __init__(
        self, note: Callable[[Event], Awaitable[None]], spawn: Callable[[Coroutine[Any, Any, None], str], None]
    ) -> None:
        self._note = note
        self._spawn = spawn
        self._events: deque[Event] = deque()
        self._noting = self._closing = False

    def put(self, event: Event) -> None:
        """Take an event; the task that works them off ends with the last."""
        self._events.append(event)
        self._work_off()

    def close(self) -> None:
        """Go on, but put nothing off any more: there is no later."""
        self._closing = True

    def _work_off(self) -> None:
        if self._events and not self._noting:
            self._noting = True
            self._spawn(self._note_all(), "note events")

    async def _note_all(self) -> None:
        try:
            while self._events:
                try:
                    await self._note(self._events[0])
                except sqlite3.Error:
                    log.exception("The ledger cannot be written; tried again in %g s", RETRY_SECONDS)
                    if not self._closing:
                        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._work_off)
                    return
                except Exception:
                    log.exception("Job %s: an event could not be noted", self._events[0].job_id)
                self._events.popleft()
        finally:
            self._noting = False
