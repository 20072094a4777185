"""The real client, ledger and worker thread on the local Discord in one process, with the networks that ship."""

import asyncio
import contextlib
import io
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import discord
from aiohttp import web
from discord.gateway import DiscordWebSocket
from discord.http import Route
from PIL import Image

import bot.worker.child
from bot.chat import intake
from bot.chat.client import PaintingBot
from bot.jobs import Job, JobState
from bot.settings import DiscordSettings, LimitSettings, ModelSettings, Settings, StorageSettings, WorkerSettings
from local_discord import threads
from local_discord.components import walk
from local_discord.ids import Json
from local_discord.objects import LOADING, Role, Thread
from local_discord.permissions import Overwrite, Permission
from local_discord.rest.requests import Call, Handle
from tests import warm_processes
from tests.chosen_settings import chosen
from tests.end_to_end.loopback import TOKEN, Channel, Interaction, Loopback, Message, User

SIZE = 32
"""Pixels of a side: the shipped pair paints so small a picture in half a second."""
ENDLESS = 10_000
"""Steps of a painting that somebody has to stop."""
_TIMES = {
    JobState.QUEUED: [[True, False, False, False]],
    JobState.RUNNING: [[True, True, False, False]],
    JobState.RENDERED: [[True, True, True, False]],
    JobState.DELIVERED: [[True, True, True, True]],
    # These may never have begun, and their channel may not have been announced yet.
    JobState.FAILED: [[True, begun, True, announced] for begun in (False, True) for announced in (False, True)],
    JobState.CANCELLED: [[True, begun, True, announced] for begun in (False, True) for announced in (False, True)],
}
"""Which of a job's times are known in each state: asked for, begun, ended, announced."""
_LONG_ENOUGH = 120.0
_ANSWER_SECONDS = 120.0


class Result:
    """What a person was shown in answer to something they did."""

    def __init__(self, interaction: Interaction) -> None:
        self.interaction = interaction

    @property
    def response(self) -> Message:
        """The message; fails where there is none."""
        assert self.interaction.response is not None
        return self.interaction.response

    @property
    def ephemeral(self) -> bool:
        return self.interaction.response is not None and self.interaction.response.ephemeral


class Person:
    """Somebody who acts, and waits until the bot has answered."""

    def __init__(self, world: "World", user: User) -> None:
        self._world = world
        self.user = user
        self.id = user.id

    async def slash(self, channel: Channel, command: str, /, **options: Any) -> Result:
        """Use a command; people and channels are given as themselves, files as (name, bytes)."""
        plain = {name: str(v.id) if isinstance(v, Person | Channel | Role) else v for name, v in options.items()}
        return await self._world.answered(await self._world.discord.slash(self.user, channel, command, **plain))

    async def click(self, message: Message, label: str) -> Result:
        """Press the button with this label."""
        custom_id = next(one["custom_id"] for one in walk(message.components) if one.get("label") == label)
        return await self._world.answered(await self._world.discord.press(self.user, message, custom_id))

    async def context_menu(self, command: str, message: Message) -> Result:
        """Use a command of a message's menu."""
        return await self._world.answered(await self._world.discord.menu(self.user, message, command))

    async def submit(self, form: Result, **values: Any) -> Result:
        """Send a form; choices are lists, files are (name, bytes)."""
        people = self._world.discord.people
        for name, value in values.items():
            if isinstance(value, tuple):
                upload = await people.upload(self.user, form.interaction.channel.id, *value)
                values[name] = [upload["id"]]
        number = await people.submit(self.user, form.interaction.id, values)
        return await self._world.answered(self._world.discord.world.interactions[int(number)])

    async def send(self, channel: Channel, content: str, *files: tuple[str, bytes]) -> Message:
        """Post a message."""
        people = self._world.discord.people
        uploads = [int((await people.upload(self.user, channel.id, *file))["id"]) for file in files]
        said = await people.say(self.user, channel.id, content, uploads)
        return self._world.discord.world.messages[int(said["id"])]

    async def react(self, message: Message, emoji: str) -> None:
        """Add a reaction, and wait until the bot has done with it."""
        await self._world.discord.react(self.user, message, emoji)
        seen = (self.id, message.id, emoji)
        await self._world.until(lambda: seen in self._world.reactions_taken)
        self._world.reactions_taken.remove(seen)

    async def unreact(self, message: Message, emoji: str) -> None:
        await self._world.discord.people.unreact(self.user, message.channel.id, message.id, emoji)

    async def autocomplete(self, channel: Channel, command: str, option: str, text: str) -> list[Json]:
        """Ask what is suggested for an option."""
        known = self._world.discord.command(command, 1)
        focused = {"name": option, "type": 3, "value": text, "focused": True}
        return await self._world.discord.people.autocomplete(self.user, channel.id, int(known["id"]), [focused])

    def commands(self, channel: Channel) -> set[str]:
        """Name the commands that this person is shown."""
        return {command["name"] for command in self._world.discord.people.commands(self.user, channel.id)}


