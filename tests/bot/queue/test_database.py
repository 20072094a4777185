"""Transactions that are given up by a timeout, while somebody else holds the file; migrations of what is there."""

import asyncio
import contextlib
import sqlite3

import pytest

import bot.queue.database
from bot.queue.database import MIGRATIONS, Database


@pytest.mark.parametrize("released", [True, False])
async def test_a_transaction_given_up_while_it_waits_leaves_none_open(tmp_path, released):
    path = tmp_path / "ledger.sqlite3"
    database = await Database.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def write():
        async with database.transaction():
            await database.read("INSERT INTO served VALUES (1, 1)")

    task = asyncio.create_task(write())
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.sleep(0.05)
    if released:
        other.execute("ROLLBACK")
    with pytest.raises(asyncio.CancelledError):
        await task
    if not released:
        other.execute("ROLLBACK")
    other.close()
    await write()
    assert [tuple(found) for found in await database.read("SELECT * FROM served")] == [(1, 1)]
    await database.close()


async def test_a_ledger_of_the_first_version_keeps_its_jobs_and_step_times(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript((MIGRATIONS / "0001_jobs.sql").read_text(encoding="utf-8"))
        old.execute("PRAGMA user_version = 1")
        old.execute("INSERT INTO paces VALUES ('embedded 32x32 embedded 2', 0.5)")
        old.execute(
            "INSERT INTO jobs (id, interaction_id, kind, spec, steps, look, prompt, user_id, channel_id, created_at)"
            " VALUES ('k3v9x2ab', 1, 'imagine', '{}', 6, 'embedded 32x32 embedded 2', 'a red apple', 2, 3, 4.0)"
        )
        old.commit()
    database = await Database.open(path)
    times, jobs = await database.read("SELECT * FROM step_times"), await database.read("SELECT cost_key FROM jobs")
    await database.close()
    assert [tuple(row) for row in times] == [("embedded 32x32 embedded 2", 0.5)]
    assert [tuple(row) for row in jobs] == [("embedded 32x32 embedded 2",)]


async def test_a_file_left_in_order_is_not_read_through_again_unless_it_changed(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite3"
    await (await Database.open(path)).close()
    looks = []
    look = bot.queue.database._damage
    monkeypatch.setattr("bot.queue.database._damage", lambda one: looks.append(one) or look(one))
    database = await Database.open(path)
    assert looks == []
    killed = await Database.open(path)  # the first one has not been closed: as after a kill
    assert looks == [path]
    await killed.close()
    await database.close()
    with path.open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff" * 3000)
    await (await Database.open(path)).close()
    assert looks == [path, path]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
