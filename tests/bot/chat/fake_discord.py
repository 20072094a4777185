"""A Discord that takes or refuses what is asked of it, call by call, for what needs neither socket nor gateway."""

import itertools
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import discord

from bot.chat.people import NEEDED, Person
from bot.jobs import Requester

GUILD, CHANNEL = 5, 6
MESSAGE, ANSWER = 777, 778
"""The message of the job that a test is about, and one that answers an interaction."""
ALL = discord.Permissions(**dict.fromkeys(NEEDED, True))
_interactions = itertools.count(5000)


def refusal(status: int, code: int = 0, kind: type[discord.HTTPException] | None = None) -> discord.HTTPException:
    """Make the error that discord.py raises for an answer."""
    kinds = {403: discord.Forbidden, 404: discord.NotFound}
    answer: Any = SimpleNamespace(status=status, reason="because")
    return (kind or kinds.get(status, discord.HTTPException))(answer, {"code": code, "message": "x"})


def person(user_id: int, channel_id: int = CHANNEL, guild_id: int | None = GUILD) -> Person:
    """Describe somebody where the bot may do everything that it needs."""
    member: Any = None if guild_id is None else object()
    return Person(Requester(user_id, guild_id, channel_id), ALL, (), member)


class Asked:
    """An interaction; keeps what it was answered with, and refuses what `broken` names."""

    def __init__(self, user_id: int = 1, permissions: discord.Permissions = ALL, guild_id: int | None = GUILD) -> None:
        self.id = next(_interactions)
        self.user = SimpleNamespace(id=user_id, roles=[])
        self.channel, self.channel_id, self.guild_id = None, CHANNEL, guild_id
        self.permissions = self.app_permissions = permissions
        self.response: Any = self
        self.answers: list[tuple[str | None, dict[str, Any]]] = []
        self.edits: list[dict[str, Any]] = []
        self.broken: dict[str, Exception] = {}
        self.deferred = False

    def is_done(self) -> bool:
        return self.deferred

    async def send_message(self, content: str | None = None, **arguments: Any) -> Any:
        if "send_message" in self.broken:
            raise self.broken["send_message"]
        self.answers.append((content, arguments))
        return SimpleNamespace(message_id=ANSWER)

    async def original_response(self) -> Any:
        if "original_response" in self.broken:
            raise self.broken["original_response"]
        return SimpleNamespace(id=ANSWER)

    async def edit_original_response(self, **arguments: Any) -> None:
        self.edits.append(arguments)

    async def edit_message(self, **arguments: Any) -> None:
        self.edits.append(arguments)


class FakeDiscord:
    """What a client is asked for; `done` lists what was taken, `refusals` is used up from the front, by name.

    The names are those of the calls, "write" for a send in direct messages.
    """

    def __init__(self) -> None:
        self.refusals: defaultdict[str, list[Exception]] = defaultdict(list)
        self.tried: list[str] = []
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.dispatched: list[str] = []
        self.guilds: dict[int, int | None] = {}
        """The server of each channel that was asked for, as the caller says."""
        self.user = SimpleNamespace(id=99)

    def names(self) -> list[str]:
        """Name the calls that were taken."""
        return [name for name, _ in self.done]

    def last(self, name: str) -> dict[str, Any]:
        """Return the arguments of the last call of that name that was taken."""
        return next(arguments for done, arguments in reversed(self.done) if done == name)

    def files(self, name: str) -> list[str]:
        """Name the files of the last call of that name."""
        arguments = self.last(name)
        return [file.filename for file in arguments.get("attachments", arguments.get("files", ()))]

    async def take(self, name: str, **arguments: Any) -> None:
        """Take a call, or refuse it."""
        self.tried.append(name)
        if self.refusals[name]:
            raise self.refusals[name].pop(0)
        self.done.append((name, arguments))

    def get_partial_messageable(self, channel_id: int, *, guild_id: int | None = None) -> "FakeChannel":
        self.guilds[channel_id] = guild_id
        return FakeChannel(self, channel_id, "send")

    async def create_dm(self, user: discord.Object) -> "FakeChannel":
        return FakeChannel(self, user.id, "write")

    def get_guild(self, guild_id: int) -> None:
        return None

    def dispatch(self, event: str) -> None:
        self.dispatched.append(event)


class FakeChannel:
    """A channel in which nothing was posted before."""

    def __init__(self, world: FakeDiscord, channel_id: int, name: str) -> None:
        self._world, self.id, self._name = world, channel_id, name

    def get_partial_message(self, message_id: int) -> "FakeMessage":
        return FakeMessage(self._world, self, message_id)

    async def send(self, content: str | None = None, **arguments: Any) -> "FakeMessage":
        await self._world.take(self._name, channel=self.id, content=content, **arguments)
        return FakeMessage(self._world, self, 1000 + len(self._world.done))

    async def history(self, **arguments: Any):
        await self._world.take("history", **arguments)
        for message in ():
            yield message


class FakeMessage:
    """A message of the bot's."""

    def __init__(self, world: FakeDiscord, channel: FakeChannel, message_id: int) -> None:
        self._world, self.channel, self.id = world, channel, message_id
        self.jump_url = f"https://discord.com/channels/5/{channel.id}/{message_id}"

    async def edit(self, **arguments: Any) -> "FakeMessage":
        await self._world.take("edit", message=self.id, **arguments)
        return self

    async def fetch(self) -> "FakeMessage":
        raise refusal(404)

    async def delete(self) -> None:
        await self._world.take("delete", message=self.id)

    async def add_reaction(self, emoji: str) -> None:
        await self._world.take("react", emoji=emoji)

    def to_reference(self, *, fail_if_not_exists: bool) -> dict[str, Any]:
        return {"message_id": self.id, "fail_if_not_exists": fail_if_not_exists}
