"""What the ledger keeps of people: who sent which file, what they asked for, and deleting it."""

# ruff: noqa: S608, only constants of this file are put into SQL; values are always parameters

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bot.jobs import without_content
from bot.queue.database import Database
from engine.spec import BadSpecError, PaintingSpec

_LIVE = "deleted_at IS NULL AND instr(spec, ?)"
"""Specs are JSON and names of inputs are hashes, so finding one in a spec means that the spec refers to it."""


@dataclass(frozen=True, slots=True)
class Held:
    """Count what is kept of a person."""

    jobs: int
    uploads: int
    upload_bytes: int
    requests_today: int
    has_settings: bool


@dataclass(frozen=True, slots=True)
class Erased:
    """What is to be deleted elsewhere, now that the ledger does not speak of it any more."""

    messages: tuple[tuple[int, int], ...]
    """Channel and message of every copy that was posted."""
    inputs: tuple[str, ...]
    """Files that nothing else refers to, relative to the data folder."""


class PersonalData:
    """Speak SQL about people."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def held(self, user_id: int) -> Held:
        """Count what is kept of a person."""
        counts = [
            "SELECT count(*) FROM jobs WHERE user_id = ?1 AND deleted_at IS NULL",
            "SELECT count(*) FROM uploads WHERE user_id = ?1",
            "SELECT coalesce(sum(bytes), 0) FROM uploads WHERE user_id = ?1",
            "SELECT count(*) FROM asked WHERE user_id = ?1",
            "SELECT count(*) FROM user_settings WHERE user_id = ?1",
        ]
        found = [(await self._database.read(sql, (user_id,)))[0][0] for sql in counts]
        return Held(*found[:4], has_settings=bool(found[4]))

    async def note_upload(self, path: str, user_id: int, size: int) -> None:
        """Note that a person sent the file at `path`, relative to the data folder, of `size` bytes."""
        await self._database.write("INSERT OR IGNORE INTO uploads VALUES (?, ?, ?)", (path, user_id, size))

    async def uploaded(self, user_id: int) -> tuple[int, int]:
        """Return the bytes that are kept of a person's uploads, and of everybody's."""
        rows = await self._database.read(
            "SELECT (SELECT coalesce(sum(bytes), 0) FROM uploads WHERE user_id = ?),"
            " (SELECT coalesce(sum(bytes), 0) FROM (SELECT max(bytes) AS bytes FROM uploads GROUP BY path))",
            (user_id,),
        )
        return rows[0][0], rows[0][1]

    async def release(self, paths: Iterable[str], user_id: int) -> tuple[str, ...]:
        """Note that a person's request came to nothing; return the files that nothing else refers to."""
        async with self._database.transaction():
            return await self._release(paths, user_id)

    async def keep_uploads(self, paths: Iterable[str]) -> None:
        """Forget who sent what is not among `paths`: those files are there no more."""
        there = set(paths)
        known = [row[0] for row in await self._database.read("SELECT DISTINCT path FROM uploads")]
        for path in known:
            if path not in there:
                await self._database.write("DELETE FROM uploads WHERE path = ?", (path,))

    async def jobs_of(self, user_id: int) -> list[str]:
        """Name the jobs of a person that were not deleted."""
        sql = "SELECT id FROM jobs WHERE user_id = ? AND deleted_at IS NULL ORDER BY seq"
        return [row[0] for row in await self._database.read(sql, (user_id,))]

    async def erase(self, job_id: str) -> Erased:
        """Take all that a person wrote or sent out of an ended job's row; the row itself still counts."""
        async with self._database.transaction():
            rows = await self._database.read("SELECT spec, user_id FROM jobs WHERE id = ?", (job_id,))
            if not rows:
                return Erased((), ())
            sent = "SELECT channel_id, message_id FROM messages WHERE job_id = ?"
            messages = tuple((row[0], row[1]) for row in await self._database.read(sent, (job_id,)))
            inputs = await self._inputs(rows[0])
            await self._database.read(
                "UPDATE jobs SET spec = ?, prompt = '', error = NULL, notices = '[]', message_id = NULL,"
                " parent_id = NULL, deleted_at = ? WHERE id = ?",
                (_scrubbed(rows[0]["spec"]), self._clock(), job_id),
            )
            await self._database.read("DELETE FROM messages WHERE job_id = ?", (job_id,))
            return Erased(messages, await self._release(inputs, rows[0]["user_id"]))

    async def erase_rest(self, user_id: int) -> tuple[str, ...]:
        """Forget a person's settings and uploads; return the files that nothing else refers to.

        When they asked stays for a day, or a daily limit would end with this.
        """
        async with self._database.transaction():
            await self._database.read("DELETE FROM user_settings WHERE user_id = ?", (user_id,))
            await self._database.read("DELETE FROM served WHERE user_id = ?", (user_id,))
            rows = await self._database.read("SELECT path FROM uploads WHERE user_id = ?", (user_id,))
            return await self._release([row["path"] for row in rows], user_id)

    async def _inputs(self, row: sqlite3.Row) -> list[str]:
        sql = "SELECT path FROM uploads WHERE user_id = ? AND instr(?, path)"
        return [found["path"] for found in await self._database.read(sql, (row["user_id"], row["spec"]))]

    async def _release(self, paths: Iterable[str], user_id: int) -> tuple[str, ...]:
        unneeded = []
        for path in paths:
            mine = f"SELECT 1 FROM jobs WHERE {_LIVE} AND user_id = ? LIMIT 1"
            if await self._database.read(mine, (path, user_id)):
                continue
            await self._database.read("DELETE FROM uploads WHERE path = ? AND user_id = ?", (path, user_id))
            others = await self._database.read("SELECT 1 FROM uploads WHERE path = ?", (path,))
            if not others and not await self._database.read(f"SELECT 1 FROM jobs WHERE {_LIVE} LIMIT 1", (path,)):
                unneeded.append(path)
        return tuple(unneeded)


def _scrubbed(spec: str) -> str:
    try:
        return without_content(PaintingSpec.from_json(spec)).to_json()
    except BadSpecError:  # of another version: nothing of it is shown any more
        return "{}"
