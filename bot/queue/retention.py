"""Retention: deleting old files and old rows."""

import asyncio
import logging
import time

from bot.jobs import JobState
from bot.queue.files import Files, Needed
from bot.queue.ledger import Ledger
from bot.settings import StorageSettings

log = logging.getLogger(__name__)


async def prune(ledger: Ledger, files: Files, storage: StorageSettings) -> None:
    """Delete old files, then the rows of old jobs without a picture; keep what unfinished jobs need."""
    needed = Needed.by(await ledger.in_state(JobState.QUEUED, JobState.RUNNING, JobState.RENDERED))
    owners = await ledger.owners()
    await asyncio.to_thread(files.prune, needed, storage.keep_days, storage.keep_gigabytes * 1e9, owners=owners)
    await ledger.personal_data.keep_uploads(await asyncio.to_thread(files.input_paths))
    kept = await asyncio.to_thread(files.with_pictures) | needed.job_ids
    if count := await ledger.forget_before(time.time() - storage.ledger_days * 86400, kept):
        log.info("The ledger let go of %d jobs that ended more than %g days ago", count, storage.ledger_days)
