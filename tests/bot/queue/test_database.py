"""Transactions that are given up: by a timeout, while somebody else holds the file."""

import asyncio
import sqlite3

import pytest

from bot.queue.database import Database


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
