"""Everything there is: one server with its channels and people, direct messages, and what happens among them."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from local_discord import store
from local_discord.errors import unknown
from local_discord.files import Files
from local_discord.ids import Json, snowflake
from local_discord.objects import EPHEMERAL, LOADING, Channel, Interaction, Message, Role, Thread, User
from local_discord.permissions import BOT, DIRECT, MEMBER, Permission, base_permissions, in_channel
from local_discord.store import Store

log = logging.getLogger(__name__)

_SERVER_LIMITS = (10, 10, 50, 100)
"""MiB of a file, by the server's premium tier."""
_TOKEN_SECONDS = 1000.0
"""For how long an interaction is known: a little longer than its token is good."""
_REPLACED_SECONDS = 600.0
"""How long a file that no message shows any more can still be fetched."""
_NOTHING = (
    "icon", "description", "home_header", "splash", "discovery_splash", "banner", "application_id", "afk_channel_id",
    "system_channel_id", "widget_channel_id", "max_presences", "vanity_url_code", "rules_channel_id",
    "safety_alerts_channel_id", "public_updates_channel_id", "incidents_data",
)  # fmt: skip
_PLAIN_SERVER: Json = {
    **dict.fromkeys(_NOTHING),
    "region": "us-west",
    "afk_timeout": 300,
    "system_channel_flags": 0,
    "widget_enabled": False,
    "verification_level": 0,
    "default_message_notifications": 1,
    "mfa_level": 0,
    "explicit_content_filter": 0,
    "max_members": 500_000,
    "max_stage_video_channel_users": 50,
    "max_video_channel_users": 25,
    "premium_subscription_count": 0,
    "premium_progress_bar_enabled": False,
    "preferred_locale": "en-US",
    "nsfw": False,
    "nsfw_level": 0,
    "features": [],
    "emojis": [],
    "stickers": [],
}
"""What the API's guild object has for a server that nobody has changed."""


@dataclass(frozen=True)
class Event:
    """Something that happened; `message` is the message it is about, as it stands."""

    name: str
    data: Json
    channel: Channel | None = None
    message: Message | None = None
    only_for: int | None = None
    """The only person who gets it."""
    guild_id: int | None = None
    """The server, for what happens in no channel."""


