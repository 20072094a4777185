"""A loopback Discord and the bots that live on it, each a process of its own."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from local_discord.ids import Json
from local_discord.objects import Channel
from tests import warm_processes
from tests.chosen_settings import CHOSEN
from tests.end_to_end.loopback import TOKEN, Loopback, Message, until

ROOT = Path(__file__).resolve().parents[2]
QUICK = {
    "PAINTER__WORKER__DEVICE": "cpu",
    "PAINTER__WORKER__PRECISION": "fp32",
    "PAINTER__WORKER__CHECKPOINT_SECONDS": "0.2",
    "PAINTER__WORKER__FRAMES": "2",
    "PAINTER__DISCORD__PREVIEW_SECONDS": "0.3",
    "PAINTER__MODELS__PRESET": "draft",
    "PAINTER__HEALTH__ENABLED": "false",
    "PAINTER__LOG__FORMAT": "human",
    "OMP_NUM_THREADS": "1",
}


class Bot:
    """One process, known by its id."""

    def __init__(self, process_id: int, log: Path) -> None:
        self.id = process_id
        self._log = log
        self._log_began = log.stat().st_size if log.exists() else 0

    @property
    def log(self) -> str:
        """What it has written since it started."""
        with self._log.open("rb") as file:
            file.seek(self._log_began)
            return file.read().decode(errors="replace")

    @property
    def alive(self) -> bool:
        try:
            state = Path(f"/proc/{self.id}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]
            threads = len(list(Path(f"/proc/{self.id}/task").iterdir()))
        except OSError:
            return False
        return state != "Z" or threads > 1  # a killed thread that waits for the disk still holds the lock

    @property
    def exit_code(self) -> int | None:
        """What it ended with by itself; None when it was killed."""
        note = self._log.with_name(f"exit-{self.id}")
        return int(note.read_text(encoding="utf-8")) if note.exists() else None

    @property
    def memory(self) -> float:
        """Resident MiB."""
        pages = int(Path(f"/proc/{self.id}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.id}/fd").iterdir()))

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.id, number)

    async def kill(self) -> None:
        """Kill it, as the kernel would."""
        self.signal(signal.SIGKILL)
        await until(lambda: not self.alive, 10, "a killed process is gone")

    async def end(self, seconds: float = 20.0) -> None:
        """Ask it to end, as a service manager would."""
        self.signal(signal.SIGTERM)
        await until(lambda: not self.alive, seconds, f"the bot ends after SIGTERM; its log:\n{self.log}")


class Starter(Protocol):
    """Starts bots."""

    def start(self, order: Json) -> int: ...


class Forked:
    """Fork bots from the process that others are forked from."""

    def start(self, order: Json) -> int:
        address = warm_processes.server()._forkserver_address  # type: ignore[attr-defined]
        return warm_processes.process(
            "tests.end_to_end.bot_program", "live", order | {"server": address}, daemon=False
        ).pid


class BotProcesses:
    """A Discord, a data folder, and the bots that were started on them."""

    def __init__(self, discord: Loopback, starter: Starter, folder: Path) -> None:
        self.discord = discord
        self.folder = folder
        self.data = folder / "data"
        self._starter = starter
        self.started: list[Bot] = []
        self.settings = dict(CHOSEN)
        """What every bot is started with, as `start` takes it."""
        self.set_clock(0.0)

    @property
    def painters(self) -> int:
        """How many paintings are under way at the same time."""
        named = self.settings.get("worker__painters")
        return len(named) if isinstance(named, list) else 1

    def set_clock(self, seconds: float) -> None:
        """Let the clock of all bots be wrong by so many seconds from now on; the loopback Discord's stays right."""
        clock = self.folder / "clock"
        with clock.open("r+b" if clock.exists() else "wb") as file:  # in place: the bots look into it
            file.write(struct.pack("d", seconds))

    def environment(self, **settings: object) -> dict[str, str]:
        """Return what a bot is started with; `worker__frames=3` is the setting worker.frames."""
        chosen = self.settings | settings
        own = {
            f"PAINTER__{name.upper()}": json.dumps(value) if isinstance(value, list) else str(value)
            for name, value in chosen.items()
        }
        place = {
            "DISCORD_TOKEN": TOKEN,
            "PAINTER__DISCORD__API_BASE": self.discord.api_base,
            "PAINTER__STORAGE__FOLDER": str(self.data),
        }
        return QUICK | place | own

    async def launch(self, *, models: Path | None = None, log_file: Path | None = None, **settings: object) -> Bot:
        """Start a bot and return at once."""
        log = log_file or self.folder / "bot.log"
        order = {
            "environment": self.environment(**settings),
            "folder": str(self.folder),
            "log": str(log),
            "models": str(models or ""),
        }
        bot = Bot(await asyncio.to_thread(self._starter.start, order), log)
        self.started.append(bot)
        return bot

    async def start(self, *, models: Path | None = None, log_file: Path | None = None, **settings: object) -> Bot:
        """Start a bot and wait until it listens."""
        before = self.discord.gateway.identifies
        bot = await self.launch(models=models, log_file=log_file, **settings)
        try:
            # Its painters are ready before that; those in processes of their own load torch first.
            await until(lambda: self.discord.gateway.identifies > before, 180, "the bot identifies")
            await self.discord.ready()
        except (AssertionError, TimeoutError):
            pytest.fail(f"the bot did not come up; its log:\n{bot.log}")
        return bot

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read the ledger from outside."""
        with contextlib.closing(sqlite3.connect(self.data / "ledger.sqlite3", timeout=10)) as connection:
            return connection.execute(sql, parameters).fetchall()

    def change(self, sql: str) -> None:
        """Write to the ledger of a bot that is dead."""
        with contextlib.closing(sqlite3.connect(self.data / "ledger.sqlite3")) as connection:
            connection.execute(sql)
            connection.commit()

    def states(self) -> dict[str, str]:
        """Return the state of every job."""
        return dict(self.rows("SELECT id, state FROM jobs"))

    async def delivered(self, count: int, seconds: float = 60.0) -> None:
        """Wait until so many jobs are delivered, by the ledger."""
        await self.ledger_says("SELECT count(*) FROM jobs WHERE state = 'delivered'", count, seconds)

    async def ledger_says(self, sql: str, value: object, seconds: float = 60.0) -> None:
        """Wait until the first column of the first row is `value`."""

        def says() -> bool:
            rows = self.rows(sql)
            return bool(rows) and rows[0][0] == value

        try:
            await until(says, seconds, sql)
        except AssertionError:
            log = self.started[-1].log[-4000:]
            pytest.fail(f"not within {seconds:g} s: {sql} is {value}; jobs: {self.states()}\nlog:\n{log}")

    def finals(self, channel: Channel) -> dict[str, list[Message]]:
        """Return, by job, the messages that show a final picture."""
        found: dict[str, list[Message]] = {}
        for message in self.discord.messages(channel):
            for name in message.files:
                if name.startswith("painting-"):
                    found.setdefault(name[len("painting-") :].partition(".")[0], []).append(message)
        return found

    async def close(self) -> None:
        for bot in self.started:
            await bot.kill()
        await self.discord.close()
        assert not self.discord.violations, "Discord's description forbids:\n" + "\n".join(
            sorted(set(self.discord.violations))[:10]
        )


@pytest.fixture
async def bots(tmp_path: Path) -> AsyncIterator[BotProcesses]:
    processes = BotProcesses(await Loopback.start(), Forked(), tmp_path)
    yield processes
    await processes.close()


def final(body: Json) -> bool:
    """Return whether a request brings a final picture."""
    return any(str(entry.get("filename", "")).startswith("painting-") for entry in body.get("attachments") or ())


def words(part: str) -> Callable[[Json], bool]:
    """Make a condition: the request says `part`."""
    return lambda body: part in json.dumps(body, ensure_ascii=False)
