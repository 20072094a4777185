"""People, channels, messages and interactions, and how each looks as JSON."""

import time
from dataclasses import dataclass, field
from typing import Any

from local_discord import components as parts
from local_discord.files import Attachment
from local_discord.ids import Json, iso, moment, snowflake
from local_discord.permissions import Overwrite, Permission

EPHEMERAL, LOADING, COMPONENTS_V2, HAS_SNAPSHOT, HAS_THREAD = 1 << 6, 1 << 7, 1 << 15, 1 << 14, 1 << 5
_PUBLIC_THREAD, _PRIVATE_THREAD = 11, 12
_WEEK = 10_080
"""Minutes after which a thread leaves the list of channels."""
_MOST_COUNTED = 50
"""Members of a thread that are counted."""
_REPLY, _COMMAND, _MENU = 19, 20, 23
_USE, _PRESS, _FORM = 2, 3, 5


@dataclass(eq=False)
class Role:
    """A role of the server; @everyone has the server's id."""

    name: str
    permissions: Permission
    id: int = field(default_factory=snowflake)
    managed: bool = False

    def json(self) -> Json:
        """Return the API's role object."""
        return {
            "id": str(self.id),
            "name": self.name,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "description": None,
            "icon": None,
            "unicode_emoji": None,
            "hoist": False,
            "position": 0 if self.name == "@everyone" else 1,
            "permissions": str(int(self.permissions)),
            "managed": self.managed,
            "mentionable": False,
            "flags": 0,
        }


@dataclass(eq=False)
class User:
    """A person, or the bot."""

    name: str
    bot: bool = False
    id: int = field(default_factory=snowflake)
    roles: list[int] = field(default_factory=list)
    upload_limit: int = 0
    """How many bytes a paid subscription lets this person upload; 0: no more than the server does."""
    direct_closed: bool = False
    """Takes no direct messages from the bot."""

    def json(self) -> Json:
        """Return the API's user object."""
        return {
            "id": str(self.id),
            "username": self.name,
            "discriminator": "0",
            "global_name": self.name,
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
            "flags": 0,
            "primary_guild": None,
        }

    def member(self) -> Json:
        """Return the API's guild member object."""
        return {
            "user": self.json(),
            "roles": [str(role) for role in self.roles],
            "joined_at": iso(0),
            "deaf": False,
            "mute": False,
            "flags": 0,
            "nick": None,
            "avatar": None,
            "banner": None,
            "premium_since": None,
            "pending": False,
            "communication_disabled_until": None,
        }


@dataclass(eq=False)
class Channel:
    """A text channel of the server, or a direct message between the bot and one person."""

    name: str
    guild_id: int | None
    recipient: User | None = None
    id: int = field(default_factory=snowflake)
    topic: str | None = None
    position: int = 0
    nsfw: bool = False
    overwrites: dict[int, Overwrite] = field(default_factory=dict)
    deleted: bool = False

    def json(self, viewer: User | None = None) -> Json:
        """Return the API's channel object, as `viewer` gets it."""
        if self.recipient is not None:
            recipients = [self.recipient.json()]
            return {"id": str(self.id), "type": 1, "recipients": recipients, "last_message_id": None, "flags": 0}
        return {
            "id": str(self.id),
            "type": 0,
            "guild_id": str(self.guild_id),
            "name": self.name,
            "position": self.position,
            "permission_overwrites": [overwrite.json() for overwrite in self.overwrites.values()],
            "nsfw": self.nsfw,
            "topic": self.topic,
            "last_message_id": None,
            "parent_id": None,
            "rate_limit_per_user": 0,
            "flags": 0,
        }


