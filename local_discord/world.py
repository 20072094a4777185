"""What this Discord remembers: people, channels, messages and interactions, and how each looks as JSON."""

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_EPOCH = 1_420_070_400_000
EVERYTHING = str((1 << 50) - 1)
"""All permissions."""
EPHEMERAL = 1 << 6
_ids = itertools.count(1)

Json = dict[str, Any]


def snowflake() -> int:
    """Draw an id that holds the present moment, as Discord's do."""
    return (int(time.time() * 1000) - _EPOCH) << 22 | next(_ids) & 0x3FFFFF


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


@dataclass(eq=False)
class User:
    name: str
    bot: bool = False
    id: int = field(default_factory=snowflake)

    def json(self) -> Json:
        return {
            "id": str(self.id),
            "username": self.name,
            "discriminator": "0",
            "global_name": self.name,
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
        }

    def member(self) -> Json:
        return {
            "user": self.json(),
            "roles": [],
            "joined_at": stamp(0),
            "deaf": False,
            "mute": False,
            "flags": 0,
            "nick": None,
            "avatar": None,
        }


@dataclass(eq=False)
class Channel:
    name: str
    guild_id: int | None
    recipient: User | None = None
    id: int = field(default_factory=snowflake)
    deleted: bool = False
    archived: bool = False
    """Like a thread that nobody has written in for long: no edits; a message opens it again, unless it is locked."""
    locked: bool = False

    def json(self) -> Json:
        if self.recipient is not None:
            return {"id": str(self.id), "type": 1, "recipients": [self.recipient.json()], "last_message_id": None}
        return {
            "id": str(self.id),
            "type": 0,
            "guild_id": str(self.guild_id),
            "name": self.name,
            "position": 0,
            "permission_overwrites": [],
            "nsfw": False,
            "topic": None,
            "last_message_id": None,
            "parent_id": None,
            "rate_limit_per_user": 0,
            "permissions": EVERYTHING,
        }


@dataclass(eq=False)
class Attachment:
    filename: str
    content: bytes
    description: str | None
    url: str
    id: int

    def json(self) -> Json:
        return {
            "id": str(self.id),
            "filename": self.filename,
            "description": self.description,
            "size": len(self.content),
            "url": self.url,
            "proxy_url": self.url,
            "content_type": "application/octet-stream",
        }