class World:
    """A server with a channel and two people in it, and the bot at work there."""

    def __init__(self, settings: Settings, local: Loopback) -> None:
        self.discord = local
        here = settings.discord.model_copy(update={"api_base": local.api_base})
        self.settings = settings.model_copy(update={"discord": here})
        self.channel = local.channel("paintings")
        self.guild_id = local.world.guild_id
        self.alice, self.bob = self.person("alice"), self.person("bob")
        self.reactions_taken: list[tuple[int, int, str]] = []
        self.edited: list[tuple[int, Json]] = []
        """The bot's edits: which message, and the body."""
        self._around = local.rest.around
        local.rest.around = self._note
        self._connection: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start a bot and wait until it has sent its commands."""
        self.bot = PaintingBot(self.settings)
        take = self.bot.reactions.take

        async def noted(event: discord.RawReactionActionEvent) -> None:
            await take(event)
            self.reactions_taken.append((event.user_id, event.message_id, str(event.emoji)))

        self.bot.reactions.take = noted  # type: ignore[method-assign]
        self._connection = connection = asyncio.create_task(self.bot.start(TOKEN))
        await self.until(lambda: self.bot.is_ready() or connection.done())
        if connection.done():
            await connection
        await self.discord.ready()

    async def stop(self) -> None:
        """End the bot as SIGTERM would."""
        await self.bot.close()
        if self._connection is not None:
            await self._connection

    async def _note(self, call: Call, handle: Handle) -> web.StreamResponse:
        if call.name == "edit":
            self.edited.append((call.number("message"), call.body))
        return await self._around(call, handle)

    async def answered(self, interaction: Interaction) -> Result:
        """Wait until the bot has answered, and has noted the message if it is a job's."""
        await self.until(lambda: interaction.kind is not None or interaction.failed, _ANSWER_SECONDS)
        waiting = interaction.response
        if waiting is not None:
            await self.until(lambda: not waiting.flags & LOADING, _ANSWER_SECONDS)
            if not waiting.ephemeral and any(button.startswith("job:") for button in waiting.buttons):
                await self.until(lambda: self._is_noted(waiting))
        return Result(interaction)

    async def _is_noted(self, message: Message) -> bool:
        """Return whether the ledger knows whose message it is, or nobody needs to: it was deleted."""
        return message.deleted or await self.ledger.by_message(message.id) is not None

    def person(self, name: str, *roles: Role) -> Person:
        """Let somebody be on the server."""
        user = self.discord.user(name)
        user.roles += [role.id for role in roles]
        return Person(self, user)

    def role(self, name: str, permissions: int = 0) -> Role:
        """Make a role."""
        return self.discord.world.add_role(Role(name, Permission(permissions)))

    def text_channel(self, name: str, denied: dict[int, Permission] | None = None) -> Channel:
        """Open a channel in which some members are denied something."""
        overwrites = {who: Overwrite(who, member=True, deny=what) for who, what in (denied or {}).items()}
        channel = Channel(name, self.guild_id, overwrites=overwrites)
        return self.discord.world.add_channel(channel)

    def thread(self, owner: Person, *members: User, private: bool = False) -> Thread:
        """Open a thread in the channel; the bot gets a private one only as a member, or who manages threads."""
        thread = threads.start(self.discord.world, owner.user, self.channel, "a thread", private=private)
        for member in members:
            threads.add(self.discord.world, thread, member)
        return thread

    def direct(self, person: Person) -> Channel:
        """Return somebody's direct messages with the bot."""
        return self.discord.world.direct(person.user)

    @property
    def ledger(self):
        return self.bot.queue.ledger

    async def imagine(self, who: Person, prompt: str = "a red apple", **options) -> Job:
        """Ask for a picture; return its job."""
        result = await who.slash(self.channel, "imagine", prompt=prompt, **{"seed": 1, **options})
        assert not result.ephemeral, words(result)
        job = await self.ledger.by_message(result.response.id)
        assert job is not None
        return job

    @property
    def painters(self) -> int:
        """How many paintings are under way at the same time."""
        return len(self.bot.queue.painters)

    async def occupy(self, who: Person) -> list[Job]:
        """Give every painter a painting that somebody has to stop, and wait until each shows a picture."""
        jobs = [await self.imagine(who, steps=ENDLESS) for _ in range(self.painters)]
        await self.until(lambda: all(self.message(job.message_id).attachments for job in jobs))
        return jobs

    async def ended(self, job: Job) -> Job:
        """Wait until the channel shows how the job ended; return it as it is then."""

        async def announced() -> bool:
            return (await self.job(job.id)).delivered_at is not None

        await self.until(announced)
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
            await asyncio.sleep(0.02)

    async def children(self, job: Job, kind: str) -> list[Job]:
        """List the jobs made from another one."""
        mine = await self.ledger.history(self.alice.id, 50) + await self.ledger.history(self.bob.id, 50)
        return [one for one in mine if one.parent_id == job.id and one.kind == kind]

    def message(self, message_id: int | None) -> Message:
        """Return a message; `attachments` are all its files, also those that components show."""
        assert message_id is not None
        return self.discord.world.messages[message_id]

    def messages(self, channel: Channel | None = None) -> list[Message]:
        """List what everybody sees in a channel."""
        return self.discord.messages(channel or self.channel)

    def edits(self, message_id: int | None) -> list[Json]:
        """List the bodies of the bot's edits of a message."""
        return [body for edited, body in self.edited if edited == message_id]

    def pinged(self) -> list[int]:
        """List the users that messages in the channel pinged."""
        return [user for message in self.messages() for user in message.mentions]

    def guild_limit(self) -> int:
        """Return how many bytes a file may have in the guild."""
        guild = self.bot.get_guild(self.guild_id)
        assert guild is not None
        return guild.filesize_limit

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
        await self.stop()
        await self.start()


