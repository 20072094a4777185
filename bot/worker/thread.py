"""The one thread that owns the device: jobs in, events out. It knows neither the database nor Discord."""

import asyncio
import faulthandler
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from bot.available_models import perceptors, usual_generator
from bot.jobs import Job
from bot.queue.files import Files
from bot.settings import Settings
from bot.worker.events import Event
from bot.worker.runner import Controls, Emit, JobRunner
from engine.devices import Device, pick_device
from engine.models import ModelStore
from engine.prompts import Prompt

log = logging.getLogger(__name__)

_LAST_SECONDS = 60.0
"""How long a process has to end after it lost its device: drivers hang, too."""


class DeviceLostError(RuntimeError):
    """A device that this process cannot use any more; the text is one sentence for the owner."""

    def __init__(self) -> None:
        super().__init__("The device stopped working, and only a new process can use it: start the bot again.")


class ThreadWorker:
    """Paint one job at a time. Every method is for the loop, where the callbacks are called.

    `on_lost` hears of the job at hand when the device is lost: this worker paints nothing more.
    """

    def __init__(
        self,
        settings: Settings,
        files: Files,
        on_event: Callable[[Event], None],
        on_free: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._files = files
        self._on_event = on_event
        self._on_free = on_free
        self._on_lost = on_lost
        self._inbox: queue.SimpleQueue[tuple[Job, Controls] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._job_id: str | None = None
        self._controls = Controls()
        self.device: Device | None = None
        """The device, once started."""

    async def start(self) -> None:
        """Start the thread and wait for its device and models; raise `engine.devices.BadDeviceError`."""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Device] = self._loop.create_future()
        self._thread.start()
        self.device = await self._ready
        log.info("Painting on %s", self.device)

    @property
    def job_id(self) -> str | None:
        """The job being painted; None when there is none."""
        return self._job_id

    @property
    def free(self) -> bool:
        """Tell whether a job can be handed over."""
        return self._job_id is None

    @property
    def alive(self) -> bool:
        """Tell whether anybody is there to paint."""
        return self._thread.is_alive()

    def paint(self, job: Job) -> None:
        """Hand a job over. The worker must be free."""
        assert self.free
        self._job_id, self._controls = job.id, Controls()
        self._hand_over(job)

    def want_preview(self, job_id: str) -> None:
        """Ask for a picture with the next progress of the job."""
        if job_id == self._job_id:
            self._control("preview_wanted", True)

    def steer(self, job_id: str, prompts: tuple[Prompt, ...]) -> None:
        """Give the job other prompts from its next step on."""
        if job_id == self._job_id:
            self._control("prompts", prompts)

    def finish_early(self, job_id: str) -> None:
        """Let the job end with the picture it has."""
        if job_id == self._job_id and not self._controls.end:
            self._control("end", "keep")

    def give_up(self, job_id: str) -> None:
        """Let the job end without a picture."""
        if job_id == self._job_id:
            self._control("end", "drop")

    async def close(self, seconds: float) -> None:
        """Checkpoint what is being painted and end, waiting no longer than `seconds`."""
        if not self.alive:
            return
        if not self._controls.end:
            self._control("end", "leave")
        self._hand_over(None)
        end = time.monotonic() + seconds
        while self.alive and time.monotonic() < end:
            await asyncio.to_thread(self._thread.join, 0.5)
        if self.alive:
            log.warning("No end within %.0f s; job %s goes on from its last checkpoint", seconds, self._job_id)

    def _control(self, name: str, value: object) -> None:
        setattr(self._controls, name, value)

    def _hand_over(self, job: Job | None) -> None:
        self._inbox.put(None if job is None else (job, self._controls))

    def _finished(self) -> None:
        self._job_id = None
        self._on_free()

    # In the thread

    def _run(self) -> None:
        try:
            device, runner = set_up(self._settings, self._files, self._emit)
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
                self._on_loop(self._on_lost, order[0].id)
                return
            self._on_loop(self._finished)

    def _emit(self, event: Event) -> None:
        self._on_loop(self._on_event, event)

    def _on_loop(self, callback: Callable[..., object], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop is closed: the process ends, and the ledger has all that it needs
            log.debug("The loop is gone; %s was not called", callback)


def set_up(settings: Settings, files: Files, emit: Emit) -> tuple[Device, JobRunner]:
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
    return device, JobRunner(settings.worker, models, files, emit, settings.moderation, settings.delivery.enlarge_to)
