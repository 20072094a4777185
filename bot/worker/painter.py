"""What every painter is to the queue, wherever it paints: orders and controls in, events out."""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.worker.events import GpuUsage, PainterEvent, Progress
from bot.worker.orders import Control, Order, Steer
from engine.devices import Device

log = logging.getLogger(__name__)

_SILENCE = 1.5
"""Times `worker.hang_seconds` without an event: one elsewhere, which ends itself after one, cannot do even that."""


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
        self.node = ""
        """The name of its machine; empty: this one."""
        self.jobs = self.restarts = 0
        """How many orders it has worked off, and how often it had to be started anew."""
        self.steps_per_second = 0.0
        """Lately; 0 while it paints nothing."""
        self.gpu: GpuUsage | None = None
        """How busy its GPU is, while it paints on one."""

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

    @property
    def chip(self) -> str | None:
        """The name of its device: equal ones paint equal pictures, bit by bit."""
        return None if self.device is None else f"{self.device.name}, {str(self.device.dtype).removeprefix('torch.')}"

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

    def _on_event(self, event: PainterEvent, attempt: int) -> None:
        if isinstance(event, Progress):
            self.steps_per_second, self.gpu = event.per_second, event.gpu
        self._callbacks.on_event(event, attempt)

    def _finished(self) -> None:
        self.jobs += 1
        self._put_down()
        self._callbacks.on_free()

    def _lost(self) -> None:
        order = self._order
        self._put_down()
        if order is not None:
            self._callbacks.on_lost(order.job_id)

    def _put_down(self) -> None:
        self._order, self.steps_per_second, self.gpu = None, 0.0, None


_END_SECONDS = 60.0
"""How long the end of what hangs may take before it is asked for again."""


class WatchedPainter(Painter):
    """A painter outside of this process, which is ended when nothing comes from it for too long."""

    def __init__(self, callbacks: Callbacks, hang_seconds: float) -> None:
        super().__init__(callbacks)
        self._patience = hang_seconds * _SILENCE
        self._last_event_at = 0.0

    @abstractmethod
    def _end_hung(self) -> None:
        """End what paints; the loss of its job is noticed by that."""

    def paint(self, order: Order) -> None:
        """Hand an order over. The painter must be free."""
        super().paint(order)
        self._last_event_at = time.monotonic()
        if self._patience:
            self._watch(order)

    def _on_event(self, event: PainterEvent, attempt: int) -> None:
        self._last_event_at = time.monotonic()
        super()._on_event(event, attempt)

    def _watch(self, order: Order) -> None:
        if self._order is not order:
            return
        left = self._last_event_at + self._patience - time.monotonic()
        if left <= 0:
            log.error("Nothing was heard of job %s for %.0f s; what paints it is ended", order.job_id, self._patience)
            self._end_hung()
            left = max(self._patience, _END_SECONDS)
        asyncio.get_running_loop().call_later(left, self._watch, order)


def call_on(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: Any) -> None:
    """Call something on the loop, from another thread."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:  # the loop is closed: the process ends, and the ledger has all that it needs
        log.debug("The loop is gone; %s was not called", callback)