@dataclass(eq=False, kw_only=True)
class Thread(Channel):
    """A thread: a channel inside another one (developers/topics/threads). `position` and `overwrites` are not used."""

    parent: Channel
    owner: User
    private: bool = False
    archived: bool = False
    """Nothing in it can be changed; a message opens it again, unless it is locked."""
    locked: bool = False
    """Only who may manage threads writes in it."""
    archive_changed: float = field(default_factory=time.time)
    members: dict[int, float] = field(default_factory=dict)
    """When each of its members joined, by their ids."""
    sent: int = 0
    """How many messages were ever sent in it."""

    def json(self, viewer: User | None = None) -> Json:
        """Return the API's channel object; with the thread member object of `viewer`, who may be a member."""
        data: Json = {
            "id": str(self.id),
            "type": _PRIVATE_THREAD if self.private else _PUBLIC_THREAD,
            "guild_id": str(self.guild_id),
            "parent_id": str(self.parent.id),
            "owner_id": str(self.owner.id),
            "name": self.name,
            "last_message_id": None,
            "rate_limit_per_user": 0,
            "message_count": self.sent,
            "total_message_sent": self.sent,
            "member_count": min(len(self.members), _MOST_COUNTED),
            "thread_metadata": self._metadata(),
            "flags": 0,
        }
        if viewer is not None and viewer.id in self.members:
            data["member"] = self.member(viewer)
        return data

    def member(self, user: User) -> Json:
        """Return the API's thread member object of one who is in it."""
        joined = iso(self.members[user.id])
        return {"id": str(self.id), "user_id": str(user.id), "join_timestamp": joined, "flags": 0}

    def _metadata(self) -> Json:
        data: Json = {
            "archived": self.archived,
            "archive_timestamp": iso(self.archive_changed),
            "auto_archive_duration": _WEEK,
            "locked": self.locked,
            "create_timestamp": iso(moment(self.id)),
        }
        return data | ({"invitable": True} if self.private else {})