class _Errors(logging.Handler):
    """Keep what is logged as an error by those who speak to people, and of tasks that failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("bot.chat", "bot.background", "cogs", "discord")):
            self.found.append(self.format(record))


def words(result: Result) -> str:
    """Return all the text that an answer shows."""
    return shown(result.response)


def shown(message: Message) -> str:
    """Return all the text that a message shows."""
    return message.text.strip()


def png(colour: str = "red", size: tuple[int, int] = (48, 32)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def quick_settings(folder: Path) -> Settings:
    """Return settings for paintings of a second or two."""
    settings = Settings(
        storage=StorageSettings(folder=folder / "data"),
        discord=DiscordSettings(preview_seconds=0.2, cdn_hosts=()),
        worker=WorkerSettings(device="cpu", precision="fp32", first_preview_step=2, checkpoint_seconds=0.5, frames=6),
        models=ModelSettings(folder=folder / "models", preset="draft", size=f"{SIZE}x{SIZE}"),
        limits=LimitSettings(per_user=8, most_steps=ENDLESS),
    )
    return chosen(settings)


@contextlib.asynccontextmanager
async def running_bot(settings: Settings) -> AsyncIterator[World]:
    """Open a world, and close it with nothing unforeseen."""
    base, gateway = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    processes = bot.worker.child._PROCESSES
    if settings.worker.isolation == "process":
        warm_processes.fork_painters()
    errors = _Errors()
    logging.getLogger().addHandler(errors)
    local = await Loopback.start(settings.storage.folder.parent / "discord")
    Route.BASE = local.api_base
    # A machine that is busy with other tests is no slow bot: nothing here depends on how long an answer takes.
    local.rest.interactions.answer_seconds = _ANSWER_SECONDS
    defer_seconds, intake._DEFER_SECONDS = intake._DEFER_SECONDS, _ANSWER_SECONDS
    world = World(settings, local)
    try:
        await world.start()
        yield world
    finally:
        await world.stop()
        await local.close()
        intake._DEFER_SECONDS = defer_seconds
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = base, gateway
        bot.worker.child._PROCESSES = processes
        logging.getLogger().removeHandler(errors)
    assert errors.found == []
    assert local.violations == []
    world.check_books()
