"""The real client, ledger and worker thread on a simulated Discord, with the networks that ship."""

import asyncio
import contextlib
import io
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import discord
from PIL import Image
from simcord import ChannelHandle, Env, GuildHandle, HttpLogEntry, MemberActor
from simcord.results import to_discord_message

from bot.chat.client import PaintingBot
from bot.chat.errors import sentence_for
from bot.jobs import Job, JobState
from bot.settings import DiscordSettings, LimitSettings, ModelSettings, Settings, StorageSettings, WorkerSettings

SIZE = 64
"""Pixels of a side: the shipped pair paints so small a picture in half a second."""
ENDLESS = 10_000
"""Steps of a painting that somebody has to stop."""
_TIMES = {
    JobState.QUEUED: [[True, False, False, False]],
    JobState.RUNNING: [[True, True, False, False]],
    JobState.RENDERED: [[True, True, True, False]],
    JobState.DELIVERED: [[True, True, True, True]],
    # These may never have begun, and their channel may not have been told yet.
    JobState.FAILED: [[True, begun, True, told] for begun in (False, True) for told in (False, True)],
    JobState.CANCELLED: [[True, begun, True, told] for begun in (False, True) for told in (False, True)],
}
"""Which of a job's times are known in each state: asked for, begun, ended, told."""
UPLOADS = "cdn.simcord.invalid"
_LONG_ENOUGH = 90.0


class World:
    """A server with a channel and two people in it, and the bot at work there."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bot = PaintingBot(settings)
        self.env = Env(self.bot, check_errors=False, settle_timeout=30.0)
        self.guild: GuildHandle = self.env.create_guild("Server")
        self.channel: ChannelHandle = self.guild.create_text_channel("paintings")
        self.alice: MemberActor = self.guild.add_member(self.env.create_user("alice"))
        self.bob: MemberActor = self.guild.add_member(self.env.create_user("bob"))

    @property
    def ledger(self):
        return self.bot.queue.ledger

    async def imagine(self, who: MemberActor, prompt: str = "a red apple", **options) -> Job:
        """Ask for a picture; return its job."""
        result = await who.slash(self.channel, "imagine", prompt=prompt, **{"seed": 1, **options})
        assert not result.ephemeral, words(result)
        assert result.response is not None
        job = await self.ledger.by_message(result.response.id)
        assert job is not None
        return job

    async def ended(self, job: Job) -> Job:
        """Wait until the channel shows how the job ended; return it as it is then."""

        async def told() -> bool:
            return (await self.job(job.id)).delivered_at is not None

        await self.until(told)
        return await self.job(job.id)

    async def job(self, job_id: str) -> Job:
        found = await self.ledger.job(job_id)
        assert found is not None
        return found

    async def until(self, condition: Callable, seconds: float = _LONG_ENOUGH) -> None:
        """Wait for something that happens by itself."""
        end = time.perf_counter() + seconds
        while True:
            value = condition()
            if await value if asyncio.iscoroutine(value) else value:
                return
            assert time.perf_counter() < end, f"waited {seconds} s in vain"
            await asyncio.sleep(0.05)

    async def children(self, job: Job, kind: str) -> list[Job]:
        """List the jobs made from another one."""
        mine = await self.ledger.history(self.alice.id, 50) + await self.ledger.history(self.bob.id, 50)
        return [one for one in mine if one.parent_id == job.id and one.kind == kind]

    def message(self, message_id: int | None, channel: ChannelHandle | None = None) -> discord.Message:
        """Return a message as everybody sees it."""
        channel = channel or self.channel
        assert message_id is not None
        return to_discord_message(self.env, self.env.backend.get_message(channel.id, message_id))

    def messages(self, channel: ChannelHandle | None = None) -> list[discord.Message]:
        """List what everybody sees in a channel."""
        found = [self.message(one, channel) for one in self.env.backend.messages[(channel or self.channel).id]]
        return [message for message in found if not message.flags.ephemeral]

    def edits(self, message_id: int) -> list[HttpLogEntry]:
        """List the bot's edits of a message."""
        path = f"/messages/{message_id}"
        return [one for one in self.env.http_requests if one.method == "PATCH" and one.path.endswith(path)]

    def pinged(self) -> list[int]:
        """List the users that messages in the channel were allowed to ping, everyone as 0."""
        found: list[int] = []
        for message in self.env.backend.messages[self.channel.id].values():
            allowed = message.allowed_mentions
            found += [0] if allowed.everyone or allowed.users is None or allowed.replied_user else sorted(allowed.users)
        return found

    def guild_limit(self) -> int:
        """Return how many bytes a file may have in the guild."""
        guild = self.bot.get_guild(self.guild.id)
        assert guild is not None
        return guild.filesize_limit

    def unforeseen(self) -> list[BaseException]:
        """List what went wrong, but for refusals."""
        errors = [getattr(error, "original", error) for error in self.env.errors]
        return [error for error in errors if not isinstance(error, Exception) or sentence_for(error) is None]

    def check_books(self) -> None:
        """Hold the ledger, as the bot left it, to what must be true of it whatever has happened."""
        with contextlib.closing(sqlite3.connect(self.bot.queue.files.ledger)) as books:
            books.row_factory = sqlite3.Row
            assert [row[0] for row in books.execute("PRAGMA integrity_check")] == ["ok"]
            assert books.execute("PRAGMA foreign_key_check").fetchall() == []
            shown = {row["message_id"]: row["job_id"] for row in books.execute("SELECT * FROM messages")}
            for job in books.execute("SELECT * FROM jobs"):
                assert job["message_id"] is None or shown[job["message_id"]] == job["id"]
                times = [job[name] for name in ("created_at", "started_at", "finished_at", "delivered_at")]
                assert [time is not None for time in times] in _TIMES[JobState(job["state"])], dict(job)
                known = [time for time in times if time is not None]
                assert known == sorted(known)

    async def restart(self) -> None:
        """End the bot as SIGTERM would, and start another on the same data."""
        await self.bot.stop_services()
        await self.start_again()

    async def start_again(self) -> None:
        """Start another bot on the data of one whose services have been stopped."""
        self.bot = PaintingBot(self.settings)
        await self.env.restart_bot(self.bot)


