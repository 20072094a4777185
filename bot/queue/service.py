"""The queue service: requests in, events out. The only way from chat/ and cogs/ to ledger, scheduler and worker."""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import filelock

from bot import logs
from bot.background import spawn
from bot.jobs import Job, JobState, Request, Requester, words_of
from bot.options import require_allowed
from bot.queue.admission import Limits, limits_of, refusal_by_limits, refusal_by_rules
from bot.queue.event_writer import RETRY_SECONDS, EventWriter
from bot.queue.files import Files, GoneError, StorageError
from bot.queue.films import film
from bot.queue.inputs import Inputs
from bot.queue.ledger import Ledger
from bot.queue.preferences import GuildSettings, Preferences
from bot.queue.retention import prune
from bot.queue.scheduler import Estimate, Place, fair_order, places, startable
from bot.refusals import Refusal
from bot.settings import Settings
from bot.worker.events import Event, Failed, PainterEvent, Started, Stopped
from bot.worker.orders import Order, Steer
from bot.worker.painter import Callbacks, Painter
from bot.worker.process import ProcessPainter
from bot.worker.thread import ThreadPainter
from engine.models import embedded_vocabulary
from engine.prompts import Prompt, format_prompts
from engine.vocabulary import unknown_words_notice

log = logging.getLogger(__name__)

_NOT_NOTED = "The bot cannot take anything down right now; try again in a few minutes."
_CRASHED = "Painting this ended in a crash {} times, so it was given up; try a smaller size or other settings."
_UNREAD = "What this starts from cannot be read; the bot's owner finds the cause in the log."
_NO_FILM = "The time-lapse could not be made; the bot's owner finds the cause in the log."
_PRUNE_SECONDS = 600.0


