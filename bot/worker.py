"""The one thread that owns the device: jobs in, events out. It knows neither the database nor Discord."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from bot.easel import Controls, Easel
from bot.events import Event
from bot.files import Files
from bot.jobs import Job
from bot.settings import Settings
from engine.devices import Device, pick_device
from engine.models import ModelStore
from engine.prompts import Prompt

log = logging.getLogger(__name__)


class Worker:
    """Paint one job at a time. Every method is for the loop; `heard` and `freed` are called on the loop."""

    def __init__(
        self, settings: Settings, files: Files, heard: Callable[[Event], None], freed: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._files = files
        self._heard = heard
        self._freed = freed
        self._inbox: queue.SimpleQueue[tuple[Job, Controls] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._live, name="worker", daemon=True)
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
        """The job being painted; None when the worker is free."""
        return self._job_id

    @property
    def alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def paint(self, job: Job) -> None:
        """Hand a job over. The worker must be free."""
        assert self._job_id is None
        self._job_id, self._controls = job.id, Controls()
        self._inbox.put((job, self._controls))

    def want_preview(self, job_id: str) -> None:
        """Ask for a picture with the next progress of the job."""
        if job_id == self._job_id:
            self._controls.preview_wanted = True

    def steer(self, job_id: str, prompts: tuple[Prompt, ...]) -> None:
        """Give the job other prompts from its next step on."""
        if job_id == self._job_id:
            self._controls.prompts = prompts

    def finish_early(self, job_id: str) -> None:
        """Let the job end with the picture it has."""
        if job_id == self._job_id and not self._controls.end:
            self._controls.end = "keep"

    def give_up(self, job_id: str) -> None:
        """Let the job end without a picture."""
        if job_id == self._job_id:
            self._controls.end = "drop"

    async def close(self, seconds: float) -> None:
        """Checkpoint what is being painted and end the thread, waiting no longer than `seconds`."""
        if not self._thread.is_alive():
            return
        if not self._controls.end:
            self._controls.end = "leave"
        self._inbox.put(None)
        end = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < end:
            await asyncio.to_thread(self._thread.join, 0.5)
        if self._thread.is_alive():
            log.warning(
                "The worker did not stop within %.0f s; job %s goes on from its last checkpoint", seconds, self._job_id
            )

    # In the thread

    def _live(self) -> None:
        try:
            device = pick_device(self._settings.worker.device, self._settings.worker.precision)
            models = ModelStore(self._settings.models.folder, device)
            self._load(models)
        except Exception as error:  # whoever waits for the start gets it
            self._on_loop(self._ready.set_exception, error)
            return
        self._on_loop(self._ready.set_result, device)
        easel = Easel(self._settings.worker, models, self._files, self._tell, self._settings.moderation)
        while (order := self._inbox.get()) is not None:
            easel.paint(*order)
            self._on_loop(self._free)

    def _load(self, models: ModelStore) -> None:
        """Load the default models before the first job: building them would hold up the loop while it serves people."""
        try:
            models.generator(self._settings.models.generator)
            for name in self._settings.models.perceptors:
                models.perceptor(name)
        except Exception as error:  # a job that needs them fails with its own sentence
            log.warning("The default models cannot be loaded, and paintings with them will fail: %s", error)

    def _tell(self, event: Event) -> None:
        self._on_loop(self._heard, event)

    def _on_loop(self, callback: Callable[..., object], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop is closed: the process ends, and the ledger has all that it needs
            log.debug("The loop is gone; %s was not called", callback)

    def _free(self) -> None:
        self._job_id = None
        self._freed()
