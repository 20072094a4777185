"""Progress edits of the jobs' messages: throttled, dropped when late, followed by the delivery of the end."""

import asyncio
import contextlib
import io
import logging
import time
from dataclasses import dataclass, field

import discord

from bot import logs
from bot.background import spawn
from bot.chat import content
from bot.chat.components import NOBODY, layout
from bot.chat.content import MessageContent
from bot.chat.delivery import Delivery
from bot.chat.edit_rate import EditRate
from bot.chat.retry import may_pass, token_refused, too_large
from bot.chat.upload_limit import within
from bot.chat.waiting import WaitingMessages
from bot.jobs import Job
from bot.queue.service import PaintingQueue
from bot.worker.events import Checkpointed, Event, Failed, Progress, Rendered, Stopped

log = logging.getLogger(__name__)

_EDIT_SECONDS = 10.0
"""A preview that Discord has not taken by then is given up; the next one is newer anyway."""
_FAREWELL_SECONDS = 3.0
_FIRST_PATIENCE, _PATIENCE = 2.0, 20.0
"""How many seconds the message waits for a picture before it shows words alone: at the start, and later."""
_ANSWER_SECONDS = 10.0
"""How long a fresh job waits for the message that its command is just sending."""
_LOOK_SECONDS = 0.2
"""Between two looks whether it is there."""


@dataclass(slots=True, eq=False)
class _JobMessage:
    """The state of one job's message; holds the newest progress only, as older progress is not shown."""

    job_id: str
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Progress | None = None
    preview: bytes | None = None
    """The newest picture so far; words change more often than pictures."""
    preview_step: int = 0
    unseen: bool = False
    """The newest picture has not been shown."""
    most_bytes: int | None = None
    """How large a picture Discord takes here, where it has refused one."""
    job: Job | None = None
    lost: bool = False
    task: asyncio.Task[None] | None = None


