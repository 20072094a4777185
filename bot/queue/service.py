"""The queue service: requests in, events out. The only way from chat/ and cogs/ to ledger, scheduler and worker."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import filelock

from bot import logs
from bot.background import Tasks, spawn
from bot.jobs import Job, JobState, Request
from bot.queue.admission import Admission
from bot.queue.dispatcher import Dispatcher
from bot.queue.event_writer import EventWriter
from bot.queue.files import Files, StorageError
from bot.queue.films import animation
from bot.queue.inputs import Inputs
from bot.queue.ledger import Ledger
from bot.queue.preferences import GuildSettings, Preferences
from bot.queue.retention import Retention
from bot.queue.scheduler import Estimate, Place, fair_order, places
from bot.refusals import Refusal
from bot.settings import Settings
from bot.worker.events import Event, Stopped
from bot.worker.orders import Steer
from bot.worker.painter import Painter
from bot.worker.pool import PainterPool
from engine.models import embedded_vocabulary
from engine.prompts import Prompt, format_prompts
from engine.vocabulary import unknown_words_notice

log = logging.getLogger(__name__)

_NOT_NOTED = "The bot cannot take anything down right now; try again in a few minutes."


class PaintingQueue:
    """Queue, steer and end jobs. All methods run on the event loop, and none blocks it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.files = Files(settings.storage.folder)
        self._lock = filelock.FileLock(self.files.lock, timeout=0)
        self.device_lost = asyncio.Event()
        """Nothing more can be painted in this process. Its job is kept, and counts this start as one in vain."""
        self._subscribers: list[Callable[[Event], None]] = []
        self._tasks = Tasks()
        self._closing = False

    async def start(self) -> None:
        """Open ledger and worker, and resume what an earlier process left unfinished.

        Raises `StorageError`, `LedgerError` or `BadDeviceError`, each one sentence for the owner.
        """
        await asyncio.to_thread(self.files.prepare)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise StorageError(
                f"storage.folder: another process works in {self.files.folder}; stop it or choose another folder."
            ) from None
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> None:
        await asyncio.to_thread(self.files.clear_scraps)
        self.ledger = ledger = await Ledger.open(self.files.ledger)
        self.preferences = Preferences(ledger.database)
        self.inputs = Inputs(self.files, ledger, self._settings.limits)
        self.admission = Admission(self._settings, ledger, self.preferences)
        self._writer = EventWriter(ledger, self.files, self._publish, self._tasks.spawn)
        self._dispatcher = Dispatcher(
            self._settings, self.files, ledger, self.preferences, self._writer, self._tasks, self._on_device_lost
        )
        await self._dispatcher.start()
        self.retention = Retention(self._settings, self.files, ledger, self.preferences, self.cancel)
        self._pruning = spawn(self.retention.run(), "retention")

    async def close(self, seconds: float = 8.0) -> None:
        """Take no more jobs, checkpoint the running one within `seconds`, and close everything; again does nothing."""
        if self._closing:
            return
        self._closing = True
        deadline = time.monotonic() + seconds
        if hasattr(self, "_pruning"):
            self._pruning.cancel()
            await asyncio.wait([self._pruning])
        if hasattr(self, "_dispatcher"):
            self.admission.closing = True
            await self._dispatcher.close(seconds)
            await self._writer.close(max(1.0, deadline - time.monotonic()))
        await self._tasks.end(1.0)
        if hasattr(self, "ledger"):
            if not self.device_lost.is_set():
                await self.ledger.note_orderly_end()
            await self.ledger.close()
        self._lock.release()

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Have `callback` called on the loop with every event, once the ledger holds what it says."""
        self._subscribers.append(callback)

    def _publish(self, event: Event) -> None:
        for callback in self._subscribers:
            try:
                callback(event)
            except Exception:
                log.exception("A subscriber failed on %s", type(event).__name__)

    def _on_device_lost(self, job_id: str) -> None:
        log.error("Job %s was being painted when the device was lost; it goes on in the next process", job_id)
        self.device_lost.set()

    # Requests

    async def submit(self, request: Request, *, in_group: bool = False) -> Job:
        """Queue a request, once per interaction; `in_group`: it came together with another one.

        Whatever made the request, everything is asked here that decides whether it may be painted; the limits in the
        transaction that adds it. Raises `Refusal`.
        """
        unknown = await asyncio.to_thread(unknown_words_notice, request.spec, embedded_vocabulary())
        if unknown and request.kind != "timelapse":
            request = replace(request, notices=(*request.notices, unknown))
        try:
            limits = await self.admission.require(request)
            job, new = await self.ledger.add(request, replace(limits, cooldown_seconds=0.0) if in_group else limits)
        except sqlite3.Error:
            log.exception("The ledger cannot be written; a request was refused")
            raise Refusal(_NOT_NOTED) from None
        if new:
            with logs.of_job(job.id):
                log.info("Job %s: %s by %d", job.id, job.kind, job.user_id)
            self._dispatcher.schedule()
        return job

    async def change_guild(self, guild_id: int, **changes: object) -> GuildSettings:
        """Change some of a guild's own settings (of `WHOLE_PROCESS`: pause and drain for all); return them all.

        Raises `pydantic.ValidationError` for values that cannot be.
        """
        own = await self.preferences.change_guild(guild_id, **changes)
        self._dispatcher.schedule()
        return own

    async def submit_group(self, requests: Sequence[Request]) -> list[Job]:
        """Queue several requests of one person, if there is room for all; raise `Refusal`.

        They count as one for the pause between two requests. The same group twice is the same jobs.
        """
        first = await self.ledger.by_interaction(requests[0].interaction_id)
        if first is None:
            await self.admission.require_room(requests[0].requester, len(requests))
            first = await self.submit(requests[0])
        return [first, *[await self.submit(request, in_group=True) for request in requests[1:]]]

    async def posted_files(self, job: Job) -> list[Path]:
        """Return what is shown of a finished job, its pictures or its film; nothing when that is gone."""
        if job.spec.motion is None or job.kind == "timelapse":
            return self.files.pictures(job)
        path = await asyncio.to_thread(animation, job, self.files, self._settings)
        return [] if path is None else [path]

    async def attach_message(self, job_id: str, channel_id: int, message_id: int, *, current: bool = True) -> None:
        """Note that a message shows the job; `current`: it is the one that is edited from now on."""
        await self.ledger.attach_message(job_id, channel_id, message_id, current=current)

    async def mark_delivered(self, job_id: str, message_id: int | None = None, channel_id: int | None = None) -> bool:
        """Note that a job's end is to be seen, in the message named if any; return whether a picture was delivered."""
        job = await self.ledger.job(job_id)
        if job is not None and message_id is not None:
            await self.ledger.attach_message(job_id, channel_id or job.channel_id, message_id)
        await self.ledger.mark_announced(job_id)
        return await self.ledger.transition(job_id, JobState.DELIVERED)

    # Jobs under way

    async def stop(self, job_id: str) -> bool:
        """End a running job with the picture it has, a waiting one without; return whether it was unfinished."""
        job = await self.ledger.job(job_id)
        return (job is not None and self._dispatcher.finish_early(job)) or await self.cancel(job_id)

    async def cancel(self, job_id: str) -> bool:
        """Call a job off, whatever it has painted; return whether it was unfinished."""
        if not await self._writer.end(Stopped(job_id)):
            return False
        if self._pool.paints(job_id):
            self._pool.give_up(job_id)
        elif (job := await self.ledger.job(job_id)) is not None:
            await asyncio.to_thread(self.files.delete, job)
        return True

    async def steer(self, job_id: str, prompts: tuple[Prompt, ...]) -> bool:
        """Turn an unfinished job towards other prompts; return False when it is too late.

        Raises `BadSpecError`, or `GoneError` when a prompt is a picture that is no longer kept.
        """
        inputs = await asyncio.to_thread(self.files.inputs, prompts)
        if await self.ledger.note_steer(job_id, prompts, format_prompts(prompts)) is None:
            return False
        self._pool.steer(job_id, Steer(prompts, inputs))
        return True

    async def delete(self, job_id: str) -> tuple[tuple[int, int], ...]:
        """Call a job off if it is unfinished; delete its words, its files and inputs that nobody else uses.

        Return the channels and ids of the messages that show it.
        """
        await self.cancel(job_id)
        if (job := await self.ledger.job(job_id)) is None:
            return ()
        erased = await self.ledger.personal_data.erase(job_id)
        await asyncio.to_thread(self.files.delete, job)
        await self.inputs.delete(erased.inputs)
        return erased.messages

    async def delete_person(self, user_id: int) -> tuple[tuple[int, int], ...]:
        """Delete all that is kept of a person but when they asked today; return the messages that show it."""
        messages: list[tuple[int, int]] = []
        for job_id in await self.ledger.personal_data.jobs_of(user_id):
            messages += await self.delete(job_id)
        await self.inputs.delete(await self.ledger.personal_data.erase_rest(user_id))
        return tuple(messages)

    async def clear(self, guild_id: int | None) -> int:
        """Call off all that waits in a guild (None: everywhere); return how many jobs that were."""
        jobs = await self.ledger.queued(guild_id)
        return sum([await self.cancel(job.id) for job in jobs])

    def want_preview(self, job_id: str) -> None:
        """Ask for a picture with the next `Progress` of a job. The first comes unasked."""
        self._pool.want_preview(job_id)

    # What the queue looks like

    async def places(self) -> list[Place]:
        """List the running jobs and then all that wait, in the order in which they will be painted."""
        step_times = await self.ledger.step_times()
        jobs = [job for job_id in self._pool.job_ids if (job := await self.ledger.job(job_id)) is not None]
        latest = [self._writer.progress.get(job.id) for job in jobs]
        running = [(job, None if one is None else one.seconds_left) for job, one in zip(jobs, latest, strict=True)]
        waiting = fair_order(await self.ledger.waiting(), await self.ledger.served())
        return places(running, waiting, step_times, len(self._pool.painters))

    async def estimate(self, job_id: str) -> Estimate | None:
        """Say when a job's turn comes; None when it neither runs nor waits."""
        return next((place.estimate for place in await self.places() if place.job_id == job_id), None)

    @property
    def painters(self) -> Sequence[Painter]:
        """Those who paint, each with its device and what it is at."""
        return self._pool.painters if hasattr(self, "_dispatcher") else ()

    @property
    def worker_alive(self) -> bool:
        """Whether there is anybody to paint."""
        return hasattr(self, "_dispatcher") and self._pool.alive

    @property
    def _pool(self) -> PainterPool:
        return self._dispatcher.pool