@dataclass(eq=False)
class Message:
    """One message as it stands; `edits` counts how often it was changed."""

    channel: Channel
    author: User
    flags: int = 0
    content: str = ""
    nonce: str | None = None
    reference: Json | None = None
    mentions: tuple[int, ...] = ()
    """Who was really pinged: named in the text and allowed to be."""
    id: int = field(default_factory=snowflake)
    created: float = field(default_factory=time.time)
    edited: float | None = None
    edits: int = 0
    deleted: bool = False
    attachments: list[Attachment] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    reactions: dict[str, list[int]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All words in it, wherever they stand."""
        return "\n".join([self.content, *(part["content"] for part in walk(self.components) if part["type"] == 10)])

    @property
    def buttons(self) -> list[str]:
        """The custom_ids of its buttons."""
        return [part["custom_id"] for part in walk(self.components) if "custom_id" in part]

    @property
    def files(self) -> list[str]:
        return [attachment.filename for attachment in self.attachments]

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    def json(self) -> Json:
        reactions = [
            {
                "emoji": {"id": None, "name": emoji},
                "count": len(users),
                "count_details": {"burst": 0, "normal": len(users)},
                "me": False,
                "me_burst": False,
                "burst_colors": [],
            }
            for emoji, users in self.reactions.items()
        ]
        data = {
            "id": str(self.id),
            "channel_id": str(self.channel.id),
            "author": self.author.json(),
            "type": 19 if self.reference else 0,
            "content": self.content,
            "timestamp": stamp(self.created),
            "edited_timestamp": None if self.edited is None else stamp(self.edited),
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [attachment.json() for attachment in self.attachments],
            "embeds": [],
            "pinned": False,
            "components": self._resolved(),
            "flags": self.flags,
            "reactions": reactions,
        }
        if self.nonce is not None:
            data["nonce"] = self.nonce
        if self.reference is not None:
            data["message_reference"] = self.reference
        return data

    def _resolved(self) -> list[Json]:
        """Return the components with `attachment://` names as addresses, as Discord hands them out."""
        addresses = {f"attachment://{attachment.filename}": attachment.url for attachment in self.attachments}

        def resolve(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: resolve(part) for key, part in value.items()}
            if isinstance(value, list):
                return [resolve(part) for part in value]
            return addresses.get(value, value) if isinstance(value, str) else value

        return [{"id": number, **resolve(part)} for number, part in enumerate(self.components, start=1)]


@dataclass(eq=False)
class Interaction:
    """Something a person did, and what the bot made of it."""

    payload: Json
    channel: Channel
    token: str
    created: float = field(default_factory=time.monotonic)
    expired: bool = False
    answered: float | None = None
    """Seconds until the first answer."""
    kind: int | None = None
    """The type of the first answer: 4 message, 5 "thinking", 6 nothing to see, 9 a form."""
    modal: Json | None = None
    choices: list[Json] | None = None
    response: Message | None = None
    followups: list[Message] = field(default_factory=list)

    @property
    def id(self) -> int:
        return int(self.payload["id"])

    @property
    def said(self) -> str:
        """All that the person was told, whichever way."""
        messages = ([self.response] if self.response else []) + self.followups
        return "\n".join(message.text for message in messages)


class Fail(Exception):  # noqa: N818, it is an answer, not a fault
    """Discord's no: an HTTP status with one of its own codes."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class World:
    """Everything there is: one guild, its channels, people, direct messages."""

    def __init__(self) -> None:
        self.bot = User("painter", bot=True)
        self.guild_id = snowflake()
        self.owner = User("owner")
        self.users: dict[int, User] = {self.bot.id: self.bot, self.owner.id: self.owner}
        self.channels: dict[int, Channel] = {}
        self.messages: dict[int, Message] = {}
        self.interactions: dict[int, Interaction] = {}
        self.commands: list[Json] = []
        self.syncs = 0
        """How often the commands were replaced."""
        self.uploads: dict[str, bytes] = {}
        """What the CDN holds, by path."""

    @property
    def application_id(self) -> int:
        return self.bot.id

    def user(self, name: str) -> User:
        """Return the person of this name, who comes into being when first named."""
        known = next((user for user in self.users.values() if user.name == name), None)
        return known or self.users.setdefault((made := User(name)).id, made)

    def add_channel(self, name: str) -> Channel:
        return self.channels.setdefault((channel := Channel(name, self.guild_id)).id, channel)

    def direct(self, user: User) -> Channel:
        known = next((channel for channel in self.channels.values() if channel.recipient is user), None)
        return known or self.channels.setdefault((made := Channel("", None, user)).id, made)

    def channel(self, channel_id: int) -> Channel:
        channel = self.channels.get(channel_id)
        if channel is None or channel.deleted:
            raise Fail(404, 10003, "Unknown Channel")
        return channel

    def message(self, channel_id: int, message_id: int) -> Message:
        channel = self.channel(channel_id)
        message = self.messages.get(message_id)
        if message is None or message.deleted or message.channel is not channel or message.ephemeral:
            raise Fail(404, 10008, "Unknown Message")
        return message

    def in_channel(self, channel: Channel) -> list[Message]:
        """List what everybody sees there, oldest first."""
        return [m for m in self.messages.values() if m.channel is channel and not m.deleted and not m.ephemeral]

    def guild_json(self) -> Json:
        everyone = {
            "id": str(self.guild_id),
            "name": "@everyone",
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "position": 0,
            "permissions": EVERYTHING,
            "managed": False,
            "mentionable": False,
            "flags": 0,
        }
        channels = [c.json() for c in self.channels.values() if c.guild_id is not None and not c.deleted]
        return {
            "id": str(self.guild_id),
            "name": "Atelier",
            "owner_id": str(self.owner.id),
            "unavailable": False,
            "roles": [everyone],
            "channels": channels,
            "members": [self.bot.member()],
            "member_count": len(self.users),
            "premium_tier": 0,
            "preferred_locale": "en-US",
            "features": [],
            "emojis": [],
            "stickers": [],
            "threads": [],
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
        }


def walk(value: Any) -> Iterator[Json]:
    """Yield every component in a tree of them."""
    if isinstance(value, dict):
        if "type" in value:
            yield value
        for part in value.values():
            yield from walk(part)
    elif isinstance(value, list):
        for part in value:
            yield from walk(part)


def pinged(text: str, allowed: Json | None) -> tuple[int, ...]:
    """Tell who a text pings under `allowed_mentions`."""
    named = [int(user_id) for user_id in re.findall(r"<@!?(\d+)>", text)]
    if allowed is None or "users" in allowed.get("parse", []):
        return tuple(named)
    permitted = {int(user_id) for user_id in allowed.get("users", [])}
    return tuple(user_id for user_id in named if user_id in permitted)