def words(result) -> str:
    """Return all the text that an answer shows."""
    return "\n".join(texts(result.response.components)) or result.response.content


def texts(components: list) -> list[str]:
    """Collect the text of components, however deep."""
    found: list[str] = []
    for component in components:
        data = component if isinstance(component, dict) else component.to_dict()
        found += [data["content"]] if data.get("type") == 10 else []
        found += texts(data.get("components", []))
    return found


def shown(message: discord.Message) -> str:
    """Return all the text that a message shows."""
    return "\n".join(texts(message.components)) or message.content


def png(colour: str = "red", size: tuple[int, int] = (48, 32)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def quick_settings(folder: Path) -> Settings:
    """Return settings for paintings of a second or two."""
    return Settings(
        storage=StorageSettings(folder=folder / "data"),
        discord=DiscordSettings(preview_seconds=0.2, cdn_hosts=(UPLOADS,)),
        worker=WorkerSettings(device="cpu", precision="fp32", first_preview_step=2, checkpoint_seconds=0.5, frames=6),
        models=ModelSettings(folder=folder / "models", preset="draft", size=f"{SIZE}x{SIZE}"),
        limits=LimitSettings(per_user=8, most_steps=ENDLESS),
    )


@contextlib.asynccontextmanager
async def running_bot(settings: Settings) -> AsyncIterator[World]:
    """Open a world, and close it with nothing unforeseen."""
    world = World(settings)
    try:
        await world.env.start()
        yield world
    finally:
        await world.bot.stop_services()
        with contextlib.suppress(TimeoutError):
            await world.env.shutdown()
    assert world.unforeseen() == []
    world.check_books()
