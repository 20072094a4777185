"""A backup taken while the bot paints, and a bot that goes on from it."""

import asyncio
import contextlib
import dataclasses
import functools
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.commands import app
from bot.jobs import JobState
from bot.queue import backup as backup_module
from bot.queue.backup import BackupError, Copied, backup, restore
from bot.queue.files import KINDS, Files, StorageError
from bot.queue.ledger import Ledger
from bot.settings import StorageSettings
from bot.worker.events import Checkpointed, Rendered, Started
from engine.pictures import spec_of
from tests.bot.conftest import row

ROOT = Path(backup_module.__file__).parents[2]


def rows(ledger):
    connection = sqlite3.connect(ledger)
    try:
        return dict(connection.execute("SELECT id, state FROM jobs").fetchall())
    finally:
        connection.close()


async def test_a_bot_goes_on_from_a_backup_taken_while_it_painted(open_queue, ask, spec, settings, tmp_path):
    queue, audience = await open_queue()
    done = await queue.submit(ask())
    await audience.wait(done.id, Rendered)
    running = await queue.submit(ask(spec=spec.but(steps=60), user_id=2))
    waiting = await queue.submit(ask(user_id=3))
    await audience.wait(running.id, Checkpointed)
    copied = await asyncio.to_thread(backup, settings.storage.folder, tmp_path / "copy")
    assert copied.jobs == 3
    assert rows(Files(tmp_path / "copy").ledger) == {done.id: "rendered", running.id: "running", waiting.id: "queued"}
    await queue.cancel(running.id)
    await queue.close()

    restored = settings.model_copy(update={"storage": StorageSettings(folder=tmp_path / "restored")})
    assert restore(tmp_path / "copy", restored.storage.folder).jobs == 3
    picture = queue.files.result_path(done)
    assert Files(restored.storage.folder).result_path(done).read_bytes() == picture.read_bytes()
    queue, audience = await open_queue(restored)
    assert (await audience.wait(running.id, Started)).step > 0
    for job in (running, waiting):
        rendered = await audience.wait(job.id, Rendered)
        assert spec_of(rendered.picture) == job.spec
    assert (await row(queue.ledger, done.id)).state is JobState.RENDERED
    assert not audience.of(done.id, Started)


async def test_every_copy_is_consistent_while_jobs_come_and_end(open_queue, ask, spec, settings, tmp_path):
    """Whatever a copied ledger calls rendered has its picture, whole, in the copy."""
    queue, audience = await open_queue()
    ending = asyncio.Event()

    async def ask_on():
        for user in itertools.cycle(range(5)):
            if ending.is_set():
                return
            job = await queue.submit(ask(user_id=user, spec=spec.but(steps=1)))
            await audience.wait(job.id, Rendered)

    asking = asyncio.create_task(ask_on())
    try:
        for number in range(8):
            await asyncio.sleep(0.1)
            await asyncio.to_thread(backup, settings.storage.folder, tmp_path / str(number))
    finally:
        ending.set()
        await asking
    counts = []
    for number in range(8):
        files = Files(tmp_path / str(number))
        ledger = await Ledger.open(files.ledger)
        finished = await ledger.in_state(JobState.RENDERED)
        await ledger.close()
        for job in finished:
            assert spec_of(files.result_path(job)) == job.spec
        assert not list(files.folder.rglob("*.part"))
        counts.append(len(finished))
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


@pytest.fixture
async def data(files, ask):
    """A data folder with one job and one file of each kind."""
    ledger = await Ledger.open(files.ledger)
    await ledger.add(ask())
    await ledger.close()
    for kind in KINDS:
        (files.folder / kind / "file").write_bytes(b"content")
        (files.folder / kind / "half.part").write_bytes(b"cont")
    (files.folder / "models").mkdir()
    (files.folder / "models" / "large.ckpt").write_bytes(b"can be fetched again")
    return files.folder


