"""Backup and restore of the data folder, consistent also while the bot runs."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import filelock

from bot.queue.files import KINDS, Files, StorageError, checked_id

_LEDGER_COPY_SECONDS = 60.0


class BackupError(Exception):
    """A backup that cannot be made or taken back; the text is one sentence for the owner."""


@dataclass(frozen=True, slots=True)
class Copied:
    """How much was copied."""

    jobs: int
    files: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.jobs} jobs, {self.files} files, {self.bytes / 1e6:.1f} MB"


def backup(data: Path, destination: Path) -> Copied:
    """Copy ledger and files to the new folder `destination`, whole or not at all; raise `BackupError`.

    The ledger comes first: a picture lies on disk before the ledger says so, so whatever the copied ledger names is
    there to be copied after it. What is written meanwhile comes along and does no harm; what is deleted meanwhile is
    missing, and is shown as cleared away.
    """
    source = Files(data)
    if not source.ledger.is_file():
        raise BackupError(f"There is no ledger in {source.folder}; storage.folder says where the bot keeps its data.")
    _require_free(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{destination.name}.part-", dir=destination.parent))  # nobody else's name
    try:
        jobs = _copy_ledger(source.ledger, Files(part).ledger)
        files, size = _copy_files(source.folder, part)
        _sync(part)
        part.rename(destination)
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise BackupError(f"The backup could not be made ({error}); nothing was kept of it.") from error
    return Copied(jobs, files, size)


def restore(source: Path, data: Path) -> Copied:
    """Put a backup into the data folder, which must hold no ledger and no running bot; raise `BackupError`."""
    saved, target = Files(source), Files(data)
    if not saved.ledger.is_file():
        raise BackupError(f"{saved.folder} is no backup: there is no {saved.ledger.name} in it.")
    target.prepare()
    try:
        with filelock.FileLock(target.lock, timeout=0):
            _require_no_ledger(target)
            files, size = _copy_files(saved.folder, target.folder)
            part = target.ledger.with_name(f"{target.ledger.name}.part")
            part.unlink(missing_ok=True)  # of an attempt that was interrupted
            jobs = _copy_ledger(saved.ledger, part)
            _require_ours(part)
            part.replace(target.ledger)  # last: until then it is not a data folder that anybody would paint in
            _sync(target.folder)
    except filelock.Timeout:
        raise BackupError(f"A bot is at work in {target.folder}; stop it first.") from None
    except BackupError:
        target.ledger.with_name(f"{target.ledger.name}.part").unlink(missing_ok=True)
        raise
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"The backup could not be taken back ({error}).") from error
    return Copied(jobs, files, size)


def _require_free(destination: Path) -> None:
    if destination.exists():
        raise BackupError(f"{destination} exists already; name a folder that does not.")


def _require_no_ledger(target: Files) -> None:
    if target.ledger.exists():
        raise BackupError(f"There is a ledger in {target.folder} already; move it away with all that lies beside it.")


def _require_ours(ledger: Path) -> None:
    """Refuse a ledger whose ids would lead out of the data folder: a backup may come from anywhere."""
    with closing(sqlite3.connect(ledger)) as copy:
        try:
            for row in copy.execute("SELECT id FROM jobs"):
                checked_id(str(row[0]))
        except StorageError as error:
            raise BackupError(f"This backup cannot be taken back. {error}") from None


def _copy_ledger(source: Path, destination: Path) -> int:
    """Copy a database that others may be writing to, as of one moment; return how many jobs it holds."""
    with (
        closing(
            sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=_LEDGER_COPY_SECONDS)
        ) as old,
        closing(sqlite3.connect(destination)) as new,
    ):
        old.backup(new)
        damage = new.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(f"the ledger is damaged: {damage}")
        new.execute("PRAGMA journal_mode = DELETE")  # one file, whole in itself; the bot makes it WAL again
        return new.execute("SELECT count(*) FROM jobs").fetchone()[0]


def _copy_files(source: Path, destination: Path) -> tuple[int, int]:
    """Copy what is whole; return how many files and bytes."""
    count = size = 0
    for path in _whole_files(source):
        target = destination / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(path, target)
        except FileNotFoundError:  # deleted this moment
            continue
        count += 1
        size += target.stat().st_size
    return count, size


def _whole_files(folder: Path) -> Iterator[Path]:
    for kind in KINDS:
        if (folder / kind).is_symlink():
            continue
        for parent, _, names in os.walk(folder / kind):  # skips what is deleted meanwhile
            paths = (Path(parent, name) for name in sorted(names) if not name.endswith(".part"))
            yield from (path for path in paths if path.is_file() and not path.is_symlink())  # none of ours is a link


def _sync(folder: Path) -> None:
    """Flush everything to the disk."""
    for path in (folder, *folder.rglob("*")):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
