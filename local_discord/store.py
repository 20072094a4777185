"""What outlives the process: one SQLite file that holds every object as a JSON document."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from local_discord.files import Attachment, Files
from local_discord.ids import Json, moment
from local_discord.objects import Asked, Channel, Interaction, Message, Role, Thread, User
from local_discord.permissions import Overwrite, Permission

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (kind TEXT NOT NULL, id INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (kind, id))
WITHOUT ROWID
"""


class Store:
    """Documents by kind and id. Each change is written at once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; a power cut, seconds
        self._connection.execute(_SCHEMA)

    def save(self, kind: str, number: int, data: Any) -> None:
        """Keep a document, in place of an earlier one of this id."""
        self._connection.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", (kind, number, json.dumps(data)))

    def remove(self, kind: str, number: int) -> None:
        """Forget a document."""
        self._connection.execute("DELETE FROM objects WHERE kind = ? AND id = ?", (kind, number))

    def load(self, kind: str) -> list[tuple[int, Any]]:
        """List the documents of a kind by id."""
        rows = self._connection.execute("SELECT id, data FROM objects WHERE kind = ? ORDER BY id", (kind,))
        return [(number, json.loads(data)) for number, data in rows]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def user_record(user: User) -> Json:
    """Write a person down."""
    return {"name": user.name, "bot": user.bot, "roles": user.roles}


def user_from(number: int, record: Json) -> User:
    """Read a person."""
    return User(record["name"], record["bot"], number, record["roles"])


def role_record(role: Role) -> Json:
    """Write a role down."""
    return {"name": role.name, "permissions": int(role.permissions), "managed": role.managed}


def role_from(number: int, record: Json) -> Role:
    """Read a role."""
    return Role(record["name"], Permission(record["permissions"]), number, record["managed"])


def channel_record(channel: Channel) -> Json:
    """Write a channel down."""
    thread = {"thread": _thread_record(channel)} if isinstance(channel, Thread) else {}
    return thread | {
        "name": channel.name,
        "guild": channel.guild_id,
        "recipient": None if channel.recipient is None else channel.recipient.id,
        "topic": channel.topic,
        "position": channel.position,
        "nsfw": channel.nsfw,
        "overwrites": [
            [one.target_id, one.member, int(one.allow), int(one.deny)] for one in channel.overwrites.values()
        ],
    }


def channel_from(number: int, record: Json, users: dict[int, User], channels: dict[int, Channel]) -> Channel:
    """Read a channel; a thread's own channel is in `channels` already."""
    if (thread := record.get("thread")) is not None:
        own = {name: thread[name] for name in _THREAD}
        owner, parent = users[thread["owner"]], channels[thread["parent"]]
        members = {int(member): joined for member, joined in thread["members"].items()}
        return Thread(
            record["name"], record["guild"], id=number, nsfw=record["nsfw"], parent=parent, owner=owner,
            members=members, **own,
        )  # fmt: skip
    overwrites = {
        target: Overwrite(target, member=member, allow=allow, deny=deny)
        for target, member, allow, deny in record["overwrites"]
    }
    recipient = None if record["recipient"] is None else users[record["recipient"]]
    own = {name: record[name] for name in ("topic", "position", "nsfw")}
    return Channel(record["name"], record["guild"], recipient, number, overwrites=overwrites, **own)


_THREAD = ("private", "archived", "locked", "archive_changed", "sent")


def _thread_record(thread: Thread) -> Json:
    own = {name: getattr(thread, name) for name in _THREAD}
    return own | {"parent": thread.parent.id, "owner": thread.owner.id, "members": thread.members}


def message_record(message: Message) -> Json:
    """Write a message down."""
    asked = message.asked
    return {
        "channel": message.channel.id,
        "author": message.author.id,
        "asked": None if asked is None else _asked_record(asked),
        "attachments": [_attachment_record(attachment) for attachment in message.attachments],
        "mentions": list(message.mentions),
        **{name: getattr(message, name) for name in _PLAIN},
    }


_PLAIN = (
    "flags", "content", "nonce", "reference", "snapshots", "created", "edited", "edits", "components", "embeds",
    "reactions",
)  # fmt: skip


def message_from(
    number: int, record: Json, users: dict[int, User], channels: dict[int, Channel], files: Files
) -> Message:
    """Read a message."""
    asked = record["asked"]
    return Message(
        channels[record["channel"]],
        users[record["author"]],
        id=number,
        asked=None if asked is None else _asked_from(asked, users),
        attachments=[_attachment_from(one, files) for one in record["attachments"]],
        mentions=tuple(record["mentions"]),
        **{name: record[name] for name in _PLAIN},
    )


def _asked_record(asked: Asked) -> list[Any]:
    return [asked.id, asked.kind, asked.user.id, asked.name, asked.menu, asked.pressed_on]


def _asked_from(record: list[Any], users: dict[int, User]) -> Asked:
    number, kind, who, *others = record
    return Asked(number, kind, users[who], *others)


def _attachment_record(attachment: Attachment) -> list[Any]:
    return [
        attachment.filename,
        attachment.path,
        attachment.id,
        attachment.size,
        attachment.description,
        attachment.spoiler,
        attachment.size_in_pixels,
    ]


def _attachment_from(record: list[Any], files: Files) -> Attachment:
    filename, path, number, size, description, spoiler, pixels = record
    return Attachment(filename, path, number, size, files, description, spoiler, tuple(pixels) if pixels else None)


_ANSWERS = ("token", "limit", "kind", "answered", "expired", "failed", "modal", "choices")


def interaction_record(interaction: Interaction) -> Json:
    """Write down what was asked, and what has become of it."""
    return {
        "payload": interaction.payload,
        "channel": interaction.channel.id,
        "user": interaction.user.id,
        "response": interaction.response and interaction.response.id,
        "followups": [message.id for message in interaction.followups],
        "source": interaction.source and interaction.source.id,
        **{name: getattr(interaction, name) for name in _ANSWERS},
    }


def interaction_from(
    number: int, record: Json, users: dict[int, User], channels: dict[int, Channel], messages: dict[int, Message]
) -> Interaction:
    """Read an interaction; its age goes on where it was."""
    return Interaction(
        record["payload"],
        channels[record["channel"]],
        users[record["user"]],
        created=time.monotonic() - (time.time() - moment(number)),
        response=messages.get(record["response"]),
        followups=[messages[message] for message in record["followups"] if message in messages],
        source=messages.get(record["source"]),
        **{name: record[name] for name in _ANSWERS},
    )
