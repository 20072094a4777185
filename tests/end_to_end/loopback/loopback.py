"""`Loopback`: the local Discord, with faults, records, and people who are functions."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from local_discord import TOKEN, Channel, Interaction, LocalDiscord, Message, User
from local_discord.components import walk
from local_discord.ids import Json
from local_discord.rest import PREFIX
from local_discord.rest.requests import Call, Handle
from tests.end_to_end.loopback.description import description
from tests.end_to_end.loopback.dispatches import dispatch_complaints
from tests.end_to_end.loopback.faults import Effect, Fault
from tests.end_to_end.loopback.patience import until


@dataclass(frozen=True)
class Record:
    """One request as it was answered; status 0: the connection was cut."""

    name: str
    status: int
    at: float
    channel_id: int | None


class Loopback(LocalDiscord):
    """A Discord that everything can go wrong with."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.faults: list[Fault] = []
        self.violations: list[str] = []
        """Bodies, the bot's and ours, and dispatches that are not what Discord's own API description says."""
        self.records: list[Record] = []
        self.rest.around = self._around
        self.gateway.watch = self._judge_dispatch
        self.rest.limits.routes.clear()  # until a test asks for one

    async def _around(self, call: Call, handle: Handle) -> web.StreamResponse:
        self._judge(call)
        fault = next((fault for fault in self.faults if fault.befalls(call.name, call.channel_id, call.body)), None)
        if fault is not None:
            fault.hits += 1
        response = await (handle() if fault is None else fault.effect(call.request, handle))
        if fault is None and isinstance(response, web.Response) and response.status < 300:
            self._judge_answer(call, response)
        cut = call.request.transport is None or call.request.transport.is_closing()
        self.records.append(Record(call.name, 0 if cut else response.status, time.monotonic(), call.channel_id))
        return response

    def _judge(self, call: Call) -> None:
        if call.request.method != "GET":
            self._note(description().complaint(call.request.method, _path(call), call.body))

    def _judge_answer(self, call: Call, response: web.Response) -> None:
        assert isinstance(response.body, bytes | None)
        body = json.loads(response.body) if response.body else None
        self._note(description().answer_complaint(call.request.method, _path(call), response.status, body))

    def _judge_dispatch(self, event: str, data: Json) -> None:
        self.violations += dispatch_complaints(event, data)

    def _note(self, complaint: str | None) -> None:
        if complaint is not None:
            self.violations.append(complaint)

    def change_token(self, token: str = TOKEN) -> None:
        """Take another token from now on, as when somebody resets it."""
        self.rest.token = self.gateway.token = token

    def user(self, name: str) -> User:
        return self.world.user(name)

    def channel(self, name: str) -> Channel:
        """Make a text channel. Only those made before the bot connects are known to it."""
        return self.world.add_channel(Channel(name, self.world.guild_id))

    def messages(self, channel: Channel) -> list[Message]:
        """List what everybody sees in a channel, oldest first."""
        return self.world.in_channel(channel)

    def fault(
        self,
        name: str,
        effect: Effect,
        *,
        times: int = 1,
        where: Callable[[Json], bool] = lambda body: True,
        channel: Channel | None = None,
    ) -> Fault:
        """Let `effect` befall the next requests of this name; see `Rest.routes` for the names."""
        fault = Fault(name, effect, times, where, None if channel is None else channel.id)
        self.faults.append(fault)
        return fault

    async def ready(self, seconds: float = 60.0) -> None:
        """Wait until a bot is connected and has sent its commands."""
        async with asyncio.timeout(seconds):
            await self.gateway.connected.wait()
        await until(lambda: bool(self.world.commands), seconds, "the bot sends its commands")

    async def slash(self, user: User, channel: Channel, command: str, /, **options: Any) -> Interaction:
        """Type a command, such as "imagine" or "admin pause"; an attachment is given as (name, bytes)."""
        first, *others = command.split()
        known = self.command(first, 1)
        level, path = known, []
        for word in others:
            level = next(part for part in level["options"] if part["name"] == word)
            path.append(level)
        filled = [await self._option(user, channel, level, name, value) for name, value in options.items()]
        for part in reversed(path):
            filled = [{"name": part["name"], "type": part["type"], "options": filled}]
        return self._interaction(await self.people.command(user, channel.id, int(known["id"]), filled))

    async def _option(self, user: User, channel: Channel, level: Json, name: str, value: Any) -> Json:
        known = next((option for option in level["options"] if option["name"] == name), None)
        assert known is not None, f"there are only {[option['name'] for option in level['options']]}"
        if known["type"] == 11:
            value = (await self.people.upload(user, channel.id, *value))["id"]
        return {"name": name, "type": known["type"], "value": value}

    async def menu(self, user: User, message: Message, command: str) -> Interaction:
        """Use a command of a message's menu."""
        number = int(self.command(command, 3)["id"])
        return self._interaction(await self.people.menu(user, message.channel.id, number, message.id))

    async def press(self, user: User, message: Message, custom_id: str) -> Interaction:
        """Press a button; `custom_id` may be only its beginning."""
        custom_id = next(own for own in message.buttons if own.startswith(custom_id))
        return self._interaction(await self.people.press(user, message.channel.id, message.id, custom_id))

    async def select(self, user: User, message: Message, custom_id: str, *values: str) -> Interaction:
        """Choose from a select menu; `custom_id` may be only its beginning."""
        custom_id = next(own for own in message.buttons if own.startswith(custom_id))
        number = await self.people.select(user, message.channel.id, message.id, custom_id, list(values))
        return self._interaction(number)

    async def submit(self, user: User, form: Interaction, *values: Any) -> Interaction:
        """Fill in the fields of a form that the bot has shown, in their order, and send it."""
        assert form.modal is not None
        fields = [part["custom_id"] for part in walk(form.modal["components"]) if "custom_id" in part]
        return self._interaction(await self.people.submit(user, form.id, dict(zip(fields, values, strict=True))))

    async def react(self, user: User, message: Message, emoji: str) -> None:
        """Add a reaction."""
        await self.people.react(user, message.channel.id, message.id, emoji)

    async def again(self, interaction: Interaction) -> None:
        """Send an interaction to the bot once more."""
        self.world.begin(interaction)

    def command(self, name: str, kind: int) -> Json:
        """Return a command as the bot registered it."""
        command = next((c for c in self.world.commands if c["name"] == name and c["type"] == kind), None)
        assert command is not None, f"no command {name}; there are {[c['name'] for c in self.world.commands]}"
        return command

    def _interaction(self, number: str) -> Interaction:
        return self.world.interactions[int(number)]


def _path(call: Call) -> str:
    return unquote(call.request.raw_path.split("?")[0].removeprefix(PREFIX))
