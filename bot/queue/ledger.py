"""The ledger: every job and its state, durable. Every change of state goes through `Ledger.transition`."""

# ruff: noqa: S608, only constants of this file are put into SQL; values are always parameters

import json
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from bot.jobs import COMES_FROM, Job, JobState, Request, Requester, cost_key, new_job_id
from bot.queue.admission import DAY_SECONDS, Limits, Usage, refusal_by_limits
from bot.queue.database import Database
from bot.queue.personal_data import PersonalData
from bot.queue.scheduler import Waiting
from bot.refusals import Refusal
from engine.prompts import Prompt
from engine.spec import BadSpecError, PaintingSpec

log = logging.getLogger(__name__)

_FIELDS = tuple(field.name for field in fields(Job))
_UNREADABLE = "This was asked of another version of the bot, which this one cannot read; please ask again."
_UNFINISHED = "('queued', 'running')"
_DIRECT = "guild_id IS NULL AND user_id = ?"
_STEP_TIMES = 256
"""So many are remembered, the latest: there is one for every size that anybody tries."""
_STAMPS = {
    JobState.RUNNING: "started_at = ?, attempts = attempts + 1",
    JobState.RENDERED: "finished_at = ?",
    JobState.DELIVERED: "delivered_at = ?",
    JobState.CANCELLED: "finished_at = ?",
    JobState.FAILED: "finished_at = ?",
}


