"""The ledger: every job and its state, durable. Every change of state goes through `Ledger.transition`."""

# ruff: noqa: S608, only constants of this file are put into SQL; values are always parameters

import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from bot.jobs import COMES_FROM, Job, JobState, Request, cost_key, new_job_id
from bot.queue.database import Database
from bot.queue.job_queries import UNFINISHED, JobQueries, job_of
from bot.queue.limits import DAY_SECONDS, Limits, refusal_by_limits
from bot.queue.personal_data import PersonalData
from bot.refusals import Refusal
from engine.prompts import Prompt
from engine.spec import BadSpecError, PaintingSpec, spec_version

log = logging.getLogger(__name__)

_UNREADABLE = "This was asked of another version of the bot, which this one cannot read; please ask again."
_STEP_TIMES = 256
"""So many are remembered, the latest: there is one for every size that anybody tries."""
_STAMPS = {
    JobState.RUNNING: "started_at = ?, attempts = attempts + 1",
    JobState.RENDERED: "finished_at = ?",
    JobState.DELIVERED: "delivered_at = ?",
    JobState.CANCELLED: "finished_at = ?",
    JobState.FAILED: "finished_at = ?",
}


class Ledger(JobQueries):
    """Write jobs, their messages and step times; read them as `JobQueries` does."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        super().__init__(database, clock)
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
                spec = request.spec  # of a parent's several pictures, the same one
                rows = await self.database.read(
                    f"SELECT * FROM jobs WHERE user_id = ? AND parent_id IS ? AND kind = ? AND state IN {UNFINISHED}"
                    " AND spec ->> '$.init_image' IS ? AND spec ->> '$.init_latent' IS ?",
                    (request.user_id, request.parent_id, request.kind, spec.init_image, spec.init_latent),
                )
            if rows:
                return job_of(rows[0]), False
            if limits is not None:
                usage = await self.usage(request.requester)
                if (sentence := refusal_by_limits(limits, usage, in_guild=request.guild_id is not None)) is not None:
                    raise Refusal(sentence)
            return await self._insert(request), True

    async def _insert(self, request: Request) -> Job:
        now = self._clock()
        await self.database.read("INSERT INTO asked VALUES (?, ?)", (request.user_id, now))
        await self.database.read("DELETE FROM asked WHERE at < ?", (now - DAY_SECONDS,))
        columns = {
            "id": new_job_id(),
            "interaction_id": request.interaction_id,
            "kind": request.kind,
            "spec": request.spec.to_json(),
            "steps": request.spec.steps,
            "cost_key": cost_key(request.spec),
            "prompt": request.prompt,
            "user_id": request.user_id,
            "guild_id": request.guild_id,
            "channel_id": request.channel_id,
            "parent_id": request.parent_id,
            "notify": request.notify,
            "notices": json.dumps(request.notices),
            "created_at": now,
        }
        rows = await self.database.read(
            f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) RETURNING *",
            tuple(columns.values()),
        )
        return job_of(rows[0])

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
        """Fail the unfinished jobs whose spec this version does not read: nobody could ever paint them.

        They are looked through once by each version: what one writes, it reads.
        """
        known = await self.database.read("SELECT 1 FROM notes WHERE name = 'specs' AND value = ?", (spec_version(),))
        if known:
            return
        for row in await self.database.read(f"SELECT id, spec FROM jobs WHERE state IN {UNFINISHED}"):
            try:
                PaintingSpec.from_json(row["spec"])
            except BadSpecError:
                await self.transition(row["id"], JobState.FAILED, error=_UNREADABLE)
        await self.database.write("INSERT OR REPLACE INTO notes VALUES ('specs', ?)", (spec_version(),))

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

    async def note_device(self, job_id: str, device: str | None, notices: Iterable[str]) -> None:
        """Note which chip paints a running job from now on, and what its requester is to know."""
        await self.database.write(
            "UPDATE jobs SET device = ?, notices = ? WHERE id = ? AND state = 'running'",
            (device, json.dumps(list(notices)), job_id),
        )

    async def note_progress(self, job_id: str, step: int, attempt: int) -> None:
        """Note the step that a checkpoint holds: the job's starts so far no longer count against it."""
        await self.database.write(
            "UPDATE jobs SET step = ?, forgiven = attempts WHERE id = ? AND state = 'running' AND attempts = ?",
            (step, job_id, attempt),
        )

    async def note_result(self, job_id: str, step: int, seconds: float, notices: Iterable[str], attempt: int) -> None:
        """Note what is to be said of a running job's picture, before that lies on disk."""
        await self.database.write(
            "UPDATE jobs SET step = ?, seconds = ?, notices = ? WHERE id = ? AND state = 'running' AND attempts = ?",
            (step, seconds, json.dumps(list(notices)), job_id, attempt),
        )

    async def note_orderly_end(self) -> None:
        """Hold no start against the running jobs: the process ends as it should."""
        await self.database.write("UPDATE jobs SET forgiven = attempts WHERE state = 'running'")

    async def note_steer(self, job_id: str, prompts: tuple[Prompt, ...], text: str) -> PaintingSpec | None:
        """Give an unfinished job other prompts; return its new spec, or None when it is too late."""
        async with self.database.transaction():
            rows = await self.database.read(f"SELECT spec FROM jobs WHERE id = ? AND state IN {UNFINISHED}", (job_id,))
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

    async def delete_before(self, moment: float, kept: Iterable[str]) -> int:
        """Delete the jobs announced before `moment` (unix seconds), but for those in `kept`; return how many."""
        rows = await self.database.write(
            "DELETE FROM jobs WHERE state IN ('delivered', 'cancelled', 'failed') AND delivered_at < ?"
            " AND id NOT IN (SELECT value FROM json_each(?)) RETURNING id",
            (moment, json.dumps(list(kept))),
        )
        return len(rows)

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
