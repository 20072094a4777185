"""Events in, edits of each job's one message out: throttled, droppable, and the final always delivered."""

import asyncio
import contextlib
import io
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import discord

from bot import logs
from bot.background import spawn
from bot.chat import content
from bot.chat.components import NOBODY, layout
from bot.chat.delivery import Delivery
from bot.chat.edit_rate import Pace
from bot.chat.retry import may_pass, token_refused
from bot.chat.waiting import Line
from bot.jobs import Job, JobState
from bot.worker.events import Checkpointed, Event, Failed, Progress, Rendered, Stopped

if TYPE_CHECKING:
    from bot.queue.service import Studio

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
class _Post:
    """What is known of one job's message: a mailbox with one place, so that only the newest progress is shown."""

    job_id: str
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Progress | None = None
    preview: bytes | None = None
    """The newest picture so far; words change more often than pictures."""
    preview_step: int = 0
    unseen: bool = False
    """The newest picture has not been shown."""
    job: Job | None = None
    lost: bool = False
    task: asyncio.Task[None] | None = None


class Reporter:
    """Show progress while Discord keeps up, and how every job ended whatever Discord does."""

    def __init__(self, client: discord.Client, studio: "Studio", delivery: Delivery, pace: Pace, line: Line) -> None:
        self._client = client
        self._studio = studio
        self._delivery = delivery
        self._pace = pace
        self._line = line
        self._posts: dict[str, _Post] = {}
        self._rescue: asyncio.Task[None] | None = None
        self._closed = False
        self.dropped = 0
        """Previews that were never shown."""

    def start(self) -> None:
        """Listen to the studio and deliver what an earlier process left undelivered."""
        self._studio.subscribe(self.on_event)
        self._rescue = spawn(self._deliver_untold(), "deliver what an earlier process left")

    async def close(self) -> None:
        """Say "back soon" under every running painting and stop editing."""
        self._closed = True
        if self._rescue is not None:
            self._rescue.cancel()
        posts = list(self._posts.values())
        for post in posts:
            if post.task is not None and not post.ended.is_set():
                post.task.cancel()
        farewells = [self._say_back_soon(post) for post in posts if not post.ended.is_set()]
        deliveries = [post.task for post in posts if post.ended.is_set() and post.task is not None]
        waits = [asyncio.ensure_future(farewell) for farewell in farewells] + deliveries
        if waits:
            await asyncio.wait(waits, timeout=_FAREWELL_SECONDS)
        for delivery in deliveries:
            delivery.cancel()  # the next process, or the next client of this one, tells what these could not

    def on_event(self, event: Event) -> None:
        """Take one event of the studio, on the loop; never blocks."""
        if self._closed or isinstance(event, Checkpointed) or (isinstance(event, Stopped) and event.back_soon):
            return
        post = self._post_of(event.job_id)
        if isinstance(event, Progress):
            self._note_progress(post, event)
        elif isinstance(event, Rendered | Failed | Stopped):
            post.ended.set()
        post.changed.set()

    def _note_progress(self, post: _Post, event: Progress) -> None:
        if event.preview is not None:
            self.dropped += post.unseen
            post.preview, post.preview_step, post.unseen = event.preview, event.step, True
        post.progress = event

    def _post_of(self, job_id: str) -> _Post:
        post = self._posts.get(job_id)
        if post is None:
            post = self._posts[job_id] = _Post(job_id)
            post.task = spawn(self._follow(post), f"message of job {job_id}")
        return post

    async def _follow(self, post: _Post) -> None:
        """Edit the message of one job until the job has ended, then tell how."""
        logs.about(post.job_id)
        try:
            await self._line.leave(post.job_id)
            patience = _FIRST_PATIENCE
            while not post.ended.is_set():
                await self._turn(post)
                await self._newest(post, patience)
                if not post.ended.is_set():
                    await self._show(post)
                patience = _PATIENCE
            await self._tell_end(post)
        finally:
            self._posts.pop(post.job_id, None)
            if post.job is not None and not self._active(post.job.channel_id):
                self._pace.forget(post.job.channel_id)

    async def _turn(self, post: _Post) -> None:
        """Wait until the job has a message and that may be edited again, or the job ends."""
        while not post.ended.is_set():
            post.job = job = await self._studio.ledger.job(post.job_id)  # its message or its prompt may have changed
            seconds = _LOOK_SECONDS if job is None or job.message_id is None else self._pace.wait(job.channel_id)
            if seconds <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(post.ended.wait(), seconds)

    async def _newest(self, post: _Post, patience: float) -> None:
        """Ask for a picture now that it can be shown, and wait for it, the end of the job, or the end of `patience`."""
        if post.lost:
            await post.ended.wait()
            return
        self._studio.want_preview(post.job_id)
        end = time.monotonic() + patience
        while not post.unseen and not post.ended.is_set() and (left := end - time.monotonic()) > 0:
            post.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(post.changed.wait(), left)

    async def _show(self, post: _Post) -> None:
        job, progress = post.job, post.progress
        assert job is not None
        post.unseen = False
        look = content.starting(job) if progress is None else content.painting(job, progress, time.time())
        try:
            async with asyncio.timeout(_EDIT_SECONDS):
                await self._edit(post, job, look)
        except Exception as error:
            if not await self._has_moved(job):  # else the next edit goes where it is shown now
                self._note_refusal(post, job, error)
        else:
            self._pace.took(job.channel_id, self._active(job.channel_id))

    async def _has_moved(self, job: Job) -> bool:
        """Tell whether another message shows the job by now."""
        now = await self._studio.ledger.job(job.id)
        return now is not None and now.message_id != job.message_id

    async def _edit(self, post: _Post, job: Job, look: content.Look) -> None:
        assert job.message_id is not None
        channel = self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        message = channel.get_partial_message(job.message_id)
        if post.preview is None:
            await message.edit(view=layout(look, job.id, None), allowed_mentions=NOBODY)
            return
        name = f"step-{post.preview_step}-{job.id}.jpg"
        file = discord.File(io.BytesIO(post.preview), filename=name, description=look.alt or None)
        await message.edit(view=layout(look, job.id, name), attachments=[file], allowed_mentions=NOBODY)

    def _note_refusal(self, post: _Post, job: Job, error: Exception) -> None:
        """Drop the preview; slow down when Discord is busy, and give the message up when it can never work."""
        self.dropped += 1
        if may_pass(error):
            self._pace.refused(job.channel_id, getattr(error, "retry_after", 0.0))
            log.info("Job %s: a preview was dropped (%s)", job.id, type(error).__name__)
        else:
            # Deleted, forbidden, too old to be edited: asking again would only count against us.
            post.lost = True
            if token_refused(error):
                self._client.dispatch("token_refused")
            log.warning("Job %s: its message cannot be edited any more (%s)", job.id, error)

    async def _tell_end(self, post: _Post) -> None:
        job = await self._with_message(post.job_id)
        if job is not None and job.finished and job.delivered_at is None:
            moved = post.job is not None and post.job.message_id != job.message_id
            await self._delivery.deliver(job, lost=post.lost and not moved)

    async def _with_message(self, job_id: str) -> Job | None:
        """Read the job once more; give a command that is just answering the time to note its message."""
        end = time.monotonic() + _ANSWER_SECONDS
        while True:
            job = await self._studio.ledger.job(job_id)
            if job is None or job.message_id is not None:
                return job
            if time.monotonic() > end or time.time() > job.created_at + _ANSWER_SECONDS:  # the clock may jump back
                return job
            await asyncio.sleep(_LOOK_SECONDS)

    async def _say_back_soon(self, post: _Post) -> None:
        job = post.job
        if job is None or job.message_id is None or post.lost:
            return
        try:
            await self._edit(post, job, content.interrupted(job))
        except Exception as error:
            log.info("Job %s: no farewell (%s)", job.id, type(error).__name__)

    async def _deliver_untold(self) -> None:
        for job in await self._studio.ledger.in_state(JobState.QUEUED, JobState.RUNNING, JobState.RENDERED):
            if job.message_id is None:
                await self._delivery.adopt(job)
        for job in await self._studio.ledger.untold():
            if job.id in self._posts:
                continue
            logs.about(job.id)
            try:
                await self._delivery.deliver_if_untold(job)
            except Exception:
                log.exception("Job %s could not be delivered", job.id)

    def _active(self, channel_id: int) -> int:
        return sum(1 for post in self._posts.values() if post.job is not None and post.job.channel_id == channel_id)