class PaintingQueue:
    """Queue, start and end jobs. All methods run on the event loop, and none blocks it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files = Files(settings.storage.folder)
        self._lock = filelock.FileLock(self.files.lock, timeout=0)
        self._painter: Painter = (
            ProcessPainter(settings, Callbacks(self._on_event, self._schedule, self._on_job_lost))
            if settings.worker.isolation == "process"
            else ThreadPainter(settings, Callbacks(self._on_event, self._schedule, self._on_device_lost))
        )
        self.device_lost = asyncio.Event()
        """Nothing more can be painted in this process. Its job is kept, and counts this start as one in vain."""
        self._subscribers: list[Callable[[Event], None]] = []
        self._left_over: deque[Job] = deque()
        self._to_finish: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._housekeeping: asyncio.Task[None] | None = None
        self._scheduling = self._schedule_again = self._filming = self._closing = False

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
            await asyncio.to_thread(self.files.clear_scraps)
            self.ledger = await Ledger.open(self.files.ledger)
            self.preferences = Preferences(self.ledger.database)
            self.inputs = Inputs(self.files, self.ledger, self.settings.limits)
            self._event_writer = EventWriter(self.ledger, self.files, self._publish, self._spawn)
            await self._painter.start()
        except BaseException:
            await self.close()
            raise
        await self._resume()
        self._housekeeping = spawn(self._keep_house(), "prune")

    async def close(self, seconds: float = 8.0) -> None:
        """Take no more jobs, checkpoint the running one within `seconds`, and close everything; again does nothing."""
        if self._closing:
            return
        self._closing = True
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        deadline = time.monotonic() + seconds
        await self._painter.close(seconds)
        if hasattr(self, "_event_writer"):
            await self._event_writer.close(max(1.0, deadline - time.monotonic()))
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=1.0)
            for task in late:
                task.cancel()
        if hasattr(self, "ledger"):
            if not self.device_lost.is_set():
                await self.ledger.note_orderly_end()
            await self.ledger.close()
        self._lock.release()

    async def _keep_house(self) -> None:
        """Let go of what is old, again and again, whether or not anything is painted."""
        while not self._closing:
            try:
                await prune(self.ledger, self.files, self.settings.storage)
                await self._end_paused()
            except Exception:
                log.exception("What is old could not be let go of; in a while it is tried again")
            await asyncio.sleep(_PRUNE_SECONDS)

    async def _end_paused(self) -> None:
        """Call off what has waited too long in a guild that is paused: it would wait for ever."""
        paused = {guild_id for guild_id, own in (await self.preferences.all_guilds()).items() if own.paused}
        before = time.time() - self.settings.limits.paused_hours * 3600
        for job in await self.ledger.queued():
            if job.guild_id in paused and job.created_at < before:
                await self.cancel(job.id)

    async def _resume(self) -> None:
        await self.ledger.fail_unreadable()
        for job in await self.ledger.in_state(JobState.RUNNING):
            await self._try_again(job)
        self._schedule()

    async def _try_again(self, job: Job) -> None:
        """Let a job go on whose painter died, unless that happens to it again and again."""
        if job.crashes >= self.settings.worker.attempts:
            await self._event_writer.end(Failed(job.id, _CRASHED.format(job.crashes)))
            await asyncio.to_thread(self.files.forget, job)
        else:
            self._left_over.append(job)

    def _on_device_lost(self, job_id: str) -> None:
        log.error("Job %s was being painted when the device was lost; it goes on in the next process", job_id)
        self.device_lost.set()

    def _on_job_lost(self, job_id: str) -> None:
        """Take a job back from a painting process that died."""
        self._spawn(self._take_back(job_id), f"take back {job_id}")

    async def _take_back(self, job_id: str) -> None:
        try:
            await self._event_writer.idle()  # its last words may be that the picture is finished
            job = await self.ledger.job(job_id)
            if job is not None and job.state is JobState.RUNNING:
                await self._try_again(job)
                self._schedule()
            elif job is not None and job.state is JobState.CANCELLED:
                await asyncio.to_thread(self.files.forget, job)
        except sqlite3.Error:
            log.exception("The ledger does not answer; job %s is taken back in %g s", job_id, RETRY_SECONDS)
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._on_job_lost, job_id)

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Have `callback` called on the loop with every event, once the ledger holds what it says."""
        self._subscribers.append(callback)

    # Requests

    async def refusal(self, requester: Requester, words: str = "", parent: Job | None = None) -> str | None:
        """Say in one sentence why these words may not be painted for this person now, or None.

        `parent` is the job that the painting is made from: the rules of its guild hold as well.
        """
        if (sentence := await self._refusal_by_state(requester)) is not None:
            return sentence
        if (sentence := await self.refusal_by_rules(requester, words, parent)) is not None:
            return sentence
        usage = await self.ledger.usage(requester)
        return refusal_by_limits(await self.limits(requester), usage, in_guild=requester.guild_id is not None)

    async def _refusal_by_state(self, requester: Requester) -> str | None:
        if self._closing:
            return "The bot is about to restart; try again in a minute."
        if (await self.preferences.guild_in_effect(requester.guild_id)).draining:
            return "No new paintings are taken right now; try again later."
        return None

    async def refusal_by_rules(self, requester: Requester, words: str, job: Job | None = None) -> str | None:
        """Say why this person, this channel or these words are refused, here or in the guild of `job`; None if not.

        This is asked wherever words are painted and pictures shown. It runs beside the loop: texts may be long.
        """
        guild_id = requester.guild_id
        here = await self.preferences.guild_in_effect(guild_id)
        foreign = job is not None and job.guild_id is not None and job.guild_id != guild_id
        elsewhere = [await self.preferences.guild_in_effect(job.guild_id)] if job is not None and foreign else []
        return await asyncio.to_thread(refusal_by_rules, requester, words, here, self.settings.moderation, elsewhere)

    async def limits(self, requester: Requester) -> Limits:
        """Return what this person may have at once and in a day, where they ask."""
        return limits_of(requester, await self.preferences.guild_in_effect(requester.guild_id), self.settings.limits)

    async def change_guild(self, guild_id: int, **changes: object) -> GuildSettings:
        """Change some of a guild's own settings (of `WHOLE_PROCESS`: pause and drain for all); return them all.

        Raises `pydantic.ValidationError` for values that cannot be.
        """
        own = await self.preferences.change_guild(guild_id, **changes)
        self._schedule()
        return own

    async def submit(self, request: Request) -> Job:
        """Queue a request, once per interaction.

        Whatever made the request, everything is asked here that decides whether it may be painted; the limits in the
        transaction that adds it. Raises `Refusal`.
        """
        unknown = await asyncio.to_thread(unknown_words_notice, request.spec, embedded_vocabulary())
        if unknown and request.kind != "timelapse":
            request = replace(request, notices=(*request.notices, unknown))
        try:
            parent = await self.ledger.job(request.parent_id) if request.parent_id is not None else None
            sentence = await self._refusal_by_state(request.requester)
            words = words_of(request.spec, request.prompt)
            sentence = sentence or await self.refusal_by_rules(request.requester, words, parent)
            if sentence is not None:
                raise Refusal(sentence)
            require_allowed(request.spec, self.settings.models, self.settings.limits)
            job, new = await self.ledger.add(request, await self.limits(request.requester))
        except sqlite3.Error:
            log.exception("The ledger cannot be written; a request was refused")
            raise Refusal(_NOT_NOTED) from None
        if new:
            with logs.of_job(job.id):
                log.info("Job %s: %s by %d", job.id, job.kind, job.user_id)
            self._schedule()
        return job

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

    # Running jobs

    async def stop(self, job_id: str) -> bool:
        """End a running job with the picture it has, a waiting one without; return whether it was unfinished."""
        job = await self.ledger.job(job_id)
        if self._painter.job_id == job_id:
            self._painter.finish_early(job_id)
        elif job is not None and job.state is JobState.RUNNING and job.step:
            self._to_finish.add(job_id)  # painted so far by an earlier process: the worker is about to take it up
        else:
            return await self.cancel(job_id)
        return True

    async def cancel(self, job_id: str) -> bool:
        """Call a job off, whatever it has painted; return whether it was unfinished."""
        if not await self._event_writer.end(Stopped(job_id)):
            return False
        if self._painter.job_id == job_id:
            self._painter.give_up(job_id)
        elif (job := await self.ledger.job(job_id)) is not None:
            await asyncio.to_thread(self.files.forget, job)
        return True

    async def steer(self, job_id: str, prompts: tuple[Prompt, ...]) -> bool:
        """Turn an unfinished job towards other prompts; return False when it is too late.

        Raises `BadSpecError`, or `GoneError` when a prompt is a picture that is no longer kept.
        """
        inputs = await asyncio.to_thread(self.files.inputs, prompts)
        if await self.ledger.note_steer(job_id, prompts, format_prompts(prompts)) is None:
            return False
        self._painter.steer(job_id, Steer(prompts, inputs))
        return True

    async def delete(self, job_id: str) -> tuple[tuple[int, int], ...]:
        """Call a job off if it is unfinished; delete its words, its files and inputs that nobody else uses.

        Return the channels and ids of the messages that show it.
        """
        await self.cancel(job_id)
        if (job := await self.ledger.job(job_id)) is None:
            return ()
        erased = await self.ledger.personal_data.erase(job_id)
        await asyncio.to_thread(self.files.forget, job)
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
        self._painter.want_preview(job_id)

    async def places(self) -> list[Place]:
        """List the running job and then all that wait, in the order in which they will be painted."""
        step_times = await self.ledger.step_times()
        running = None if self._painter.job_id is None else await self.ledger.job(self._painter.job_id)
        waiting = fair_order(await self.ledger.waiting(), await self.ledger.served())
        progress = self._event_writer.progress.get(running.id) if running else None
        return places(running, progress.seconds_left if progress else None, waiting, step_times)

    async def estimate(self, job_id: str) -> Estimate | None:
        """Tell when a job's turn comes; None when it neither runs nor waits."""
        return next((place.estimate for place in await self.places() if place.job_id == job_id), None)

    @property
    def device(self) -> str:
        """The device's name, for people."""
        return str(self._painter.device)

    @property
    def running(self) -> str | None:
        """The id of the job being painted, if any."""
        return self._painter.job_id

    @property
    def worker_alive(self) -> bool:
        """Tell whether the painting thread lives."""
        return self._painter.alive

    # Whose turn

    def _schedule(self) -> None:
        """Start what can be started. Called whenever something may have become startable; cheap when nothing has."""
        self._schedule_again = True
        if not self._scheduling and not self._closing:
            self._scheduling = True
            self._spawn(self._start_jobs(), "start jobs")

    async def _start_jobs(self) -> None:
        try:
            while self._schedule_again and not self._closing:
                self._schedule_again = False
                await self._start_film()
                await self._start_painting()
        except sqlite3.Error:
            log.exception("The ledger does not answer; jobs are started again in %g s", RETRY_SECONDS)
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._schedule)
        finally:
            self._scheduling = False

    async def _next(self, *, films: bool) -> Job | None:
        """Claim the next painting, or film: what an earlier process left first, then by fair order."""
        for job in self._left_over:
            if (job.kind == "timelapse") == films:
                self._left_over.remove(job)
                await self.ledger.note_start(job.id)
                return await self.ledger.job(job.id)
        paused = {guild for guild, own in (await self.preferences.all_guilds()).items() if own.paused}
        waiting = [job for job in await self.ledger.waiting() if (job.kind == "timelapse") == films]
        for job in fair_order(startable(waiting, paused), await self.ledger.served()):
            if await self.ledger.claim(job.job_id):
                return await self.ledger.job(job.job_id)
        return None

    async def _start_painting(self) -> None:
        if not self._painter.free or (job := await self._next(films=False)) is None:
            return
        try:
            order = await self._order(job)
        except sqlite3.Error:
            self._left_over.append(job)
            raise
        if order is None:
            self._schedule_again = True
        else:
            self._painter.paint(order)
            if job.id in self._to_finish:
                self._to_finish.remove(job.id)
                self._painter.finish_early(job.id)

    async def _order(self, job: Job) -> Order | None:
        """Read what a claimed job needs from disk; None when it is not to be painted after all."""
        while True:
            try:
                inputs = await asyncio.to_thread(self.files.inputs, job.spec)
                checkpoint = await asyncio.to_thread(self.files.checkpoint, job.id)
            except (GoneError, OSError) as error:
                log.warning("Job %s cannot be started", job.id, exc_info=error)
                await self._event_writer.end(Failed(job.id, str(error) if isinstance(error, GoneError) else _UNREAD))
                return None
            now = await self.ledger.job(job.id)  # it may have been cancelled or steered meanwhile
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
            self._spawn(self._film(job), f"film {job.id}")

    def _is_wanted(self, job: Job) -> bool:
        """Tell whether a claimed job is still running: it may have been cancelled meanwhile."""
        if self._closing or job.state is not JobState.RUNNING:
            self._schedule_again = True
            return False
        return True

    async def _film(self, job: Job) -> None:
        logs.about(job.id)
        try:
            self._event_writer.put(Started(job.id, 0, 1), job.attempts)
            earlier = None if job.parent_id is None else await self.ledger.film_of(job.parent_id)
            made = await asyncio.to_thread(film, job, self.files, self.settings, earlier)
            self._event_writer.put(made, job.attempts)
        except Exception:
            log.exception("The film of job %s failed", job.id)
            self._event_writer.put(Failed(job.id, _NO_FILM), job.attempts)
        finally:
            self._filming = False
            self._schedule()

    # Events

    def _on_event(self, event: PainterEvent, attempt: int) -> None:
        self._event_writer.put(event, attempt)

    def _publish(self, event: Event) -> None:
        for callback in self._subscribers:
            try:
                callback(event)
            except Exception:
                log.exception("A subscriber failed on %s", type(event).__name__)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = spawn(work, name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
