"""Starting jobs: whose turn it is, what a painter is handed, and what becomes of a job whose painter broke down."""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable

from bot import logs
from bot.background import Tasks
from bot.jobs import Job, JobState
from bot.queue.event_writer import RETRY_SECONDS, EventWriter
from bot.queue.files import Files, GoneError
from bot.queue.films import film
from bot.queue.ledger import Ledger
from bot.queue.preferences import Preferences
from bot.queue.scheduler import fair_order, startable
from bot.settings import Settings
from bot.worker.events import Failed, Rendered, Started
from bot.worker.orders import Order
from bot.worker.painter import Painter
from bot.worker.painters import make_pool
from bot.worker.pool import PoolCallbacks

log = logging.getLogger(__name__)

_CRASHED = "Painting this ended in a crash {} times, so it was given up; try a smaller size or other settings."
_UNREAD = "What this starts from cannot be read; the bot's owner finds the cause in the log."
_OTHER_DEVICE = "This went on on another device ({}), so it may differ a little from a painting in one go."
_NO_FILM = "The time-lapse could not be made; the bot's owner finds the cause in the log."


class Dispatcher:
    """Start waiting jobs whenever a painter is free, and films beside them.

    `on_device_lost` gets the id of the job that was being painted when this process lost its device.
    """

    def __init__(
        self,
        settings: Settings,
        files: Files,
        ledger: Ledger,
        preferences: Preferences,
        writer: EventWriter,
        tasks: Tasks,
        on_device_lost: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._files = files
        self._ledger = ledger
        self._preferences = preferences
        self._writer = writer
        self._tasks = tasks
        self.pool = make_pool(settings, PoolCallbacks(writer.put, self.schedule, self._on_job_lost, on_device_lost))
        self._left_over: deque[Job] = deque()
        self._to_finish: set[str] = set()
        self._scheduling = self._schedule_again = self._filming = self._closing = False

    async def start(self) -> None:
        """Start the painters, then what an earlier process left unfinished; raise `BadDeviceError`."""
        await self.pool.start()
        await self._ledger.fail_unreadable()
        for job in await self._ledger.in_state(JobState.RUNNING):
            if not await self._is_painted(job):
                await self._try_again(job)
        self.schedule()

    async def close(self, seconds: float) -> None:
        """Start nothing more, and checkpoint what is being painted within `seconds`."""
        self._closing = True
        await self.pool.close(seconds)

    def finish_early(self, job: Job) -> bool:
        """Let a job end with the picture that it has; return False when it has none yet."""
        if self.pool.paints(job.id):
            self.pool.finish_early(job.id)
        elif job.state is JobState.RUNNING and job.step:
            self._to_finish.add(job.id)  # painted so far by another painter: one is about to take it up
        else:
            return False
        return True

    def schedule(self) -> None:
        """Start what can be started. Called whenever something may have become startable; cheap when nothing has."""
        self._schedule_again = True
        if not self._scheduling and not self._closing:
            self._scheduling = True
            self._tasks.spawn(self._start_jobs(), "start jobs")

    async def _start_jobs(self) -> None:
        try:
            while self._schedule_again and not self._closing:
                self._schedule_again = False
                await self._start_film()
                await self._start_painting()
        except sqlite3.Error:
            log.exception("The ledger does not answer; jobs are started again in %g s", RETRY_SECONDS)
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self.schedule)
        finally:
            self._scheduling = False

    async def _next(self, *, films: bool) -> Job | None:
        """Claim the next painting, or film: what an earlier process left first, then by fair order."""
        for job in self._left_over:
            if (job.kind == "timelapse") == films:
                self._left_over.remove(job)
                await self._ledger.note_start(job.id)
                return await self._ledger.job(job.id)
        paused = await self._preferences.paused_guilds()
        waiting = [job for job in await self._ledger.waiting() if (job.kind == "timelapse") == films]
        for job in fair_order(startable(waiting, paused), await self._ledger.served()):
            if await self._ledger.claim(job.job_id):
                return await self._ledger.job(job.job_id)
        return None

    async def _start_painting(self) -> None:
        if self.pool.free() is None or (job := await self._next(films=False)) is None:
            return
        self._schedule_again = True  # there may be another painter, or another job in place of this one
        painter = self.pool.free(job.device)
        try:
            if painter is not None:
                await self._note_painter(job, painter)
            order = await self._order(job)
        except sqlite3.Error:
            self._left_over.append(job)
            raise
        if order is None:
            return
        if painter is None or not painter.free:  # it broke down meanwhile
            self._left_over.append(job)
            return
        painter.paint(order)
        if job.id in self._to_finish:
            self._to_finish.remove(job.id)
            painter.finish_early(job.id)

    async def _note_painter(self, job: Job, painter: Painter) -> None:
        """Note which chip paints the job, with a notice for its requester when another began it."""
        notices = job.notices
        if job.step and job.device not in (None, painter.chip):
            notices = tuple(dict.fromkeys((*notices, _OTHER_DEVICE.format(painter.chip))))
        await self._ledger.note_device(job.id, painter.chip, notices)

    async def _order(self, job: Job) -> Order | None:
        """Read what a claimed job needs from disk; None when it is not to be painted after all."""
        while True:
            try:
                inputs = await asyncio.to_thread(self._files.inputs, job.spec)
                checkpoint = await asyncio.to_thread(self._files.checkpoint, job.id)
            except (GoneError, OSError) as error:
                log.warning("Job %s cannot be started", job.id, exc_info=error)
                await self._writer.end(Failed(job.id, str(error) if isinstance(error, GoneError) else _UNREAD))
                return None
            now = await self._ledger.job(job.id)  # it may have been cancelled or steered meanwhile
            if self._closing or now is None or now.state is not JobState.RUNNING:
                return None
            if now.spec == job.spec:
                return Order(
                    job_id=job.id,
                    attempt=now.attempts,
                    spec=now.spec,
                    inputs=inputs,
                    checkpoint=checkpoint,
                    notices=now.notices,
                )
            job = now

    async def _start_film(self) -> None:
        if not self._filming and (job := await self._next(films=True)) is not None and self._is_wanted(job):
            self._filming = True
            self._tasks.spawn(self._film(job), f"film {job.id}")

    def _is_wanted(self, job: Job) -> bool:
        """Return whether a claimed job is still running: it may have been cancelled meanwhile."""
        if self._closing or job.state is not JobState.RUNNING:
            self._schedule_again = True
            return False
        return True

    async def _film(self, job: Job) -> None:
        logs.about(job.id)
        try:
            self._writer.put(Started(job.id, 0, 1), job.attempts)
            earlier = None if job.parent_id is None else await self._ledger.film_of(job.parent_id)
            made = await asyncio.to_thread(film, job, self._files, self._settings, earlier)
            self._writer.put(made, job.attempts)
        except Exception:
            log.exception("The film of job %s failed", job.id)
            self._writer.put(Failed(job.id, _NO_FILM), job.attempts)
        finally:
            self._filming = False
            self.schedule()

    # Painters that broke down

    async def _is_painted(self, job: Job) -> bool:
        """Return whether a job's picture lies on disk whole, and end the job with it: only the ledger lacks that."""
        picture = await asyncio.to_thread(self._files.picture, job)
        if picture is None or job.kind == "timelapse":  # a film's file may be half a film
            return False
        await self._writer.end(Rendered(job.id, picture, job.seconds or 0.0, job.step, job.notices), job.attempts)
        await asyncio.to_thread(self._files.drop_checkpoint, job)
        return True

    async def _try_again(self, job: Job) -> None:
        """Let a job go on whose painter died, unless that happens to it again and again."""
        if job.crashes >= self._settings.worker.attempts:
            await self._writer.end(Failed(job.id, _CRASHED.format(job.crashes)))
            await asyncio.to_thread(self._files.delete, job)
        else:
            self._left_over.append(job)

    def _on_job_lost(self, job_id: str) -> None:
        """Take a job back from a painting process that died."""
        self._tasks.spawn(self._take_back(job_id), f"take back {job_id}")

    async def _take_back(self, job_id: str) -> None:
        try:
            await self._writer.idle()  # its last words may be that the picture is finished
            job = await self._ledger.job(job_id)
            if job is not None and job.state is JobState.RUNNING:
                await self._try_again(job)
                self.schedule()
            elif job is not None and job.state is JobState.CANCELLED:
                await asyncio.to_thread(self._files.delete, job)
        except sqlite3.Error:
            log.exception("The ledger does not answer; job %s is taken back in %g s", job_id, RETRY_SECONDS)
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._on_job_lost, job_id)
