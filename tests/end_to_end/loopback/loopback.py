"""`Loopback`: the local Discord, with faults, records, and people who are functions."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from local_discord import TOKEN, Channel, Interaction, LocalDiscord, Message, User
from local_discord.requests import Call, Handle
from local_discord.rest import PREFIX
from local_discord.world import Json
from tests.end_to_end.loopback.description import description
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

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Fault] = []
        self.violations: list[str] = []
        """Bodies that are not what Discord's own API description says."""
        self.records: list[Record] = []
        self.rest.around = self._around

    async def _around(self, call: Call, handle: Handle) -> web.StreamResponse:
        self._judge(call)
        fault = next((fault for fault in self.faults if fault.befalls(call.name, call.channel_id, call.body)), None)
        if fault is not None:
            fault.hits += 1
        response = await (handle() if fault is None else fault.effect(call.request, handle))
        cut = call.request.transport is None or call.request.transport.is_closing()
        self.records.append(Record(call.name, 0 if cut else response.status, time.monotonic(), call.channel_id))
        return response

    def _judge(self, call: Call) -> None:
        judge = description()
        if judge is not None and call.request.method != "GET":
            path = unquote(call.request.raw_path.split("?")[0].removeprefix(PREFIX))
            if (complaint := judge.complaint(call.request.method, path, call.body)) is not None:
                self.violations.append(complaint)

    def change_token(self, token: str = TOKEN) -> None:
        """Take another token from now on, as when somebody resets it."""
        self.rest.token = self.gateway.token = token

    def user(self, name: str) -> User:
        return self.world.user(name)

    def channel(self, name: str) -> Channel:
        """Make a text channel. Only those made before the bot connects are known to it."""
        return self.world.add_channel(name)

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

    async def slash(self, user: User, channel: Channel, command: str, **options: Any) -> Interaction:
        """Type a command, such as "imagine" or "admin pause"; an attachment is given as (name, bytes)."""
        return await self.people.slash(user, channel, command, **options)

    async def press(self, user: User, message: Message, custom_id: str) -> Interaction:
        """Press a button; `custom_id` may be only its beginning."""
        return await self.people.press(user, message, custom_id)

    async def submit(self, user: User, form: Interaction, *values: str) -> Interaction:
        """Fill in the text fields of a form that the bot has shown, and send it."""
        return await self.people.submit(user, form, *values)

    async def react(self, user: User, message: Message, emoji: str) -> None:
        """Add a reaction."""
        await self.people.react(user, message, emoji)

    async def again(self, interaction: Interaction) -> None:
        """Send an interaction to the bot once more."""
        await self.people.again(interaction)
