"""Retention: deleting old files and old rows, and ending what waits too long."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from bot.jobs import JobState
from bot.queue.files import Files, Needed
from bot.queue.ledger import Ledger
from bot.queue.preferences import Preferences
from bot.settings import Settings, StorageSettings

log = logging.getLogger(__name__)

_PRUNE_SECONDS = 600.0


class Retention:
    """Delete what is old, by its own clock: whether or not anything is painted."""

    def __init__(
        self,
        settings: Settings,
        files: Files,
        ledger: Ledger,
        preferences: Preferences,
        cancel: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._settings = settings
        self._files = files
        self._ledger = ledger
        self._preferences = preferences
        self._cancel = cancel

    async def run(self) -> None:
        """Prune every ten minutes, until cancelled."""
        while True:
            try:
                await prune(self._ledger, self._files, self._settings.storage)
                await self.end_paused()
            except Exception:
                log.exception("What is old could not be deleted; in a while it is tried again")
            await asyncio.sleep(_PRUNE_SECONDS)

    async def end_paused(self) -> None:
        """Cancel what has waited too long in a guild that is paused: it would wait for ever."""
        paused = await self._preferences.paused_guilds()
        before = time.time() - self._settings.limits.paused_hours * 3600
        for job in await self._ledger.queued():
            if job.guild_id in paused and job.created_at < before:
                await self._cancel(job.id)


async def prune(ledger: Ledger, files: Files, storage: StorageSettings) -> None:
    """Delete old files, then the rows of old jobs without a picture; keep what unfinished jobs need."""
    needed = Needed.by(await ledger.in_state(JobState.QUEUED, JobState.RUNNING, JobState.RENDERED))
    owners = await ledger.owners()
    await asyncio.to_thread(files.prune, needed, storage.keep_days, storage.keep_gigabytes * 1e9, owners=owners)
    await ledger.personal_data.keep_uploads(await asyncio.to_thread(files.input_paths))
    kept = await asyncio.to_thread(files.with_pictures) | needed.job_ids
    if count := await ledger.delete_before(time.time() - storage.ledger_days * 86400, kept):
        log.info("The ledger deleted %d jobs that ended more than %g days ago", count, storage.ledger_days)
