"""What a message may consist of: the rules of Create Message and Edit Message."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from local_discord import components as parts
from local_discord import threads
from local_discord.errors import Refused, invalid, missing_permissions
from local_discord.files import Attachment
from local_discord.ids import Json
from local_discord.objects import COMPONENTS_V2, LOADING, Channel, Message, Thread, User
from local_discord.permissions import Permission
from local_discord.world import World

_MOST_CONTENT, _MOST_FILES, _MOST_REQUEST = 2000, 10, 25 * 2**20


@dataclass(frozen=True)
class NewFile:
    """A file that came with a request, at its place among the request's files."""

    filename: str
    content: bytes


def fill(world: World, message: Message, body: Json, files: Sequence[NewFile], limit: int) -> set[str]:
    """Change a message as a body says; return the paths of files it lost. Raise `Refused`, having changed nothing."""
    _check_size(files, limit)
    flags = message.flags & ~LOADING | body.get("flags", 0) & COMPONENTS_V2
    v2 = bool(flags & COMPONENTS_V2)
    components = message.components if body.get("components") is None else parts.numbered(body["components"])
    content = message.content if "content" not in body else body["content"] or ""
    embeds = message.embeds if body.get("embeds") is None else body["embeds"]
    if v2 and (content or embeds):
        raise invalid("content and embeds cannot be used with MessageFlags.IS_COMPONENTS_V2")
    if len(content) > _MOST_CONTENT:
        raise invalid(f"content has at most {_MOST_CONTENT} characters")
    parts.check(components, v2=v2)
    kept = _kept(message, body)
    names = [attachment.filename for attachment in kept] + [file.filename for file in files]
    components = _check_media(components, embeds, names, kept)
    if not (content or components or embeds or names):
        raise Refused(400, 50006, "Cannot send an empty message")
    lost = {attachment.path for attachment in message.attachments} - {attachment.path for attachment in kept}
    _describe(kept, body)
    message.attachments = kept + _stored(world, message.channel, body, files)
    message.flags, message.content, message.components, message.embeds = flags, content, components, embeds
    message.mentions = pinged(message.text, body.get("allowed_mentions"))
    return lost


def may_send(world: World, author: User, channel: Channel, body: Json, *, files: bool, reply: bool) -> None:
    """Refuse what somebody may not post in a channel; raise `Refused`."""
    granted = world.permissions(author, channel)
    if Permission.VIEW_CHANNEL not in granted:
        raise Refused(403, 50001, "Missing Access")
    needed = Permission.SEND_MESSAGES_IN_THREADS if isinstance(channel, Thread) else Permission.SEND_MESSAGES
    if files:
        needed |= Permission.ATTACH_FILES
    if body.get("embeds"):
        needed |= Permission.EMBED_LINKS
    if needed not in granted:
        raise missing_permissions()
    if reply and Permission.READ_MESSAGE_HISTORY not in granted:
        raise Refused(400, 160002, "Cannot reply without permission to read message history")
    if channel.recipient is not None and channel.recipient.direct_closed and author.bot:
        raise Refused(403, 50007, "Cannot send messages to this user")
    threads.check(world, author, channel, writing=True)


def post(world: World, message: Message, *, joins: bool = True) -> None:
    """Let a message appear; `joins`: its author becomes a member of the thread that it is in."""
    threads.before_message(world, message)
    world.changed(message, "MESSAGE_CREATE")
    threads.after_message(world, message, joins=joins)


def pinged(text: str, allowed: Json | None) -> tuple[int, ...]:
    """Return whom a text pings under `allowed_mentions`."""
    named = [int(user_id) for user_id in re.findall(r"<@!?(\d+)>", text)]
    if allowed is None or "users" in allowed.get("parse", []):
        return tuple(named)
    permitted = {int(user_id) for user_id in allowed.get("users", [])}
    return tuple(user_id for user_id in named if user_id in permitted)


def _check_size(files: Sequence[NewFile], limit: int) -> None:
    if len(files) > _MOST_FILES:
        raise invalid(f"at most {_MOST_FILES} files")
    if any(len(file.content) > limit for file in files) or sum(len(file.content) for file in files) > _MOST_REQUEST:
        raise Refused(413, 40005, "Request entity too large")


def _kept(message: Message, body: Json) -> list[Attachment]:
    """Return the files that stay: all if the body has no list of them, else those it lists."""
    entries = body.get("attachments")
    listed = {int(entry["id"]) for entry in entries or ()}
    return [attachment for attachment in message.attachments if entries is None or attachment.id in listed]


def _describe(kept: list[Attachment], body: Json) -> None:
    """Note what a body says of files that stay."""
    listed = {int(entry["id"]): entry for entry in body.get("attachments") or ()}
    for attachment in kept:
        entry = listed.get(attachment.id, {})
        attachment.description = entry.get("description", attachment.description)
        attachment.spoiler = entry.get("is_spoiler", attachment.spoiler)


def _stored(world: World, channel: Channel, body: Json, files: Sequence[NewFile]) -> list[Attachment]:
    listed = {int(entry["id"]): entry for entry in body.get("attachments") or ()}
    stored = []
    for number, file in enumerate(files):
        entry = listed.get(number, {})
        spoiler = bool(entry.get("is_spoiler"))
        stored.append(
            world.files.store(channel.id, file.filename, file.content, entry.get("description"), spoiler=spoiler)
        )
    return stored


def _check_media(components: list[Json], embeds: list[Json], names: list[str], kept: list[Attachment]) -> list[Json]:
    """Refuse media that are not there; return the components with the addresses of kept files as their names again."""
    own = {attachment.url.partition("?")[0]: f"attachment://{attachment.filename}" for attachment in kept}
    for item in parts.media(components):
        item["url"] = own.get(item["url"].partition("?")[0], item["url"])
    wanted = {item["url"] for item in parts.media(components)}
    wanted |= {embed[name]["url"] for embed in embeds for name in ("image", "thumbnail") if name in embed}
    missing = {url for url in wanted if url.startswith("attachment://")} - {f"attachment://{name}" for name in names}
    if missing:
        raise invalid(f"no such attachment: {', '.join(sorted(missing))}")
    return components
