"""Writes the events of painters: bytes into files first, then the ledger, and only then they are published."""

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from bot import logs
from bot.jobs import JobState, cost_key
from bot.queue.files import Files, StorageError
from bot.queue.ledger import Ledger
from bot.worker.events import (
    Checkpoint,
    Checkpointed,
    Event,
    Failed,
    Frame,
    Painted,
    PainterEvent,
    Progress,
    Rendered,
    Shrunk,
    Started,
    Stopped,
)

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Between two attempts at a ledger that does not answer."""
_NOT_KEPT = "The picture could not be kept; the bot's owner finds the cause in the log."


class EventWriter:
    """Write events one by one, in order, none lost while the ledger cannot be written.

    All methods belong to the loop, where `publish` gets what has been written, and `spawn` starts a task by its name.
    """

    def __init__(
        self,
        ledger: Ledger,
        files: Files,
        publish: Callable[[Event], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._publish = publish
        self._spawn = spawn
        self.progress: dict[str, Progress] = {}
        """The latest progress of each running job."""
        self._events: deque[tuple[PainterEvent | Rendered, int]] = deque()
        self._writing = self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._without_frames: set[str] = set()

    def put(self, event: PainterEvent | Rendered, attempt: int) -> None:
        """Take what is said of one start of a job; the task that works the events off ends with the last."""
        if isinstance(event, Checkpoint):  # while the ledger does not answer, only the latest one is worth its memory
            for waiting in [one for one in list(self._events)[1:] if isinstance(one[0], Checkpoint)]:
                if waiting[0].job_id == event.job_id:
                    self._events.remove(waiting)
        self._events.append((event, attempt))
        self._work_off()

    async def idle(self) -> None:
        """Wait until all that was said up to now is written."""
        await self._idle.wait()

    async def close(self, seconds: float) -> None:
        """Write what there is within `seconds`, and put nothing off any more: there is no later."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)

    async def end(self, event: Rendered | Failed | Stopped, attempt: int | None = None) -> bool:
        """Make the end of a job durable, then known; return whether it was the first end to come.

        With `attempt`, only when that is the job's latest start.
        """
        match event:
            case Rendered():
                happened = await self._ledger.transition(
                    event.job_id,
                    JobState.RENDERED,
                    step=event.step,
                    seconds=event.seconds,
                    notices=event.notices,
                    attempt=attempt,
                )
            case Failed():
                happened = await self._ledger.transition(
                    event.job_id, JobState.FAILED, error=event.sentence, attempt=attempt
                )
            case Stopped():
                happened = await self._ledger.transition(event.job_id, JobState.CANCELLED, attempt=attempt)
        if happened:
            self.progress.pop(event.job_id, None)
            self._publish(event)
            await self._log_end(event.job_id)
        return happened

    def _work_off(self) -> None:
        if self._events and not self._writing:
            self._writing = True
            self._idle.clear()
            self._spawn(self._write_all(), "write events")

    async def _write_all(self) -> None:
        try:
            while self._events:
                try:
                    await self._write(*self._events[0])
                except sqlite3.Error:
                    log.exception("The ledger cannot be written; tried again in %g s", RETRY_SECONDS)
                    if not self._closing:
                        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._work_off)
                    return
                except Exception:
                    log.exception("Job %s: an event could not be written", self._events[0][0].job_id)
                self._events.popleft()
            self._idle.set()
        finally:
            self._writing = False

    async def _write(self, event: PainterEvent | Rendered, attempt: int) -> None:
        if isinstance(event, Painted | Rendered | Failed) or (isinstance(event, Stopped) and not event.back_soon):
            ended = await self._save_result(event, attempt) if isinstance(event, Painted) else event
            if ended is not None:
                await self.end(ended, attempt)
            self._without_frames.discard(event.job_id)
            self._spawn(self._clear_up(event.job_id, ended), f"clear up {event.job_id}")
        elif await self._ledger.is_current(event.job_id, attempt):
            await self._write_current(event, attempt)
        else:
            log.debug("Job %s: %s of start %d is too late", event.job_id, type(event).__name__, attempt)

    async def _write_current(
        self, event: Started | Progress | Checkpoint | Frame | Shrunk | Stopped, attempt: int
    ) -> None:
        if isinstance(event, Frame):
            await self._save_frame(event)
        elif isinstance(event, Checkpoint):
            await self._save_checkpoint(event, attempt)
        else:
            if isinstance(event, Shrunk):
                await self._ledger.note_smaller(event.job_id, event.width, event.height, event.notices, attempt)
            elif isinstance(event, Progress):
                self.progress[event.job_id] = event
            self._publish(event)

    async def _save_checkpoint(self, event: Checkpoint, attempt: int) -> None:
        try:
            await asyncio.to_thread(self._files.save_checkpoint, event.job_id, event.content)
        except (OSError, StorageError):
            log.exception("Job %s could not be checkpointed; it is painted on without", event.job_id)
            return
        await self._ledger.note_progress(event.job_id, event.step, attempt)
        self._publish(Checkpointed(event.job_id, event.step))

    async def _save_frame(self, event: Frame) -> None:
        if event.job_id in self._without_frames:
            return
        try:
            await asyncio.to_thread(self._files.save_frame, event.job_id, event.step, event.jpeg)
        except OSError:
            log.exception("A frame of job %s could not be kept; no more are tried", event.job_id)
            self._without_frames.add(event.job_id)

    async def _save_result(self, event: Painted, attempt: int) -> Rendered | Failed | None:
        """Keep the final pictures, unless nobody wants it any more; return how the job has ended with it."""
        job = await self._ledger.job(event.job_id)
        if job is None or job.state is not JobState.RUNNING or job.attempts != attempt:
            return None
        await self._ledger.note_result(job.id, event.step, event.seconds, event.notices, attempt)
        try:
            path = await asyncio.to_thread(self._files.save_result, job, event.pictures, event.latents)
        except StorageError as error:
            log.warning("The picture of job %s could not be kept: %s", event.job_id, error)
            return Failed(event.job_id, str(error))
        except OSError:
            log.exception("The picture of job %s could not be kept", event.job_id)
            return Failed(event.job_id, _NOT_KEPT)
        return Rendered(event.job_id, path, event.seconds, event.step, event.notices)

    async def _log_end(self, job_id: str) -> None:
        if (job := await self._ledger.job(job_id)) is not None:
            with logs.of_job(job_id):
                sentence, costs = logs.end_of(job)
                log.info("%s", sentence, extra=costs)

    async def _clear_up(self, job_id: str, ended: Rendered | Failed | Stopped | None) -> None:
        """Delete what is left of a job now that nobody paints it: all, unless there is a picture."""
        logs.about(job_id)
        job = await self._ledger.job(job_id)
        if job is None or not job.finished:  # another start of it goes on
            return
        unwanted = job.state in {JobState.CANCELLED, JobState.FAILED} or job.deleted_at is not None
        await asyncio.to_thread(self._files.delete if unwanted else self._files.drop_checkpoint, job)
        if isinstance(ended, Rendered) and job.kind != "timelapse" and ended.step and ended.seconds:
            await self._ledger.note_step_time(cost_key(job.spec), ended.seconds / ended.step)