@dataclass(eq=False)
class Message:
    """One message as it stands; `edits` counts how often it was changed."""

    channel: Channel
    author: User
    flags: int = 0
    content: str = ""
    nonce: str | int | None = None
    reference: Json | None = None
    snapshots: list[Json] = field(default_factory=list)
    """What a forwarded message was, as it stood then."""
    asked: "Asked | None" = None
    """The interaction that it answers."""
    mentions: tuple[int, ...] = ()
    """Who was really pinged: named in the text and allowed to be."""
    id: int = field(default_factory=snowflake)
    created: float = field(default_factory=time.time)
    edited: float | None = None
    edits: int = 0
    deleted: bool = False
    attachments: list[Attachment] = field(default_factory=list)
    """All files, those that components and embeds show among them."""
    components: list[Json] = field(default_factory=list)
    embeds: list[Json] = field(default_factory=list)
    reactions: dict[str, list[int]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All words in it, wherever they stand."""
        return "\n".join(
            [self.content, *(part["content"] for part in parts.walk(self.components) if part["type"] == 10)]
        )

    @property
    def buttons(self) -> list[str]:
        """The custom_ids of its buttons and menus."""
        return [part["custom_id"] for part in parts.walk(self.components) if "custom_id" in part]

    @property
    def files(self) -> list[str]:
        """The names of all its files."""
        return [attachment.filename for attachment in self.attachments]

    @property
    def ephemeral(self) -> bool:
        """Return whether only one person sees it."""
        return bool(self.flags & EPHEMERAL)

    @property
    def type(self) -> int:
        """The API's message type."""
        if self.asked is not None and self.asked.kind == 2:
            return _MENU if self.asked.menu else _COMMAND
        return _REPLY if self.reference is not None and self.reference["type"] == 0 else 0

    def json(self, viewer: User | None = None) -> Json:
        """Return the API's message object, reactions as `viewer` (the author if not given) sees them."""
        data = self.snapshot() | {
            "id": str(self.id),
            "channel_id": str(self.channel.id),
            "author": self.author.json(),
            "tts": False,
            "mention_everyone": False,
            "pinned": False,
            "reactions": self._reactions((viewer or self.author).id),
        }
        if self.nonce is not None:
            data["nonce"] = self.nonce
        if self.reference is not None:
            data["message_reference"] = self.reference
        if self.snapshots:
            data["message_snapshots"] = [{"message": snapshot} for snapshot in self.snapshots]
        if self.asked is not None:
            data |= self.asked.json()
        return data

    def snapshot(self) -> Json:
        """Return the fields that a forwarded copy keeps."""
        addresses = {f"attachment://{attachment.filename}": attachment for attachment in self.attachments}
        shown: set[int] = set()
        return {
            "type": self.type,
            "content": self.content,
            "components": parts.resolved(self.components, addresses, shown),
            "embeds": parts.resolved_embeds(self.embeds, addresses, shown),
            "attachments": [a.json() for a in self.attachments if a.id not in shown],
            "timestamp": iso(self.created),
            "edited_timestamp": None if self.edited is None else iso(self.edited),
            "flags": self.flags,
            "mentions": [],
            "mention_roles": [],
        }

    def _reactions(self, viewer: int) -> list[Json]:
        return [
            {
                "emoji": {"id": None, "name": emoji},
                "count": len(users),
                "count_details": {"burst": 0, "normal": len(users)},
                "me": viewer in users,
                "me_burst": False,
                "burst_colors": [],
            }
            for emoji, users in self.reactions.items()
            if users
        ]


@dataclass(frozen=True)
class Asked:
    """The interaction that a message answers, as it is in the message."""

    id: int
    kind: int
    user: User
    name: str | None = None
    menu: bool = False
    pressed_on: int | None = None
    """The message whose button was pressed, for this or for the form that was sent."""

    def json(self) -> Json:
        """Return the fields of a message about it."""
        who = {"id": str(self.id), "type": self.kind, "user": self.user.json()}
        data: Json = {"interaction_metadata": self._metadata(self.kind)}
        if self.name is not None:
            data["interaction_metadata"]["name"] = self.name
            data["interaction"] = who | {"name": self.name}
        return data

    def _metadata(self, kind: int) -> Json:
        own: Json = {"id": str(self.id), "type": kind, "user": self.user.json(), "authorizing_integration_owners": {}}
        if kind == _PRESS:
            own["interacted_message_id"] = str(self.pressed_on)
        elif kind == _FORM:
            own["triggering_interaction_metadata"] = self._metadata(_USE if self.pressed_on is None else _PRESS)
        return own


@dataclass(eq=False)
class Interaction:
    """Something a person did, and what the bot made of it."""

    payload: Json
    channel: Channel
    user: User
    token: str
    limit: int = 10 * 2**20
    """How many bytes its answers may bring."""
    created: float = field(default_factory=time.monotonic)
    expired: bool = False
    answered: float | None = None
    """Seconds until the first answer."""
    failed: bool = False
    """No answer came in time."""
    kind: int | None = None
    """The type of the first answer: 4 message, 5 "thinking", 6 nothing to see, 7 an edit, 8 choices, 9 a form."""
    modal: Json | None = None
    choices: list[Json] | None = None
    response: Message | None = None
    followups: list[Message] = field(default_factory=list)
    source: Message | None = None
    """The message whose button was pressed."""

    @property
    def id(self) -> int:
        """Its snowflake."""
        return int(self.payload["id"])

    @property
    def type(self) -> int:
        """2 command, 3 component, 4 autocomplete, 5 form."""
        return self.payload["type"]

    @property
    def asked(self) -> Asked:
        """What its answers say of it."""
        data: dict[str, Any] = self.payload["data"]
        return Asked(
            self.id, self.type, self.user, data.get("name"), data.get("type") in (2, 3), self.source and self.source.id
        )

    @property
    def said(self) -> str:
        """All that the person was shown, whichever way."""
        messages = ([self.response] if self.response else []) + self.followups
        return "\n".join(message.text for message in messages)