def test_files_of_all_kinds_come_along_and_nothing_half_written(data, tmp_path):
    copied = backup(data, tmp_path / "copy")
    assert str(copied) == "1 jobs, 5 files, 0.0 MB"
    names = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert names == {"ledger.sqlite3", *(f"{kind}/file" for kind in KINDS)}


@pytest.mark.parametrize(
    ("copied", "said"),
    [(Copied(1, 5, 0), "1 jobs, 5 files, 0.0 MB"), (Copied(2, 3, 1_260_000), "2 jobs, 3 files, 1.3 MB")],
)
def test_how_much_was_copied_is_said_in_megabytes(copied, said):
    assert str(copied) == said


def test_what_lies_deeper_and_a_destination_whose_parents_are_not_there(data, tmp_path):
    (data / "frames" / "abcdefgh").mkdir()
    (data / "frames" / "abcdefgh" / "000001.jpg").write_bytes(b"a frame")
    destination = tmp_path / "far" / "away" / "copy"
    assert backup(data, destination) == Copied(1, 6, 5 * len(b"content") + len(b"a frame"))
    assert (destination / "frames" / "abcdefgh" / "000001.jpg").read_bytes() == b"a frame"
    assert restore(destination, tmp_path / "new") == Copied(1, 6, 5 * len(b"content") + len(b"a frame"))
    assert (tmp_path / "new" / "frames" / "abcdefgh" / "000001.jpg").read_bytes() == b"a frame"