class Ledger:
    """Read and write jobs, their messages and step times."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self._clock = clock
        self.personal_data = PersonalData(database, clock)

    @classmethod
    async def open(cls, path: Path) -> "Ledger":
        """Open the ledger at `path`, made on first use; raise `bot.queue.database.LedgerError`."""
        return cls(await Database.open(path))

    async def close(self) -> None:
        """Close the file."""
        await self.database.close()

    # Jobs

    async def add(self, request: Request, limits: Limits | None = None) -> tuple[Job, bool]:
        """Queue a request; return its job and whether it is new. The same interaction twice is the same job.

        Raises `Refusal` for a new job that would go over `limits`: counted here, so that many at once cannot.
        """
        async with self.database.transaction():
            rows = await self.database.read("SELECT * FROM jobs WHERE interaction_id = ?", (request.interaction_id,))
            if not rows and request.once:
                rows = await self.database.read(
                    f"SELECT * FROM jobs WHERE user_id = ? AND parent_id IS ? AND kind = ? AND state IN {_UNFINISHED}",
                    (request.user_id, request.parent_id, request.kind),
                )
            if rows:
                return _job(rows[0]), False
            if limits is not None:
                usage = await self.usage(request.requester)
                if (sentence := refusal_by_limits(limits, usage, in_guild=request.guild_id is not None)) is not None:
                    raise Refusal(sentence)
            now = self._clock()
            await self.database.read("INSERT INTO asked VALUES (?, ?)", (request.user_id, now))
            await self.database.read("DELETE FROM asked WHERE at < ?", (now - DAY_SECONDS,))
            rows = await self.database.read(
                "INSERT INTO jobs (id, interaction_id, kind, spec, steps, cost_key, prompt, user_id, guild_id,"
                " channel_id, parent_id, notify, notices, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                (
                    new_job_id(),
                    request.interaction_id,
                    request.kind,
                    request.spec.to_json(),
                    request.spec.steps,
                    cost_key(request.spec),
                    request.prompt,
                    request.user_id,
                    request.guild_id,
                    request.channel_id,
                    request.parent_id,
                    request.notify,
                    json.dumps(request.notices),
                    now,
                ),
            )
            return _job(rows[0]), True

    async def usage(self, requester: Requester) -> Usage:
        """Count what the requester's limits are about."""
        unfinished, now = f"state IN {_UNFINISHED}", self._clock()
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

    async def job(self, job_id: str) -> Job | None:
        """Look a job up by its id."""
        return await self._one("SELECT * FROM jobs WHERE id = ?", job_id)

    async def by_message(self, message_id: int) -> Job | None:
        """Look up the job that a message shows."""
        return await self._one(
            "SELECT jobs.* FROM jobs JOIN messages ON job_id = id WHERE messages.message_id = ?", message_id
        )

    async def is_shown_in(self, job_id: str, channel_id: int) -> bool:
        """Tell whether a message in a channel shows the job."""
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
        """Tell who asked for each job."""
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

    async def unannounced(self) -> list[Job]:
        """List the ended jobs whose end no message shows yet, oldest first."""
        return await self._many(
            "SELECT * FROM jobs WHERE state IN ('rendered', 'cancelled', 'failed') AND delivered_at IS NULL"
            " ORDER BY seq"
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
            f"SELECT count(*) FROM jobs WHERE state IN {_UNFINISHED}"
            " AND (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR guild_id = ?2)",
            (user_id, guild_id),
        )
        return rows[0][0]

    async def transition(
        self,
        job_id: str,
        state: JobState,
        *,
        error: str | None = None,
        step: int | None = None,
        seconds: float | None = None,
        notices: Iterable[str] | None = None,
        attempt: int | None = None,
    ) -> bool:
        """Move a job to `state` if `COMES_FROM` allows it; return whether that happened.

        With `attempt`, only if that is the job's latest start.
        """
        async with self.database.transaction():
            return await self._transition(job_id, state, error, step, seconds, notices, attempt)

    async def claim(self, job_id: str) -> bool:
        """Take a queued job for painting and count its user as served; return False when somebody else was faster."""
        async with self.database.transaction():
            if not await self._transition(job_id, JobState.RUNNING):
                return False
            await self.database.read(
                "INSERT INTO served (user_id, turn)"
                " SELECT user_id, (SELECT coalesce(max(turn), 0) + 1 FROM served) FROM jobs WHERE id = ?"
                " ON CONFLICT (user_id) DO UPDATE SET turn = excluded.turn",
                (job_id,),
            )
            return True

    async def _transition(
        self,
        job_id: str,
        state: JobState,
        error: str | None = None,
        step: int | None = None,
        seconds: float | None = None,
        notices: Iterable[str] | None = None,
        attempt: int | None = None,
    ) -> bool:
        sources = COMES_FROM[state]
        rows = await self.database.read(
            f"UPDATE jobs SET state = ?, {_STAMPS[state]}, error = coalesce(?, error), step = coalesce(?, step),"
            " seconds = coalesce(?, seconds), notices = coalesce(?, notices)"
            " WHERE id = ? AND attempts = coalesce(?, attempts)"
            f" AND state IN ({', '.join('?' * len(sources))}) RETURNING id",
            (
                state,
                self._clock(),
                error,
                step,
                seconds,
                None if notices is None else json.dumps(list(notices)),
                job_id,
                attempt,
                *sources,
            ),
        )
        return bool(rows)

    async def fail_unreadable(self) -> None:
        """Fail the unfinished jobs whose spec this version does not read: nobody could ever paint them."""
        for row in await self.database.read(f"SELECT id, spec FROM jobs WHERE state IN {_UNFINISHED}"):
            try:
                PaintingSpec.from_json(row["spec"])
            except BadSpecError:
                await self.transition(row["id"], JobState.FAILED, error=_UNREADABLE)

    # What is noted beside the state

    async def attach_message(self, job_id: str, channel_id: int, message_id: int, *, current: bool = True) -> None:
        """Note that a message shows the job; `current`: it is the one that is edited from now on."""
        async with self.database.transaction():
            await self.database.read(
                "INSERT INTO messages (message_id, channel_id, job_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (message_id, channel_id, job_id),
            )
            if current:
                await self.database.read(
                    "UPDATE jobs SET channel_id = ?, message_id = ? WHERE id = ?", (channel_id, message_id, job_id)
                )

    async def mark_announced(self, job_id: str) -> None:
        """Note that the channel shows how a failed or cancelled job ended."""
        await self.database.write(
            "UPDATE jobs SET delivered_at = ? WHERE id = ? AND state IN ('failed', 'cancelled')",
            (self._clock(), job_id),
        )

    async def note_start(self, job_id: str) -> None:
        """Count one more start of a running job, which goes on after its painter ended."""
        await self.database.write(
            "UPDATE jobs SET attempts = attempts + 1 WHERE id = ? AND state = 'running'", (job_id,)
        )

    async def is_current(self, job_id: str, attempt: int) -> bool:
        """Tell whether a job is running, and in this of its starts."""
        sql = "SELECT 1 FROM jobs WHERE id = ? AND state = 'running' AND attempts = ?"
        return bool(await self.database.read(sql, (job_id, attempt)))

    async def note_progress(self, job_id: str, step: int, attempt: int) -> None:
        """Note the step that a checkpoint holds: the job's starts so far no longer count against it."""
        await self.database.write(
            "UPDATE jobs SET step = ?, forgiven = attempts WHERE id = ? AND state = 'running' AND attempts = ?",
            (step, job_id, attempt),
        )

    async def note_orderly_end(self) -> None:
        """Hold no start against the running jobs: the process ends as it should."""
        await self.database.write("UPDATE jobs SET forgiven = attempts WHERE state = 'running'")

    async def note_steer(self, job_id: str, prompts: tuple[Prompt, ...], text: str) -> PaintingSpec | None:
        """Give an unfinished job other prompts; return its new spec, or None when it is too late."""
        async with self.database.transaction():
            rows = await self.database.read(f"SELECT spec FROM jobs WHERE id = ? AND state IN {_UNFINISHED}", (job_id,))
            if not rows:
                return None
            spec = PaintingSpec.from_json(rows[0]["spec"]).but(prompts=prompts)
            await self.database.read(
                "UPDATE jobs SET spec = ?, prompt = ? WHERE id = ?", (spec.to_json(), text, job_id)
            )
            return spec

    async def note_smaller(self, job_id: str, width: int, height: int, notices: Iterable[str], attempt: int) -> None:
        """Note that a running job is painted at another size, from its first step on."""
        async with self.database.transaction():
            rows = await self.database.read(
                "SELECT spec FROM jobs WHERE id = ? AND state = 'running' AND attempts = ?", (job_id, attempt)
            )
            if rows:
                spec = PaintingSpec.from_json(rows[0]["spec"]).but(width=width, height=height)
                await self.database.read(
                    "UPDATE jobs SET spec = ?, cost_key = ?, notices = ?, step = 0 WHERE id = ?",
                    (spec.to_json(), cost_key(spec), json.dumps(list(notices)), job_id),
                )

    async def forget_before(self, moment: float, kept: Iterable[str]) -> int:
        """Delete the jobs announced before `moment` (unix seconds), but for those in `kept`; return how many."""
        rows = await self.database.write(
            "DELETE FROM jobs WHERE state IN ('delivered', 'cancelled', 'failed') AND delivered_at < ?"
            " AND id NOT IN (SELECT value FROM json_each(?)) RETURNING id",
            (moment, json.dumps(list(kept))),
        )
        return len(rows)

    # The queue

    async def waiting(self) -> list[Waiting]:
        """List what the scheduler needs to know of the queued jobs, oldest first."""
        rows = await self.database.read(
            "SELECT id, user_id, guild_id, kind, steps, cost_key FROM jobs WHERE state = 'queued' ORDER BY seq"
        )
        return [Waiting(*row) for row in rows]

    async def served(self) -> dict[int, int]:
        """Tell each user's latest turn; a higher number is later."""
        return {row["user_id"]: row["turn"] for row in await self.database.read("SELECT * FROM served")}

    async def step_times(self) -> dict[str, float]:
        """Tell the seconds per step measured so far, by `cost_key`."""
        return {row["cost_key"]: row["seconds"] for row in await self.database.read("SELECT * FROM step_times")}

    async def note_step_time(self, cost_key: str, seconds: float) -> None:
        """Remember the seconds per step of paintings with this `cost_key`."""
        async with self.database.transaction():
            await self.database.read("INSERT OR REPLACE INTO step_times VALUES (?, ?)", (cost_key, seconds))
            await self.database.read(
                "DELETE FROM step_times WHERE rowid NOT IN (SELECT rowid FROM step_times ORDER BY rowid DESC LIMIT ?)",
                (_STEP_TIMES,),
            )

    async def check_writable(self) -> None:
        """Write and take back a row; raise `sqlite3.Error` when the ledger cannot be written."""
        async with self.database.transaction():
            await self.database.read("INSERT INTO served VALUES (-1, 0)")
            await self.database.read("DELETE FROM served WHERE user_id = -1")

    async def _one(self, sql: str, *parameters: Any) -> Job | None:
        return next(iter(await self._many(sql, *parameters)), None)

    async def _many(self, sql: str, *parameters: Any) -> list[Job]:
        """Return the jobs that this version can read."""
        jobs = []
        for row in await self.database.read(sql, parameters):
            try:
                jobs.append(_job(row))
            except BadSpecError as error:
                log.warning("Job %s was written by another version and is left out: %s", row["id"], error)
        return jobs


def _job(row: sqlite3.Row) -> Job:
    values: dict[str, Any] = {field: row[field] for field in _FIELDS}
    values["spec"] = PaintingSpec.from_json(row["spec"])
    values["state"] = JobState(row["state"])
    values["notify"] = bool(row["notify"])
    values["notices"] = tuple(json.loads(row["notices"]))
    return Job(**values)
