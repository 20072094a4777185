"""What people do, held to Discord's rules: each act becomes a change of the world and an event for the bot."""

import asyncio
import secrets
import time
from typing import Any

from local_discord import threads
from local_discord.errors import Refused, invalid, missing_permissions, unknown
from local_discord.files import Attachment, content_type
from local_discord.forms import component_data, submitted
from local_discord.ids import Json, snowflake
from local_discord.objects import HAS_SNAPSHOT, LOADING, Channel, Interaction, Message, Thread, User
from local_discord.options import check_options, option_values
from local_discord.permissions import Permission
from local_discord.posting import fill, may_send, pinged, post
from local_discord.rest.interactions import THINKING, InteractionRoutes
from local_discord.rest.messages import make_reference, note_edit
from local_discord.world import Event, World

DID_NOT_RESPOND = "The application did not respond"
_COMMAND, _COMPONENT, _AUTOCOMPLETE, _SUBMIT = 2, 3, 4, 5
_CHAT, _MESSAGE_MENU = 1, 3


class People:
    """Everything that a person can do. Refusals are raised as `Refused`."""

    def __init__(self, world: World, interactions: InteractionRoutes) -> None:
        self._world = world
        self._interactions = interactions
        self._uploads: dict[int, Attachment] = {}
        """Files that were uploaded and not yet used."""
        self._timers: set[asyncio.Task[None]] = set()
        for interaction in world.interactions.values():  # what an earlier process was waiting for
            self._watch(interaction)

    def close(self) -> None:
        """Stop waiting for answers."""
        for timer in self._timers:
            timer.cancel()

    # Looking

    def all(self) -> list[User]:
        """List the people who can be played: everybody but the bot."""
        return [user for user in self._world.users.values() if not user.bot]

    def channels(self, person: User) -> list[Json]:
        """List the channels that somebody sees, the server's in order, then their direct messages with the bot."""
        own = [channel for channel in self._world.channels.values() if channel.guild_id and not channel.deleted]
        own.sort(key=_place)
        found = [(channel, self._world.permissions(person, channel)) for channel in [*own, self._world.direct(person)]]
        return [
            {**channel.json(person), "permissions": str(int(granted))}
            for channel, granted in found
            if Permission.VIEW_CHANNEL in granted
        ]

    async def messages(self, person: User, channel_id: int, before: int | None = None, limit: int = 50) -> list[Json]:
        """List messages as somebody sees them, oldest first."""
        channel = self.there(person, channel_id, Permission.READ_MESSAGE_HISTORY)
        there = self._world.in_channel(channel, person)
        earlier = [message for message in there if before is None or message.id < before]
        return [self.shown(person, message) for message in earlier[-limit:]]

    def shown(self, person: User, message: Message) -> Json:
        """Return a message as somebody sees it, with the message that it replies to."""
        data = message.json(person)
        if message.reference is not None and message.reference["type"] == 0:
            replied = self._world.messages.get(int(message.reference["message_id"]))
            data["referenced_message"] = None if replied is None or replied.deleted else replied.json(person)
        return data

    def sees(self, person: User, event: Event) -> bool:
        """Return whether somebody gets an event."""
        if event.name == "INTERACTION_CREATE":
            return False
        if event.only_for is not None:
            return event.only_for == person.id
        return event.channel is None or Permission.VIEW_CHANNEL in self._world.permissions(person, event.channel)

    def as_seen(self, person: User, event: Event) -> Json:
        """Return an event as somebody gets it."""
        whole = event.message is not None and event.name in ("MESSAGE_CREATE", "MESSAGE_UPDATE")
        return {"t": event.name, "d": self.shown(person, event.message) if whole and event.message else event.data}

    def commands(self, person: User, channel_id: int) -> list[Json]:
        """List the commands that somebody may use in a channel."""
        channel = self.there(person, channel_id)
        return [command for command in self._world.commands if self._may_use(person, channel, command)]

    def file(self, path: str) -> tuple[str | None, bytes]:
        """Return an uploaded file's type and bytes; raise OSError."""
        return content_type(path), self._world.files.read(path)

    # Writing

    async def upload(
        self, person: User, channel_id: int, filename: str, content: bytes, *, description: str | None = None,
        spoiler: bool = False,
    ) -> Json:  # fmt: skip
        """Take a file that a message, a command or a form will use."""
        channel = self.there(person, channel_id)
        if len(content) > self.upload_limit(person, channel):
            raise Refused(413, 40005, "Request entity too large")
        attachment = self._world.files.store(channel.id, filename, content, description, spoiler=spoiler)
        self._uploads[attachment.id] = attachment
        return attachment.json()

    def upload_limit(self, person: User, channel: Channel) -> int:
        """Return how many bytes somebody may upload in one file: the server's limit, or their subscription's."""
        return max(self._world.upload_limit(channel), person.upload_limit)

    async def say(
        self, person: User, channel_id: int, content: str, uploads: list[int] | None = None, reply_to: int | None = None
    ) -> Json:
        """Post a message."""
        channel = self.there(person, channel_id)
        may_send(self._world, person, channel, {}, files=bool(uploads), reply=reply_to is not None)
        message = Message(channel, person)
        if reply_to is not None:
            self._world.message(channel_id, reply_to, person)
            message.reference = make_reference(channel, reply_to)
        attachments = [self._take(upload) for upload in uploads or ()]
        if not content.strip() and not attachments:
            raise Refused(400, 50006, "Cannot send an empty message")
        if content:
            fill(self._world, message, {"content": content}, [], 0)
        message.attachments, message.mentions = attachments, pinged(content, None)
        post(self._world, message)
        return self.shown(person, message)

    async def forward(self, person: User, channel_id: int, message_id: int, to_channel_id: int) -> Json:
        """Forward a message: a snapshot of it, and where it came from."""
        source = self._world.message(channel_id, message_id)
        self.there(person, channel_id, Permission.READ_MESSAGE_HISTORY)
        channel = self.there(person, to_channel_id)
        may_send(self._world, person, channel, {}, files=False, reply=False)
        message = Message(channel, person, flags=HAS_SNAPSHOT)
        message.reference = make_reference(source.channel, source.id, 1)
        message.snapshots = source.snapshots or [source.snapshot()]
        post(self._world, message)
        return self.shown(person, message)

    async def edit(self, person: User, channel_id: int, message_id: int, content: str) -> Json:
        """Change the words of one's own message."""
        message = self._visible(person, channel_id, message_id)
        threads.check(self._world, person, message.channel, writing=False)
        if message.author is not person:
            raise Refused(403, 50005, "Cannot edit a message authored by another user")
        fill(self._world, message, {"content": content}, [], 0)
        note_edit(self._world, message)
        return self.shown(person, message)

    async def delete(self, person: User, channel_id: int, message_id: int) -> None:
        """Delete one's own message, or somebody's with Manage Messages."""
        message = self._visible(person, channel_id, message_id)
        if message.author is not person:
            self.there(person, channel_id, Permission.MANAGE_MESSAGES)
        self._world.delete(message)

    async def dismiss(self, person: User, message_id: int) -> None:
        """Put away a message that only this person sees."""
        message = self._world.messages.get(message_id)
        if message is None or not message.ephemeral or message.asked is None or message.asked.user is not person:
            raise unknown(10008, "Message")
        self._world.delete(message)

    async def react(self, person: User, channel_id: int, message_id: int, emoji: str) -> None:
        """Add a reaction; one that nobody has made yet takes Add Reactions."""
        message = self._visible(person, channel_id, message_id)
        if message.ephemeral:
            raise unknown(10008, "Message")
        threads.check_reacting(message.channel)
        if emoji not in message.reactions:
            self.there(person, channel_id, Permission.ADD_REACTIONS)
        self._world.react(message, person, emoji, add=True)

    async def unreact(self, person: User, channel_id: int, message_id: int, emoji: str) -> None:
        """Take one's reaction away."""
        self._world.react(self._visible(person, channel_id, message_id), person, emoji, add=False)

    async def typing(self, person: User, channel_id: int) -> None:
        """Show that somebody is typing."""
        channel = self.there(person, channel_id, Permission.SEND_MESSAGES)
        data: Json = {"channel_id": str(channel.id), "user_id": str(person.id), "timestamp": int(time.time())}
        if channel.guild_id is not None:
            data["guild_id"] = str(channel.guild_id)
        self._world.emit(Event("TYPING_START", data, channel))

    # Interactions

    async def command(self, person: User, channel_id: int, command_id: int, options: list[Json]) -> str:
        """Use a chat command; return the interaction's id."""
        channel, command = self._command(person, channel_id, command_id, _CHAT)
        check_options(command, options)
        data = self._command_data(command, options)
        return self._ask(_COMMAND, person, channel, data)

    async def autocomplete(self, person: User, channel_id: int, command_id: int, options: list[Json]) -> list[Json]:
        """Ask for choices of the option with `focused`; none if the bot is silent for three seconds."""
        channel, command = self._command(person, channel_id, command_id, _CHAT)
        data = {"id": command["id"], "name": command["name"], "type": _CHAT, "options": options}
        interaction = self._interaction(_AUTOCOMPLETE, person, channel, data)
        answered = asyncio.Event()
        stop = self._world.subscribe(
            lambda event: answered.set() if event.data.get("id") == str(interaction.id) else None
        )
        try:
            self._world.begin(interaction)
            answered.clear()  # the interaction's own event has the same id
            async with asyncio.timeout(self._interactions.answer_seconds):
                await answered.wait()
        except TimeoutError:
            return []
        finally:
            stop()
        return interaction.choices or []

    async def menu(self, person: User, channel_id: int, command_id: int, message_id: int) -> str:
        """Use a command of a message's menu; return the interaction's id."""
        channel, command = self._command(person, channel_id, command_id, _MESSAGE_MENU)
        message = self._visible(person, channel_id, message_id)
        data = {
            "id": command["id"],
            "name": command["name"],
            "type": _MESSAGE_MENU,
            "target_id": str(message.id),
            "resolved": {"messages": {str(message.id): message.json(self._world.bot)}},
        }
        return self._ask(_COMMAND, person, channel, data)

    async def press(self, person: User, channel_id: int, message_id: int, custom_id: str) -> str:
        """Press a button; return the interaction's id."""
        return await self.select(person, channel_id, message_id, custom_id, None)

    async def select(
        self, person: User, channel_id: int, message_id: int, custom_id: str, values: list[str] | None
    ) -> str:
        """Choose from a select menu; return the interaction's id."""
        message = self._visible(person, channel_id, message_id)
        data = component_data(self._world, message.components, custom_id, values)
        return self._ask(_COMPONENT, person, message.channel, data, message)

    async def submit(self, person: User, interaction_id: int, values: dict[str, Any]) -> str:
        """Send a form that the bot has shown: by custom_id, text, chosen values, a truth, or ids of uploads."""
        asked = self._world.interactions.get(interaction_id)
        if asked is None or asked.modal is None or asked.user is not person:
            raise unknown(10062, "interaction")
        data = submitted(self._world, asked.modal, values, self._take)
        return self._ask(_SUBMIT, person, asked.channel, data, asked.source)

    def _ask(self, kind: int, person: User, channel: Channel, data: Json, source: Message | None = None) -> str:
        interaction = self._interaction(kind, person, channel, data, source)
        self._world.begin(interaction)
        self._watch(interaction)
        return str(interaction.id)

    def _watch(self, interaction: Interaction) -> None:
        timer = asyncio.create_task(self._wait_for_answer(interaction))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _wait_for_answer(self, interaction: Interaction) -> None:
        """Show the person that no answer has come in three seconds, or nothing after "thinking" in fifteen minutes."""
        await asyncio.sleep(interaction.created + self._interactions.answer_seconds - time.monotonic())
        if interaction.kind == THINKING:
            await asyncio.sleep(interaction.created + self._interactions.token_seconds - time.monotonic())
            waiting = interaction.response
            if waiting is None or waiting.deleted or not waiting.flags & LOADING:
                return
            waiting.flags, waiting.content = waiting.flags & ~LOADING, DID_NOT_RESPOND
            self._world.changed(waiting, "MESSAGE_UPDATE")
        elif interaction.kind is None:
            interaction.failed = True
            data = {
                "id": str(interaction.id),
                "channel_id": str(interaction.channel.id),
                "message": DID_NOT_RESPOND,
            }
            self._world.emit(Event("INTERACTION_FAILURE", data, interaction.channel, only_for=interaction.user.id))

    def _interaction(
        self, kind: int, person: User, channel: Channel, data: Json, source: Message | None = None
    ) -> Interaction:
        """Make an interaction as the bot gets it."""
        granted = self._world.permissions(person, channel)
        limit = self.upload_limit(person, channel)
        payload: Json = {
            "id": str(snowflake()),
            "application_id": str(self._world.application_id),
            "type": kind,
            "data": data,
            "channel": {**channel.json(), "permissions": str(int(granted))},
            "channel_id": str(channel.id),
            "token": secrets.token_urlsafe(32),
            "version": 1,
            "app_permissions": str(int(self._world.permissions(self._world.bot, channel))),
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {"0": str(channel.guild_id or 0)},
            "context": 1 if channel.guild_id is None else 0,
            "attachment_size_limit": limit,
        }
        if channel.guild_id is None:
            payload["user"] = person.json()
        else:
            guild = {"id": str(channel.guild_id), "locale": "en-US", "features": []}
            payload |= {"guild_id": str(channel.guild_id), "guild_locale": "en-US", "guild": guild}
            payload["member"] = person.member() | {"permissions": str(int(granted))}
        if source is not None:
            payload["message"] = source.json(self._world.bot)
        return Interaction(payload, channel, person, payload["token"], limit, source=source)

    # Rules

    def there(self, person: User, channel_id: int, needed: Permission = Permission.VIEW_CHANNEL) -> Channel:
        """Return a channel that somebody sees, and may do what is `needed` in; raise `Refused`."""
        channel = self._world.channel(channel_id)
        granted = self._world.permissions(person, channel)
        if Permission.VIEW_CHANNEL not in granted:
            raise Refused(403, 50001, "Missing Access")
        if needed not in granted:
            raise missing_permissions()
        return channel

    def thread(self, person: User, channel_id: int) -> Thread:
        """Return a thread that somebody sees; raise `Refused`."""
        channel = self.there(person, channel_id)
        if not isinstance(channel, Thread):
            raise Refused(400, 50024, "Cannot execute action on this channel type")
        return channel

    def _visible(self, person: User, channel_id: int, message_id: int) -> Message:
        self.there(person, channel_id)
        return self._world.message(channel_id, message_id, person)

    def _take(self, upload: int) -> Attachment:
        if upload not in self._uploads:
            raise invalid(f"there is no uploaded file {upload}")
        return self._uploads.pop(upload)

    def _may_use(self, person: User, channel: Channel, command: Json) -> bool:
        """Return whether a command can be used (developers/interactions/application-commands, "Permissions")."""
        contexts = command.get("contexts")
        context = 1 if channel.guild_id is None else 0
        if contexts is not None and context not in contexts:
            return False
        if command.get("guild_id") not in (None, str(channel.guild_id)):
            return False
        if channel.guild_id is None:
            return command.get("dm_permission") is not False
        needed = Permission.USE_APPLICATION_COMMANDS
        own = self._world.command_permissions.get(int(command["id"]), {}).get(person.id)
        if own is not None:
            return own
        if command.get("default_member_permissions") is not None:
            needed |= Permission(int(command["default_member_permissions"]) or Permission.ADMINISTRATOR)
        return needed in self._world.permissions(person, channel) and not (command.get("nsfw") and not channel.nsfw)

    def _command(self, person: User, channel_id: int, command_id: int, kind: int) -> tuple[Channel, Json]:
        channel = self.there(person, channel_id)
        if isinstance(channel, Thread) and channel.archived:
            raise Refused(400, 50083, "Thread is archived")
        command = next((one for one in self._world.commands if int(one["id"]) == command_id), None)
        if command is None or command["type"] != kind:
            raise unknown(10063, "application command")
        if not self._may_use(person, channel, command):
            raise missing_permissions()
        return channel, command

    def _command_data(self, command: Json, options: list[Json]) -> Json:
        """Make the data of a command, the files and people that its options name resolved."""
        resolved: Json = {}
        for kind, value in option_values(options):
            if kind == 11:
                resolved.setdefault("attachments", {})[value] = self._take(int(value)).json()
            elif kind == 6:
                user = self._world.user_by_id(int(value))
                resolved.setdefault("users", {})[value] = user.json()
                member = {key: part for key, part in user.member().items() if key not in ("user", "deaf", "mute")}
                resolved.setdefault("members", {})[value] = member | {"permissions": "0"}
            elif kind == 7:
                channel = self._world.channel(int(value))
                resolved.setdefault("channels", {})[value] = channel.json() | {"permissions": "0"}
            elif kind == 8:
                resolved.setdefault("roles", {})[value] = self._world.roles[int(value)].json()
        data = {"id": command["id"], "name": command["name"], "type": _CHAT, "options": options}
        if command.get("guild_id") is not None:
            data["guild_id"] = command["guild_id"]
        return data | ({"resolved": resolved} if resolved else {})


def _place(channel: Channel) -> tuple[int, int, int]:
    """Return by what the channels of a server are sorted: a thread comes after its channel, and before the next."""
    parent = channel.parent if isinstance(channel, Thread) else channel
    return parent.position, parent.id, channel.id if channel is not parent else 0
