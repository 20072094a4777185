"""Those in line: what their messages say of place and expected start, kept true at a gentle pace."""

import asyncio
import contextlib
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import discord

from bot.background import spawn
from bot.chat import content
from bot.chat.components import NOBODY, layout
from bot.chat.edit_rate import Pace
from bot.chat.retry import may_pass
from bot.jobs import Job, JobState
from bot.worker.events import Event, Failed, Rendered, Started, Stopped

if TYPE_CHECKING:
    from bot.queue.scheduler import Outlook
    from bot.queue.service import Studio

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
class _Told:
    """Hold what a message says."""

    position: int
    starts_at: float | None

    def look(self, job: Job) -> content.Look:
        """Say it."""
        if self.position == _HELD:
            return content.held(job)
        if self.position == 0:
            return content.starting(job)
        return content.queued(job, self.position, self.starts_at)

    def error(self, true: "_Told", now: float) -> float:
        """Say how wrong this is by now: 0 is right, 1 is as wrong as "second" for who is next."""
        if _HELD in (self.position, true.position):
            return 0.0 if self.position == true.position else math.inf
        of_place = abs(self.position - true.position) / max(true.position, 1)
        if self.starts_at is None or true.starts_at is None:
            return max(of_place, float(self.starts_at is not true.starts_at))
        late = abs(self.starts_at - true.starts_at)
        return max(of_place, 0.0 if late < _SLACK_SECONDS else late / max(true.starts_at - now, _SLACK_SECONDS))


class Line:
    """Tell those who wait when their turn comes, and tell them again when that changes."""

    def __init__(self, client: discord.Client, studio: "Studio", pace: Pace, preview_seconds: float) -> None:
        self._client = client
        self._studio = studio
        self._pace = pace
        self._gentle = _SHARE * preview_seconds
        self._told: dict[str, _Told] = {}
        self._lost: set[int] = set()
        self._changed = asyncio.Event()
        self._editing: str | None = None
        self._edit_over = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the messages true."""
        self._studio.subscribe(self._on_event)
        self._task = spawn(self._attend(), "keep the line informed")

    def close(self) -> None:
        """Leave the messages as they are."""
        if self._task is not None:
            self._task.cancel()

    async def first_look(self, job: Job) -> content.Look:
        """Return what the message of a job shows that has just been taken."""
        told = self._told[job.id] = await self._truth(job, await self._studio.outlook(job.id))
        return told.look(job)

    async def leave(self, job_id: str) -> None:
        """Let a job go whose turn has come, or that ended: what is said here of it has been said when this returns."""
        self._told.pop(job_id, None)
        if self._editing == job_id:
            async with self._edit_over:
                pass

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Started | Rendered | Failed | Stopped):
            self._changed.set()

    async def _attend(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _DRIFT_SECONDS)
            await asyncio.sleep(self._gentle)  # a painting that has just begun shows its first pictures first
            self._changed.clear()
            try:
                if await self._set_right():
                    self._changed.set()  # there may be more
            except Exception:
                log.exception("The line could not be informed; it will be at its next change")

    async def _set_right(self) -> bool:
        """Edit the message that is most wrong in each channel; return whether any was."""
        wrong: dict[int, tuple[float, Job, _Told]] = {}
        now = time.time()
        for place in [place for place in await self._studio.queue() if place.outlook.position > 0][:_NEAREST]:
            job = await self._studio.ledger.job(place.job_id)
            if job is None or job.state is not JobState.QUEUED or job.message_id in self._lost or not job.message_id:
                continue
            truth = await self._truth(job, place.outlook)
            error = self._told[job.id].error(truth, now) if job.id in self._told else math.inf
            if error > wrong.get(job.channel_id, (0.0,))[0]:
                wrong[job.channel_id] = error, job, truth
        for _, job, truth in wrong.values():
            if self._pace.calm(job.channel_id):
                await self._edit(job, truth)
        return bool(wrong)

    async def _truth(self, job: Job, outlook: "Outlook | None") -> _Told:
        if (await self._studio.guild_settings(job.guild_id)).paused:
            return _Told(_HELD, None)
        if outlook is None or outlook.seconds == 0:  # it has begun, or will in a moment
            return _Told(0, None)
        return _Told(outlook.position, None if outlook.seconds is None else time.time() + outlook.seconds)

    async def _edit(self, job: Job, truth: _Told) -> None:
        async with self._edit_over:
            self._editing = job.id
            try:
                await self._edit_if_waiting(job.id, truth)
            finally:
                self._editing = None

    async def _edit_if_waiting(self, job_id: str, truth: _Told) -> None:
        job = await self._studio.ledger.job(job_id)
        if job is None or job.state is not JobState.QUEUED or job.message_id is None:
            return
        channel = self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        view = layout(truth.look(job), job.id, None)
        try:
            async with asyncio.timeout(_EDIT_SECONDS):
                await channel.get_partial_message(job.message_id).edit(view=view, allowed_mentions=NOBODY)
        except Exception as error:
            if may_pass(error):
                self._pace.refused(job.channel_id, getattr(error, "retry_after", 0.0))
            else:
                self._lost.add(job.message_id)
            log.info("Job %s: its place in line could not be told (%s)", job.id, type(error).__name__)
        else:
            self._told[job.id] = truth
            self._pace.lent(job.channel_id)