class ProgressReporter:
    """Edit the messages of running jobs, and deliver how each job ended."""

    def __init__(
        self,
        client: discord.Client,
        queue: PaintingQueue,
        delivery: Delivery,
        edit_rate: EditRate,
        waiting: WaitingMessages,
    ) -> None:
        self._client = client
        self._queue = queue
        self._delivery = delivery
        self._edit_rate = edit_rate
        self._waiting = waiting
        self._messages: dict[str, _JobMessage] = {}
        self._recovery: asyncio.Task[None] | None = None
        self._closed = False
        self.dropped = 0
        """Previews that were never shown."""

    def start(self) -> None:
        """Subscribe to the queue and deliver what an earlier process left undelivered."""
        self._queue.subscribe(self.on_event)
        self._recovery = spawn(self._deliver_unannounced(), "deliver what an earlier process left")

    async def close(self) -> None:
        """Post "back soon" under every running job and stop editing."""
        self._closed = True
        if self._recovery is not None:
            self._recovery.cancel()
        messages = list(self._messages.values())
        for message in messages:
            if message.task is not None and not message.ended.is_set():
                message.task.cancel()
        farewells = [self._say_back_soon(message) for message in messages if not message.ended.is_set()]
        deliveries = [message.task for message in messages if message.ended.is_set() and message.task is not None]
        waits = [asyncio.ensure_future(farewell) for farewell in farewells] + deliveries
        if waits:
            await asyncio.wait(waits, timeout=_FAREWELL_SECONDS)
        for delivery in deliveries:
            delivery.cancel()  # the next process, or the next client of this one, tells what these could not

    def on_event(self, event: Event) -> None:
        """Take one event of the queue, on the loop; never blocks."""
        if self._closed or isinstance(event, Checkpointed) or (isinstance(event, Stopped) and event.back_soon):
            return
        message = self._message_of(event.job_id)
        if isinstance(event, Progress):
            self._note_progress(message, event)
        elif isinstance(event, Rendered | Failed | Stopped):
            message.ended.set()
        message.changed.set()

    def _note_progress(self, message: _JobMessage, event: Progress) -> None:
        if event.preview is not None:
            self.dropped += message.unseen
            message.preview, message.preview_step, message.unseen = event.preview, event.step, True
        message.progress = event

    def _message_of(self, job_id: str) -> _JobMessage:
        message = self._messages.get(job_id)
        if message is None:
            message = self._messages[job_id] = _JobMessage(job_id)
            message.task = spawn(self._follow(message), f"message of job {job_id}")
        return message

    async def _follow(self, message: _JobMessage) -> None:
        """Edit the message of one job until the job has ended, then deliver its end."""
        logs.about(message.job_id)
        try:
            await self._waiting.leave(message.job_id)
            seconds = _FIRST_PATIENCE
            while not message.ended.is_set():
                await self._wait_for_turn(message)
                await self._wait_for_picture(message, seconds)
                if not message.ended.is_set():
                    await self._show(message)
                seconds = _PATIENCE
            await self._deliver_end(message)
        finally:
            self._messages.pop(message.job_id, None)
            if message.job is not None and not self._active(message.job.channel_id):
                self._edit_rate.forget(message.job.channel_id)

    async def _wait_for_turn(self, message: _JobMessage) -> None:
        """Wait until the job has a message and that may be edited again, or the job ends."""
        while not message.ended.is_set():
            # Its message or its prompt may have changed.
            message.job = job = await self._queue.ledger.job(message.job_id)
            seconds = _LOOK_SECONDS if job is None or job.message_id is None else self._edit_rate.wait(job.channel_id)
            if seconds <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(message.ended.wait(), seconds)

    async def _wait_for_picture(self, message: _JobMessage, seconds: float) -> None:
        """Ask for a picture and wait until it comes, the job ends or `seconds` are over."""
        if message.lost:
            await message.ended.wait()
            return
        self._queue.want_preview(message.job_id)
        end = time.monotonic() + seconds
        while not message.unseen and not message.ended.is_set() and (left := end - time.monotonic()) > 0:
            message.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(message.changed.wait(), left)

    async def _show(self, message: _JobMessage) -> None:
        job, progress = message.job, message.progress
        assert job is not None
        message.unseen = False
        body = content.starting(job) if progress is None else content.painting(job, progress, time.time())
        try:
            async with asyncio.timeout(_EDIT_SECONDS):
                await self._edit(message, job, body)
        except Exception as error:
            if not await self._has_moved(job):  # else the next edit goes where it is shown now
                self._note_refusal(message, job, error)
        else:
            self._edit_rate.edited(job.channel_id, self._active(job.channel_id))

    async def _has_moved(self, job: Job) -> bool:
        """Return whether another message shows the job by now."""
        now = await self._queue.ledger.job(job.id)
        return now is not None and now.message_id != job.message_id

    async def _edit(self, message: _JobMessage, job: Job, body: MessageContent) -> None:
        assert job.message_id is not None
        channel = self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        target = channel.get_partial_message(job.message_id)
        if message.preview is None:
            await target.edit(view=layout(body, job.id), allowed_mentions=NOBODY)
            return
        name = f"step-{message.preview_step}-{job.id}.jpg"
        picture = message.preview
        if message.most_bytes is not None:
            picture = await asyncio.to_thread(within, picture, message.most_bytes)
        file = discord.File(io.BytesIO(picture), filename=name, description=body.alt or None)
        await target.edit(view=layout(body, job.id, [name]), attachments=[file], allowed_mentions=NOBODY)

    def _note_refusal(self, message: _JobMessage, job: Job, error: Exception) -> None:
        """Drop the preview; slow down after rate limits and faults, give the message up after final refusals."""
        self.dropped += 1
        if may_pass(error):
            self._edit_rate.refused(job.channel_id, getattr(error, "retry_after", 0.0))
            log.info("Job %s: a preview was dropped (%s)", job.id, type(error).__name__)
        elif too_large(error) and message.preview is not None:
            message.most_bytes = (message.most_bytes or len(message.preview)) // 2
            log.info("Job %s: a preview was too large; the next ones have %d bytes", job.id, message.most_bytes)
        else:
            # Deleted, forbidden, too old to be edited: asking again would only count against us.
            message.lost = True
            if token_refused(error):
                self._client.dispatch("token_refused")
            log.warning("Job %s: its message cannot be edited any more (%s)", job.id, error)

    async def _deliver_end(self, message: _JobMessage) -> None:
        job = await self._with_message(message.job_id)
        if job is not None and job.finished and job.delivered_at is None:
            moved = message.job is not None and message.job.message_id != job.message_id
            await self._delivery.deliver(job, lost=message.lost and not moved)

    async def _with_message(self, job_id: str) -> Job | None:
        """Read the job again, waiting for a command that is still answering to record its message."""
        await self._waiting.posted(job_id)
        end = time.monotonic() + _ANSWER_SECONDS
        while True:
            job = await self._queue.ledger.job(job_id)
            if job is None or job.message_id is not None:
                return job
            if time.monotonic() > end or time.time() > job.created_at + _ANSWER_SECONDS:  # the clock may jump back
                await self._delivery.adopt(job)  # it may have been posted although Discord's answer was lost
                return await self._queue.ledger.job(job_id)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _say_back_soon(self, message: _JobMessage) -> None:
        job = message.job
        if job is None or job.message_id is None or message.lost:
            return
        try:
            await self._edit(message, job, content.interrupted(job))
        except Exception as error:
            log.info("Job %s: no farewell (%s)", job.id, type(error).__name__)

    async def _deliver_unannounced(self) -> None:
        for job in await self._queue.ledger.without_message():
            await self._delivery.adopt(job)
        for job in await self._queue.ledger.unannounced():
            if job.id in self._messages:
                continue
            logs.about(job.id)
            try:
                await self._delivery.deliver_if_unannounced(job)
            except Exception:
                log.exception("Job %s could not be delivered", job.id)

    def _active(self, channel_id: int) -> int:
        return sum(
            1 for message in self._messages.values() if message.job is not None and message.job.channel_id == channel_id
        )
