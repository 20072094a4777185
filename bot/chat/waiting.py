"""The messages of waiting jobs: place in line and expected start, updated at a low rate."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import discord

from bot.background import spawn
from bot.chat import content
from bot.chat.components import NOBODY, layout
from bot.chat.content import MessageContent
from bot.chat.edit_rate import EditRate
from bot.chat.retry import may_pass
from bot.jobs import Job, JobState
from bot.queue.scheduler import Estimate
from bot.queue.service import PaintingQueue
from bot.worker.events import Event, Failed, Rendered, Started, Stopped

log = logging.getLogger(__name__)

_SHARE = 5
"""Of so many edits of a channel one may go to those who wait there; the others show pictures."""
_NEAREST = 25
"""How many of those in line are kept informed: the places of the others change too often to be worth an edit."""
_DRIFT_SECONDS = 30.0
"""How often the line is looked at when no job begins or ends: expectations drift, and painting may be paused."""
_SLACK_SECONDS = 30.0
"""A start that is expected so much earlier or later is no news."""
_EDIT_SECONDS = 10.0
_HELD = -1


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a waiting job's message shows."""

    position: int
    starts_at: float | None

    def body(self, job: Job) -> MessageContent:
        """Return the content that shows it."""
        if self.position == _HELD:
            return content.held(job)
        if self.position == 0:
            return content.starting(job)
        return content.queued(job, self.position, self.starts_at)

    def error(self, true: "_Shown", now: float) -> float:
        """Return how outdated this is: 0 is exact, 1 is as wrong as "second" for the job that is next."""
        if _HELD in (self.position, true.position):
            return 0.0 if self.position == true.position else math.inf
        of_place = abs(self.position - true.position) / max(true.position, 1)
        if self.starts_at is None or true.starts_at is None:
            return max(of_place, float(self.starts_at is not true.starts_at))
        late = abs(self.starts_at - true.starts_at)
        return max(of_place, 0.0 if late < _SLACK_SECONDS else late / max(true.starts_at - now, _SLACK_SECONDS))


class WaitingMessages:
    """Show waiting jobs their place and expected start, and update both when they change."""

    def __init__(
        self, client: discord.Client, queue: PaintingQueue, edit_rate: EditRate, preview_seconds: float
    ) -> None:
        self._client = client
        self._queue = queue
        self._edit_rate = edit_rate
        self._edit_interval = _SHARE * preview_seconds
        self._shown: dict[str, _Shown] = {}
        self._uneditable: set[int] = set()
        self._posting: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self._editing: str | None = None
        self._edit_over = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start updating the messages."""
        self._queue.subscribe(self._on_event)
        self._task = spawn(self._run(), "keep the line informed")

    def close(self) -> None:
        """Stop updating the messages."""
        if self._task is not None:
            self._task.cancel()

    @contextlib.contextmanager
    def posting(self, job_id: str) -> Iterator[None]:
        """Mark a job whose first message is on its way to Discord."""
        self._posting[job_id] = posted = asyncio.Event()
        try:
            yield
        finally:
            del self._posting[job_id]
            posted.set()

    def is_posting(self, job_id: str) -> bool:
        """Return whether a job's first message is on its way."""
        return job_id in self._posting

    async def posted(self, job_id: str) -> None:
        """Wait until a job's first message has come, or was given up, if it is on its way: no second one beside it."""
        if job_id in self._posting:
            await self._posting[job_id].wait()

    async def first_content(self, job: Job) -> MessageContent:
        """Return the content of a new job's message."""
        shown = self._shown[job.id] = await self._current(job, await self._queue.estimate(job.id))
        return shown.body(job)

    async def leave(self, job_id: str) -> None:
        """Stop updating a job that has started or ended; an edit under way is over when this returns."""
        self._shown.pop(job_id, None)
        if self._editing == job_id:
            async with self._edit_over:
                pass

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Started | Rendered | Failed | Stopped):
            self._changed.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _DRIFT_SECONDS)
            await asyncio.sleep(self._edit_interval)  # a painting that has just begun shows its first pictures first
            self._changed.clear()
            try:
                if await self._update():
                    self._changed.set()  # there may be more
            except Exception:
                log.exception("The line could not be informed; it will be at its next change")

    async def _update(self) -> bool:
        """Edit the most outdated message in each channel; return whether there was any."""
        wrong: dict[int, tuple[float, Job, _Shown]] = {}
        now = time.time()
        for place in [place for place in await self._queue.places() if place.estimate.position > 0][:_NEAREST]:
            job = await self._queue.ledger.job(place.job_id)
            if (
                job is None
                or job.state is not JobState.QUEUED
                or job.message_id in self._uneditable
                or not job.message_id
            ):
                continue
            current = await self._current(job, place.estimate)
            error = self._shown[job.id].error(current, now) if job.id in self._shown else math.inf
            if error > wrong.get(job.channel_id, (0.0,))[0]:
                wrong[job.channel_id] = error, job, current
        for _, job, current in wrong.values():
            if self._edit_rate.may_edit_out_of_turn(job.channel_id):
                await self._edit(job, current)
        return bool(wrong)

    async def _current(self, job: Job, estimate: Estimate | None) -> _Shown:
        if (await self._queue.preferences.guild_in_effect(job.guild_id)).paused:
            return _Shown(_HELD, None)
        if estimate is None or estimate.seconds == 0:  # it has begun, or will in a moment
            return _Shown(0, None)
        return _Shown(estimate.position, None if estimate.seconds is None else time.time() + estimate.seconds)

    async def _edit(self, job: Job, current: _Shown) -> None:
        async with self._edit_over:
            self._editing = job.id
            try:
                await self._edit_if_waiting(job.id, current)
            finally:
                self._editing = None

    async def _edit_if_waiting(self, job_id: str, current: _Shown) -> None:
        job = await self._queue.ledger.job(job_id)
        if job is None or job.state is not JobState.QUEUED or job.message_id is None:
            return
        channel = self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        view = layout(current.body(job), job.id)
        try:
            async with asyncio.timeout(_EDIT_SECONDS):
                await channel.get_partial_message(job.message_id).edit(view=view, allowed_mentions=NOBODY)
        except Exception as error:
            if may_pass(error):
                self._edit_rate.refused(job.channel_id, getattr(error, "retry_after", 0.0))
            else:
                self._uneditable.add(job.message_id)
            log.info("Job %s: its place in line could not be shown (%s)", job.id, type(error).__name__)
        else:
            self._shown[job.id] = current
            self._edit_rate.edited_out_of_turn(job.channel_id)
