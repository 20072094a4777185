"""What the ledger knows, read and never changed: jobs, how many there are of whom, and who was served when."""

# ruff: noqa: S608, only constants of this file are put into SQL; values are always parameters

import json
import logging
import math
import sqlite3
import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from bot.jobs import Job, JobState, Requester
from bot.queue.database import Database
from bot.queue.limits import DAY_SECONDS, Usage
from bot.queue.scheduler import Waiting
from engine.spec import BadSpecError, PaintingSpec

log = logging.getLogger(__name__)

UNFINISHED = "('queued', 'running')"
_FIELDS = tuple(field.name for field in fields(Job))
_DIRECT = "guild_id IS NULL AND user_id = ?"


class JobQueries:
    """Look jobs up, list and count them. `clock` gives unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self._clock = clock

    async def job(self, job_id: str) -> Job | None:
        """Look a job up by its id."""
        return await self._one("SELECT * FROM jobs WHERE id = ?", job_id)

    async def by_interaction(self, interaction_id: int) -> Job | None:
        """Look up the job that an interaction asked for."""
        return await self._one("SELECT * FROM jobs WHERE interaction_id = ?", interaction_id)

    async def by_message(self, message_id: int) -> Job | None:
        """Look up the job that a message shows."""
        return await self._one(
            "SELECT jobs.* FROM jobs JOIN messages ON job_id = id WHERE messages.message_id = ?", message_id
        )

    async def is_shown_in(self, job_id: str, channel_id: int) -> bool:
        """Return whether a message in a channel shows the job."""
        sql = "SELECT 1 FROM messages WHERE job_id = ? AND channel_id = ? LIMIT 1"
        return bool(await self.database.read(sql, (job_id, channel_id)))

    async def film_of(self, parent_id: str) -> Job | None:
        """Return the latest finished time-lapse of a job."""
        return await self._one(
            "SELECT * FROM jobs WHERE parent_id = ? AND kind = 'timelapse' AND state IN ('rendered', 'delivered')"
            " AND deleted_at IS NULL ORDER BY seq DESC LIMIT 1",
            parent_id,
        )

    async def owners(self) -> dict[str, int]:
        """Return who asked for each job, by its id."""
        return {row["id"]: row["user_id"] for row in await self.database.read("SELECT id, user_id FROM jobs")}

    async def queued(self, guild_id: int | None = None) -> list[Job]:
        """List the queued jobs, of one guild or of all, oldest first."""
        return await self._many(
            "SELECT * FROM jobs WHERE state = 'queued' AND (?1 IS NULL OR guild_id = ?1) ORDER BY seq", guild_id
        )

    async def in_state(self, *states: JobState) -> list[Job]:
        """List the jobs in any of `states`, oldest first."""
        marks = ", ".join("?" * len(states))
        return await self._many(f"SELECT * FROM jobs WHERE state IN ({marks}) ORDER BY seq", *states)

    async def without_message(self) -> list[Job]:
        """List the jobs under way, or just ended, that no message shows, oldest first."""
        return await self._many(
            "SELECT * FROM jobs WHERE state IN ('queued', 'running', 'rendered') AND message_id IS NULL ORDER BY seq"
        )

    async def unannounced(self) -> list[Job]:
        """List the ended jobs whose end no message shows yet, oldest first."""
        return await self._many(  # by itself SQLite would look through all that ever failed or were cancelled
            "SELECT * FROM jobs INDEXED BY jobs_unannounced"
            " WHERE state IN ('rendered', 'cancelled', 'failed') AND delivered_at IS NULL ORDER BY seq"
        )

    async def history(self, user_id: int, limit: int = 10, offset: int = 0) -> list[Job]:
        """List one person's jobs, newest first."""
        return await self._many(
            "SELECT * FROM jobs WHERE user_id = ? AND deleted_at IS NULL ORDER BY seq DESC LIMIT ? OFFSET ?",
            user_id,
            limit,
            offset,
        )

    async def counts(self) -> dict[JobState, int]:
        """Count the jobs in each state."""
        rows = await self.database.read("SELECT state, count(*) FROM jobs GROUP BY state")
        return dict.fromkeys(JobState, 0) | {JobState(state): count for state, count in rows}

    async def unfinished(self, *, user_id: int | None = None, guild_id: int | None = None) -> int:
        """Count the queued and running jobs: all, or one user's, or one guild's."""
        rows = await self.database.read(
            f"SELECT count(*) FROM jobs WHERE state IN {UNFINISHED}"
            " AND (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR guild_id = ?2)",
            (user_id, guild_id),
        )
        return rows[0][0]

    async def is_current(self, job_id: str, attempt: int) -> bool:
        """Return whether a job is running, and in this of its starts."""
        sql = "SELECT 1 FROM jobs WHERE id = ? AND state = 'running' AND attempts = ?"
        return bool(await self.database.read(sql, (job_id, attempt)))

    async def usage(self, requester: Requester) -> Usage:
        """Count what the requester's limits are about."""
        unfinished, now = f"state IN {UNFINISHED}", self._clock()
        rows = await self.database.read(
            f"SELECT count(*) FROM jobs WHERE {unfinished} AND user_id = ?", (requester.user_id,)
        )
        of_user = rows[0][0]
        where, value = ("guild_id = ?", requester.guild_id) if requester.guild_id else (_DIRECT, requester.user_id)
        rows = await self.database.read(f"SELECT count(*) FROM jobs WHERE {unfinished} AND {where}", (value,))
        of_guild = rows[0][0]
        rows = await self.database.read(
            f"SELECT count(*), count(DISTINCT coalesce(guild_id, -user_id)) FROM jobs WHERE {unfinished}"
            " AND (guild_id IS NULL OR guild_id NOT IN"
            " (SELECT guild_id FROM guild_settings WHERE json_extract(settings, '$.paused')))"
        )
        in_all, groups = rows[0]
        rows = await self.database.read(
            "SELECT count(*), min(at), max(at) FROM asked WHERE user_id = ? AND at > ?",
            (requester.user_id, now - DAY_SECONDS),
        )
        today, first, last = rows[0]
        return Usage(
            of_user=of_user,
            of_guild=of_guild,
            in_all=in_all,
            groups=groups + (of_guild == 0),
            today=today,
            since_last=math.inf if last is None else max(0.0, now - last),
            day_resets_in=0.0 if first is None else max(0.0, first + DAY_SECONDS - now),
        )

    async def waiting(self) -> list[Waiting]:
        """List what the scheduler needs to know of the queued jobs, oldest first."""
        rows = await self.database.read(
            "SELECT id, user_id, guild_id, kind, steps, cost_key FROM jobs WHERE state = 'queued' ORDER BY seq"
        )
        return [Waiting(*row) for row in rows]

    async def served(self) -> dict[int, int]:
        """Return each user's latest turn; a higher number is later."""
        return {row["user_id"]: row["turn"] for row in await self.database.read("SELECT * FROM served")}

    async def step_times(self) -> dict[str, float]:
        """Return the seconds per step measured so far, by `cost_key`."""
        return {row["cost_key"]: row["seconds"] for row in await self.database.read("SELECT * FROM step_times")}

    async def _one(self, sql: str, *parameters: Any) -> Job | None:
        return next(iter(await self._many(sql, *parameters)), None)

    async def _many(self, sql: str, *parameters: Any) -> list[Job]:
        """Return the jobs that this version can read."""
        jobs = []
        for row in await self.database.read(sql, parameters):
            try:
                jobs.append(job_of(row))
            except BadSpecError as error:
                log.warning("Job %s was written by another version and is left out: %s", row["id"], error)
        return jobs


def job_of(row: sqlite3.Row) -> Job:
    """Read a row of the table of jobs; raise `BadSpecError` when another version wrote it."""
    values: dict[str, Any] = {field: row[field] for field in _FIELDS}
    values["spec"] = PaintingSpec.from_json(row["spec"])
    values["state"] = JobState(row["state"])
    values["notify"] = bool(row["notify"])
    values["notices"] = tuple(json.loads(row["notices"]))
    return Job(**values)