def test_it_is_put_together_beside_its_destination_and_not_where_there_may_be_no_room(data, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert backup(data, tmp_path / "copy").jobs == 1


def test_what_is_deleted_meanwhile_is_missing_and_the_rest_is_there(data, tmp_path, monkeypatch):
    copy = shutil.copy2

    def deleted(source, target):
        if "latents" in source.parts:
            source.unlink()
        return copy(source, target)

    monkeypatch.setattr(backup_module.shutil, "copy2", deleted)
    assert backup(data, tmp_path / "copy") == Copied(1, 4, 4 * len(b"content"))
    assert not (tmp_path / "copy" / "latents" / "file").exists()


def test_a_copied_ledger_is_one_file(data, tmp_path):
    backup(data, tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").glob("ledger*")] == ["ledger.sqlite3"]
    with contextlib.closing(sqlite3.connect(tmp_path / "copy" / "ledger.sqlite3")) as ledger:
        assert ledger.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_an_attempt_to_restore_that_was_interrupted_does_not_stop_the_next(data, tmp_path):
    backup(data, tmp_path / "copy")
    target = Files(tmp_path / "new")
    target.prepare()
    part = target.ledger.with_name("ledger.sqlite3.part")
    part.write_bytes(b"half of one")
    assert restore(tmp_path / "copy", target.folder).jobs == 1
    assert not part.exists()
    assert target.ledger.is_file()


def test_a_damaged_backup_is_not_taken_back(data, tmp_path):
    backup(data, tmp_path / "copy")
    ledger = Files(tmp_path / "copy").ledger
    content = bytearray(ledger.read_bytes())
    content[100:4096] = os.urandom(3996)
    ledger.write_bytes(content)
    with pytest.raises(BackupError, match=r"could not be taken back \("):
        restore(tmp_path / "copy", tmp_path / "new")
    assert not Files(tmp_path / "new").ledger.exists()


def test_an_existing_folder_is_left_alone(data, tmp_path):
    backup(data, tmp_path / "copy")
    with pytest.raises(BackupError, match="exists already"):
        backup(data, tmp_path / "copy")


def test_a_full_disk_leaves_nothing_behind(data, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup_module.shutil, "copy2", full)
    with pytest.raises(BackupError, match=r"could not be made \(.*No space left"):
        backup(data, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_an_interrupted_backup_does_not_stop_the_next(data, tmp_path):
    (tmp_path / "copy.part-abc").mkdir()
    (tmp_path / "copy.part-abc" / "rest").write_bytes(b"")
    backup(data, tmp_path / "copy")
    assert not (tmp_path / "copy" / "rest").exists()


def test_a_damaged_ledger_is_no_backup(data, tmp_path):
    ledger = Files(data).ledger
    content = bytearray(ledger.read_bytes())
    content[100:4096] = os.urandom(3996)
    ledger.write_bytes(content)
    with pytest.raises(BackupError, match="could not be made"):
        backup(data, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_restoring_hurts_nothing_that_is_there(data, tmp_path):
    backup(data, tmp_path / "copy")
    before = Files(data).ledger.read_bytes()
    with pytest.raises(BackupError, match=r"a ledger in .* already"):
        restore(tmp_path / "copy", data)
    assert Files(data).ledger.read_bytes() == before
    with pytest.raises(BackupError, match="is no backup"):
        restore(tmp_path, tmp_path / "new")


async def test_restoring_under_a_running_bot_is_refused(open_queue, settings, data, tmp_path):
    await open_queue()
    backup(data, tmp_path / "copy")
    Files(settings.storage.folder).ledger.rename(tmp_path / "aside")
    with pytest.raises(BackupError, match="stop it first"):
        restore(tmp_path / "copy", settings.storage.folder)


def test_nothing_to_copy_is_said(tmp_path):
    with pytest.raises(BackupError, match="no ledger in"):
        backup(tmp_path, tmp_path / "copy")


def test_the_commands(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = functools.partial(CliRunner().invoke, app)
    assert run(["backup", "copy"]).exit_code == 0
    again = run(["backup", "copy"])
    assert (again.exit_code, again.stderr.strip()) == (2, "copy exists already; name a folder that does not.")
    refused = run(["restore", "copy"])
    assert refused.exit_code == 2
    assert "ledger" in refused.stderr
    data.rename(tmp_path / "aside")
    assert run(["restore", "copy"]).exit_code == 0
    assert rows(Files(tmp_path / "data").ledger).keys() == rows(Files(tmp_path / "aside").ledger).keys()


def test_neither_needs_torch():
    code = "import sys, bot.queue.backup; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


async def test_a_hostile_backup_leads_nowhere(ledger, ask, tmp_path):
    job, _ = await ledger.add(ask())
    await ledger.close()
    hostile, victim = tmp_path / "hostile", tmp_path / "victim.png"
    Files(hostile).prepare()
    victim.write_bytes(b"mine")
    (hostile / "pictures" / "link.png").symlink_to(victim)
    (hostile / "latents").rmdir()
    (hostile / "latents").symlink_to(tmp_path)
    shutil.copy(tmp_path / "ledger.sqlite3", Files(hostile).ledger)
    restored = restore(hostile, tmp_path / "restored")
    assert (restored.jobs, restored.files) == (1, 0)

    with contextlib.closing(sqlite3.connect(Files(hostile).ledger)) as books, books:
        books.execute("UPDATE jobs SET id = '../../victim' WHERE id = ?", (job.id,))
    with pytest.raises(BackupError, match="an id that is no id"):
        restore(hostile, tmp_path / "second")
    assert not Files(tmp_path / "second").ledger.exists()
    forged = dataclasses.replace(job, id="../../victim")
    with pytest.raises(StorageError):
        Files(tmp_path / "restored").delete(forged)
    leading_out = job.spec.but(init_image="../victim.png")
    with pytest.raises(StorageError, match="outside the data folder"):
        Files(tmp_path / "restored").inputs(leading_out)
    assert victim.read_bytes() == b"mine"


async def test_a_backup_deletes_nothing_that_is_not_its_own(ledger, ask, tmp_path):
    await ledger.add(ask())
    await ledger.close()
    data, foreign = tmp_path / "data", tmp_path / "copy.part"
    Files(data).prepare()
    shutil.copy(tmp_path / "ledger.sqlite3", Files(data).ledger)
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    backup(data, tmp_path / "copy")
    assert (foreign / "thesis.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy", "copy.part"]