class World:
    """The state, kept in a folder, and the bus of what happens to it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "discord.sqlite3")
        self._subscribers: list[Callable[[Event], None]] = []
        self._load_identity()
        self.files = Files(folder, self.secret)
        self.messages: dict[int, Message] = {}
        self.interactions: dict[int, Interaction] = {}
        self.commands: list[Json] = [data for _, found in self.store.load("commands") for data in found]
        self.command_permissions: dict[int, dict[int, bool]] = {}
        """By command and member: what the server's settings allow or deny, whatever the command asks for."""
        self.syncs = 0
        """How often the commands were replaced."""
        self.message_content = False
        """Whether the application has the message content intent."""
        self.premium_tier = 0
        self.server_limit: int | None = None
        """How many bytes a file may have on the server, in place of what the tier gives."""
        self._load_people()
        self._load_messages()

    # What is kept

    def _load_identity(self) -> None:
        known: dict[int, Json] = dict(self.store.load("identity"))
        if not known:
            known = {1: {"guild": snowflake(), "bot": snowflake(), "bot_role": snowflake(), "owner": snowflake()}}
            known[1]["secret"] = secrets.token_urlsafe(16)
            self.store.save("identity", 1, known[1])
        self.secret: str = known[1]["secret"]
        self.guild_id: int = known[1]["guild"]
        self._ids = known[1]

    def _load_people(self) -> None:
        self.roles = {number: store.role_from(number, record) for number, record in self.store.load("role")}
        self.users = {number: store.user_from(number, record) for number, record in self.store.load("user")}
        if not self.roles:
            self.add_role(Role("@everyone", MEMBER, self.guild_id))
            self.add_role(Role("Painter", BOT, self._ids["bot_role"], managed=True))
            self.add_user(User("Painter", True, self._ids["bot"], [self._ids["bot_role"]]))
            self.add_user(User("owner", id=self._ids["owner"]))
        self.bot = self.users[self._ids["bot"]]
        self.owner = self.users[self._ids["owner"]]
        self.channels: dict[int, Channel] = {}
        for number, record in self.store.load("channel"):  # by id: a thread is younger than its channel
            self.channels[number] = store.channel_from(number, record, self.users, self.channels)

    def _load_messages(self) -> None:
        for number, record in self.store.load("message"):
            self.messages[number] = store.message_from(number, record, self.users, self.channels, self.files)
        for number, record in self.store.load("interaction"):
            known = store.interaction_from(number, record, self.users, self.channels, self.messages)
            self.interactions[number] = known
        self._forget_interactions(time.monotonic())
        for number, message in list(self.messages.items()):
            # Without its interaction's token nobody can finish the one or change the other any more.
            passing = message.flags & LOADING or message.ephemeral
            if passing and (message.asked is None or message.asked.id not in self.interactions):
                self.store.remove("message", number)
                del self.messages[number]
        shown = {attachment.path for message in self.messages.values() for attachment in message.attachments}
        sent = {path for interaction in self.interactions.values() for path in _sent_files(interaction)}
        for path in set(self.files.stored()) - shown - sent:
            self.files.remove(path)

    def _forget_interactions(self, now: float) -> None:
        old = [known.id for known in self.interactions.values() if now - known.created > _TOKEN_SECONDS]
        for number in old:
            del self.interactions[number]
            self.store.remove("interaction", number)

    def keep_interaction(self, interaction: Interaction) -> None:
        """Keep what has become of an interaction up to now."""
        self.interactions[interaction.id] = interaction
        self.store.save("interaction", interaction.id, store.interaction_record(interaction))

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    # What happens

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call `callback`, which must not block, with every event; return what ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def emit(self, event: Event) -> None:
        """Send everybody an event."""
        for callback in list(self._subscribers):
            callback(event)

    def changed(self, message: Message, event: str) -> None:
        """Keep a message as it now stands, and emit that."""
        only_for = message.asked.user.id if message.ephemeral and message.asked is not None else None
        self.store.save("message", message.id, store.message_record(message))
        self.messages[message.id] = message
        self.emit(Event(event, {}, message.channel, message, only_for))

    def react(self, message: Message, user: User, emoji: str, *, add: bool) -> None:
        """Add or take away somebody's reaction, and emit that if it changes anything."""
        users = message.reactions.setdefault(emoji, [])
        if (user.id in users) is add:
            return
        (users.append if add else users.remove)(user.id)
        if not users:
            del message.reactions[emoji]
        self.store.save("message", message.id, store.message_record(message))
        data: Json = {
            "user_id": str(user.id),
            "channel_id": str(message.channel.id),
            "message_id": str(message.id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
        }
        if add:
            data["message_author_id"] = str(message.author.id)
        if message.channel.guild_id is not None:
            data["guild_id"] = str(message.channel.guild_id)
            data |= {"member": user.member()} if add else {}
        self.emit(Event(f"MESSAGE_REACTION_{'ADD' if add else 'REMOVE'}", data, message.channel, message))

    def delete(self, message: Message) -> None:
        """Delete a message with its files, and emit that."""
        message.deleted = True
        self.store.remove("message", message.id)
        self.delete_files(message, {attachment.path for attachment in message.attachments})
        data: Json = {"id": str(message.id), "channel_id": str(message.channel.id)}
        if message.channel.guild_id is not None:
            data["guild_id"] = str(message.channel.guild_id)
        only_for = message.asked.user.id if message.ephemeral and message.asked is not None else None
        self.emit(Event("MESSAGE_DELETE", data, message.channel, message, only_for))

    def delete_files(self, message: Message, paths: set[str]) -> None:
        """Remove files that a message does not show any more, once nobody can still be fetching them."""

        def remove() -> None:
            for path in paths:
                self.files.remove(path)

        if paths:
            asyncio.get_running_loop().call_later(_REPLACED_SECONDS, remove)

    def replace_commands(self, commands: list[Json]) -> None:
        """Take the bot's commands in place of all earlier ones."""
        self.syncs += 1
        self.commands = commands
        self.store.save("commands", 1, commands)
        self.emit(Event("APPLICATION_COMMANDS_UPDATE", {}))

    def begin(self, interaction: Interaction) -> None:
        """Remember an interaction until its token is void, and send it to the bot."""
        self._forget_interactions(interaction.created)
        self.keep_interaction(interaction)
        self.emit(Event("INTERACTION_CREATE", interaction.payload, interaction.channel))

    # Who and where

    @property
    def application_id(self) -> int:
        """The bot's application, which has the bot's own id."""
        return self.bot.id

    def add_user(self, user: User) -> User:
        """Let somebody join."""
        self.users[user.id] = user
        self.store.save("user", user.id, store.user_record(user))
        return user

    def add_role(self, role: Role) -> Role:
        """Make a role, or change one."""
        event = "GUILD_ROLE_UPDATE" if role.id in self.roles else "GUILD_ROLE_CREATE"
        self.roles[role.id] = role
        self.store.save("role", role.id, store.role_record(role))
        self.emit(Event(event, {"guild_id": str(self.guild_id), "role": role.json()}, guild_id=self.guild_id))
        return role

    def user(self, name: str) -> User:
        """Return the person of this name, who comes into being when first named."""
        return next((user for user in self.users.values() if user.name == name), None) or self.add_user(User(name))

    def user_by_id(self, user_id: int) -> User:
        """Return somebody; raise `Refused`."""
        if user_id not in self.users:
            raise unknown(10013, "User")
        return self.users[user_id]

    def add_channel(self, channel: Channel) -> Channel:
        """Open a channel, or change one."""
        event = "CHANNEL_UPDATE" if channel.id in self.channels else "CHANNEL_CREATE"
        self.keep_channel(channel)
        if channel.guild_id is not None:
            self.emit(Event(event, channel.json(), channel))
        return channel

    def keep_channel(self, channel: Channel) -> None:
        """Keep a channel as it now stands."""
        self.channels[channel.id] = channel
        self.store.save("channel", channel.id, store.channel_record(channel))

    def direct(self, user: User) -> Channel:
        """Return the direct messages between the bot and somebody."""
        known = next((channel for channel in self.channels.values() if channel.recipient is user), None)
        return known or self.add_channel(Channel("", None, user))

    def channel(self, channel_id: int) -> Channel:
        """Return a channel; raise `Refused`."""
        channel = self.channels.get(channel_id)
        if channel is None or channel.deleted or (isinstance(channel, Thread) and channel.parent.deleted):
            raise unknown(10003, "Channel")
        return channel

    def message(self, channel_id: int, message_id: int, viewer: User | None = None) -> Message:
        """Return a message that everybody sees, or that `viewer` does; raise `Refused`."""
        channel = self.channel(channel_id)
        message = self.messages.get(message_id)
        if message is None or message.deleted or message.channel is not channel or not _sees(message, viewer):
            raise unknown(10008, "Message")
        return message

    def in_channel(self, channel: Channel, viewer: User | None = None) -> list[Message]:
        """List what everybody sees there, and what `viewer` does, oldest first."""
        there = [m for m in self.messages.values() if m.channel is channel and not m.deleted]
        return [message for message in there if _sees(message, viewer)]

    def permissions(self, user: User, channel: Channel) -> Permission:
        """Compute what somebody may do in a channel."""
        if channel.guild_id is None:
            return DIRECT if user in (self.bot, channel.recipient) else Permission(0)
        roles = [self.guild_id, *user.roles]
        base = base_permissions((self.roles[role].permissions for role in roles), owner=user is self.owner)
        if not isinstance(channel, Thread):
            return in_channel(base, channel.overwrites, self.guild_id, roles, user.id)
        sending = Permission.SEND_MESSAGES_IN_THREADS
        granted = in_channel(base, channel.parent.overwrites, self.guild_id, roles, user.id, sending)
        if channel.private and user.id not in channel.members and Permission.MANAGE_THREADS not in granted:
            return Permission(0)
        return granted

    def upload_limit(self, channel: Channel) -> int:
        """Return how many bytes the files of a message may have in a channel."""
        if self.server_limit is not None:
            return self.server_limit
        return _SERVER_LIMITS[0 if channel.guild_id is None else self.premium_tier] * 2**20

    def guild_json(self) -> Json:
        """Return the API's guild object, as a bot gets it that starts."""
        there = [c for c in self.channels.values() if c.guild_id is not None and not c.deleted]
        threads = [thread for thread in there if isinstance(thread, Thread) and not thread.archived]
        seen = [thread for thread in threads if Permission.VIEW_CHANNEL in self.permissions(self.bot, thread)]
        return {
            "id": str(self.guild_id),
            "name": "Local server",
            "owner_id": str(self.owner.id),
            "unavailable": False,
            **_PLAIN_SERVER,
            "roles": [role.json() for role in self.roles.values()],
            "channels": [channel.json() for channel in there if not isinstance(channel, Thread)],
            "members": [self.bot.member()],
            "member_count": len(self.users),
            "premium_tier": self.premium_tier,
            "threads": [thread.json(self.bot) for thread in seen],
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
        }


def _sent_files(interaction: Interaction) -> list[str]:
    """List the paths of the files that came with an interaction."""
    sent: Json = interaction.payload["data"].get("resolved", {}).get("attachments", {})
    return [urlsplit(file["url"]).path.removeprefix("/cdn/") for file in sent.values()]


def _sees(message: Message, viewer: User | None) -> bool:
    if not message.flags & EPHEMERAL:
        return True
    return viewer is not None and message.asked is not None and message.asked.user is viewer
