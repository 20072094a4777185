"""The SQLite file: opening, migrations, transactions; a damaged file is moved aside."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import aiosqlite

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")


class LedgerError(Exception):
    """A database that cannot be used; the text is one sentence for the owner."""


class Database:
    """The only connection. Writers take turns, so that no statement lands in another one's transaction."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Open `path`, moved aside first if it is damaged, and bring it up to date; raise `LedgerError`."""
        await asyncio.to_thread(_set_aside_if_damaged, path)
        connection = await aiosqlite.connect(path, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 5000"):
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            database = cls(connection, path)
            await database._migrate()
        except BaseException:
            await connection.close()
            raise
        return database

    async def close(self) -> None:
        """Finish what is under way and close the file."""
        async with self._turn:
            await self._connection.close()
        await asyncio.to_thread(_note_closed, self._path)

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a SELECT."""
        return list(await self._connection.execute_fetchall(sql, parameters))

    async def write(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Run one statement, durable when this returns, and return the rows of its RETURNING clause."""
        async with self._turn:
            return await self.read(sql, parameters)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Make every `read` inside, whatever it does, one durable whole or nothing. Only `read` may be used inside."""
        async with self._turn:
            try:
                await self.read("BEGIN IMMEDIATE")  # in here, since one that is given up may begin all the same
                yield
                await self.read("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.OperationalError):  # a full disk has made SQLite roll back by itself
                    await asyncio.shield(self.read("ROLLBACK"))
                raise

    async def _migrate(self) -> None:
        version = (await self.read("PRAGMA user_version"))[0][0]
        steps = sorted(MIGRATIONS.glob("[0-9]*.sql"))
        if version > len(steps):
            raise LedgerError(
                "The ledger was written by a later version of the bot: update the bot, or choose another data folder."
            )
        for number, step in enumerate(steps[version:], start=version + 1):
            async with self.transaction():
                for statement in _statements(await asyncio.to_thread(step.read_text, encoding="utf-8")):
                    await self.read(statement)
                await self.read(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterable[str]:
    """Split a script as SQLite would: `executescript` commits first, which would break the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _set_aside_if_damaged(path: Path) -> None:
    if not path.exists() or _is_as_closed(path) or (damage := _damage(path)) is None:
        return
    aside = path.with_name(f"{path.stem}.damaged-{time.time_ns()}{path.suffix}")
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.replace(aside.with_name(aside.name + ending))
    log.error("The ledger %s is damaged (%s). It was moved to %s and a new one is started.", path, damage, aside)


def _note_closed(path: Path) -> None:
    """Remember the file as it was left in order, so that it is not read through at the next start."""
    with contextlib.suppress(OSError):  # a full disk, or a folder that is gone: then it is read through
        _note_of(path).write_text(_stamp(path), encoding="utf-8")


def _is_as_closed(path: Path) -> bool:
    """Return, once, whether nobody has written to the file since it was left in order."""
    note = _note_of(path)
    try:
        same = note.read_text(encoding="utf-8") == _stamp(path)
        note.unlink()
    except OSError:
        return False
    return same and not path.with_name(f"{path.name}-wal").exists()


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.closed")


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _damage(path: Path) -> str | None:
    """Return what SQLite finds wrong with the file, or None; raise `LedgerError` when it cannot be looked at."""
    connection = sqlite3.connect(path)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:  # locked, unreadable: not the content's fault
        raise LedgerError(
            f"The ledger {path} cannot be opened ({error}): check who uses it and its permissions."
        ) from None
    except sqlite3.DatabaseError as error:
        return str(error)
    finally:
        connection.close()
    return None if found == "ok" else found
