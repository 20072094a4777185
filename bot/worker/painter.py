"""What every painter is to the queue, wherever it paints: orders and controls in, events out."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.worker.events import PainterEvent
from bot.worker.orders import Control, Order, Steer
from engine.devices import Device

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What is called on the loop, and when."""

    on_event: Callable[[PainterEvent, int], None]
    """Gets each event and the attempt that it belongs to."""
    on_free: Callable[[], None]
    """Another order may be handed over."""
    on_lost: Callable[[str], None]
    """Gets the id of a job that was being painted when its painter broke down."""


class Painter(ABC):
    """Own one device and paint one order at a time. Every method is for the loop, where the callbacks are called."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._order: Order | None = None
        self._ending = False
        self.device: Device | None = None
        """The device, once started."""

    @abstractmethod
    async def start(self) -> None:
        """Get ready: device and models; raise `engine.devices.BadDeviceError`."""

    @abstractmethod
    async def close(self, seconds: float) -> None:
        """Checkpoint what is being painted and end, waiting no longer than `seconds`."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Return whether anybody is there to paint."""

    @abstractmethod
    def _send(self, message: Order | Control | None) -> None:
        """Pass on what an `Inbox` takes, in order and without waiting."""

    @property
    def job_id(self) -> str | None:
        """The job being painted; None when there is none."""
        return None if self._order is None else self._order.job_id

    @property
    def free(self) -> bool:
        """Return whether an order can be handed over."""
        return self._order is None and self.alive

    def paint(self, order: Order) -> None:
        """Hand an order over. The painter must be free."""
        assert self.free
        self._order, self._ending = order, False
        self._send(order)

    def want_preview(self, job_id: str) -> None:
        """Ask for a picture with the next progress of the job."""
        self._control(job_id, "preview_wanted", True)

    def steer(self, job_id: str, steer: Steer) -> None:
        """Give the job other prompts from its next step on."""
        self._control(job_id, "steer", steer)

    def finish_early(self, job_id: str) -> None:
        """Let the job end with the picture it has."""
        if not self._ending:
            self._control(job_id, "end", "keep")

    def give_up(self, job_id: str) -> None:
        """Let the job end without a picture."""
        self._control(job_id, "end", "drop")

    def _leave(self) -> None:
        """Let the job at hand checkpoint, and take no more orders."""
        if self._order is not None and not self._ending:
            self._control(self._order.job_id, "end", "leave")
        self._send(None)

    def _control(self, job_id: str, name: Any, value: object) -> None:
        if job_id == self.job_id:
            self._ending = self._ending or name == "end"
            self._send(Control(job_id, name, value))

    def _finished(self) -> None:
        self._order = None
        self._callbacks.on_free()

    def _lost(self) -> None:
        order, self._order = self._order, None
        if order is not None:
            self._callbacks.on_lost(order.job_id)


def call_on(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: Any) -> None:
    """Call something on the loop, from another thread."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:  # the loop is closed: the process ends, and the ledger has all that it needs
        log.debug("The loop is gone; %s was not called", callback)
