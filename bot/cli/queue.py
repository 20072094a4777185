"""What waits, seen and cleared by the owner on the machine itself."""

import asyncio
from collections import Counter
from pathlib import Path

import filelock

from bot.jobs import JobState
from bot.queue.files import Files, StorageError
from bot.queue.ledger import Ledger


def waiting(folder: Path) -> list[tuple[int | None, int]]:
    """Return for each server (None: direct messages) how many jobs wait there, most first; the bot may run."""
    return asyncio.run(_waiting(_existing(folder)))


def clear(folder: Path, guild_id: int) -> int:
    """Call off all that waits in a server, while no bot works in the folder; return how many jobs that were.

    Raises `StorageError` where one does.
    """
    files = _existing(folder)
    try:
        with filelock.FileLock(files.lock, timeout=0):
            return asyncio.run(_clear(files, guild_id))
    except filelock.Timeout:
        raise StorageError(f"A bot is at work in {files.folder}; use /owner clear in Discord, or stop it.") from None


def _existing(folder: Path) -> Files:
    files = Files(folder)
    if not files.ledger.is_file():
        raise StorageError(f"There is no ledger in {files.folder}; storage.folder says where the bot keeps its data.")
    return files


async def _waiting(files: Files) -> list[tuple[int | None, int]]:
    ledger = await Ledger.open(files.ledger)
    try:
        return Counter(job.guild_id for job in await ledger.queued()).most_common()
    finally:
        await ledger.close()


async def _clear(files: Files, guild_id: int) -> int:
    ledger = await Ledger.open(files.ledger)
    try:
        jobs = await ledger.queued(guild_id)
        return sum([await ledger.transition(job.id, JobState.CANCELLED) for job in jobs])
    finally:
        await ledger.close()
