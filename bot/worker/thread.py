"""A painter that is a thread of this process."""

import asyncio
import faulthandler
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from bot.available_models import perceptors, usual_generator
from bot.settings import Settings
from bot.worker.events import PainterEvent
from bot.worker.orders import Control, Inbox, Order
from bot.worker.painter import Callbacks, Painter, call_on
from bot.worker.runner import Emit, JobRunner
from engine.devices import Device, pick_device
from engine.models import ModelStore

log = logging.getLogger(__name__)

_LAST_SECONDS = 60.0
"""How long a process has to end after it lost its device: drivers hang, too."""


class DeviceLostError(RuntimeError):
    """A device that this process cannot use any more; the text is one sentence for the owner."""

    def __init__(self) -> None:
        super().__init__("The device stopped working, and only a new process can use it: start the bot again.")


class ThreadPainter(Painter):
    """Paint in one thread. `on_lost` gets the job at hand when the device is lost: nothing more is painted then."""

    def __init__(self, settings: Settings, callbacks: Callbacks) -> None:
        super().__init__(callbacks)
        self._settings = settings
        self._inbox = Inbox()
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)

    async def start(self) -> None:
        """Start the thread and wait for its device and models; raise `engine.devices.BadDeviceError`."""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Device] = self._loop.create_future()
        self._thread.start()
        self.device = await self._ready
        log.info("Painting on %s", self.device)

    @property
    def alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    async def close(self, seconds: float) -> None:
        """Checkpoint what is being painted and end, waiting no longer than `seconds`."""
        if not self.alive:
            return
        self._leave()
        end = time.monotonic() + seconds
        while self.alive and time.monotonic() < end:
            await asyncio.to_thread(self._thread.join, 0.5)
        if self.alive:
            log.warning("No end within %.0f s; job %s goes on from its last checkpoint", seconds, self.job_id)

    def _send(self, message: Order | Control | None) -> None:
        self._inbox.put(message)

    # In the thread

    def _run(self) -> None:
        try:
            device, runner = set_up(self._settings, self._emit)
        except Exception as error:  # whoever waits for the start gets it
            if isinstance(error, torch.AcceleratorError):
                log.exception("The device is lost")
                error = DeviceLostError()
            self._on_loop(self._ready.set_exception, error)
            return
        self._on_loop(self._ready.set_result, device)
        while (order := self._inbox.get()) is not None:
            try:
                runner.paint(*order)
            except torch.AcceleratorError:
                log.exception("The device is lost; with worker.isolation: process it would come back by itself")
                faulthandler.dump_traceback_later(_LAST_SECONDS, exit=True)
                self._on_loop(self._lost)
                return
            self._on_loop(self._finished)

    def _emit(self, event: PainterEvent, attempt: int) -> None:
        self._on_loop(self._on_event, event, attempt)

    def _on_loop(self, callback: Callable[..., object], *arguments: Any) -> None:
        call_on(self._loop, callback, *arguments)


def set_up(settings: Settings, emit: Emit) -> tuple[Device, JobRunner]:
    """Take the device and load the default models, in the thread that will paint; raise `BadDeviceError`.

    The models come before the first job because building them would hold up the loop while it serves people.
    """
    device = pick_device(settings.worker.device, settings.worker.precision, deterministic=settings.worker.deterministic)
    models = ModelStore(settings.models.folder, device)
    try:
        generator = usual_generator(settings.models)
        models.generator(generator)
        for name in perceptors(generator, settings.models):
            models.perceptor(name)
    except torch.AcceleratorError:
        raise
    except Exception as error:  # a job that needs them fails with its own sentence
        log.warning("The default models cannot be loaded, and paintings with them will fail: %s", error)
    return device, JobRunner(settings.worker, models, emit, settings.moderation, settings.delivery.enlarge_to)
