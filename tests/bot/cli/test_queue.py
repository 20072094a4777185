"""What waits, listed and called off by the owner on the machine itself."""

import asyncio
from pathlib import Path

import filelock
import pytest
from typer.testing import CliRunner

from bot.cli.commands import app
from bot.jobs import JobState
from bot.queue.files import Files
from bot.queue.ledger import Ledger


@pytest.fixture
def files(tmp_path: Path, ask) -> Files:
    """A data folder in which three jobs of one server and one of another wait."""
    files = Files(tmp_path / "data")
    files.prepare()

    async def fill() -> None:
        ledger = await Ledger.open(files.ledger)
        for guild_id in (5, 5, 5, 9):
            await ledger.add(ask(guild_id=guild_id))
        await ledger.close()

    asyncio.run(fill())
    return files


async def states(files: Files) -> dict[JobState, int]:
    ledger = await Ledger.open(files.ledger)
    counts = await ledger.counts()
    await ledger.close()
    return {state: count for state, count in counts.items() if count}


def run(files: Files, monkeypatch: pytest.MonkeyPatch, *words: str):
    monkeypatch.setenv("PAINTER__STORAGE__FOLDER", str(files.folder))
    return CliRunner().invoke(app, ["queue", *words])


def test_every_server_is_listed_most_first(files, monkeypatch):
    listed = run(files, monkeypatch, "list")
    assert (listed.exit_code, listed.output) == (0, "3\t5\n1\t9\n")


def test_one_servers_jobs_are_called_off_and_no_others(files, monkeypatch):
    assert run(files, monkeypatch, "clear", "5").exit_code == 0
    assert asyncio.run(states(files)) == {JobState.CANCELLED: 3, JobState.QUEUED: 1}


def test_nothing_is_called_off_beside_a_bot_at_work(files, monkeypatch):
    with filelock.FileLock(files.lock):
        refused = run(files, monkeypatch, "clear", "5")
    assert refused.exit_code != 0
    assert asyncio.run(states(files)) == {JobState.QUEUED: 4}
