"""Checks of what the gateway sends: the objects inside events, against the schemas that Discord's description has."""

from collections.abc import Iterator
from typing import Any

from local_discord.ids import Json
from tests.end_to_end.loopback.description import description

_EACH = "*"
_MESSAGE = (((), "MessageResponse"), (("member",), "BasicGuildMemberResponse"))
_REACTION = (("emoji",), "MessageReactionEmojiResponse"), (("member",), "GuildMemberResponse")
_CHANNELS = {0: "GuildChannelResponse", 1: "PrivateChannelResponse", 11: "ThreadResponse", 12: "ThreadResponse"}
"""By a channel's type."""
_OBJECTS: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    # by event: where in its data which object stands, where it stands there
    "READY": ((("user",), "UserResponse"),),
    "GUILD_CREATE": (
        ((), "GuildResponse"),
        (("channels", _EACH), "GuildChannelResponse"),
        (("threads", _EACH), "ThreadResponse"),
        (("members", _EACH), "GuildMemberResponse"),
    ),
    "GUILD_ROLE_CREATE": ((("role",), "GuildRoleResponse"),),
    "GUILD_ROLE_UPDATE": ((("role",), "GuildRoleResponse"),),
    "CHANNEL_CREATE": (((), "GuildChannelResponse"),),
    "CHANNEL_UPDATE": (((), "GuildChannelResponse"),),
    "THREAD_CREATE": (((), "ThreadResponse"),),
    "THREAD_UPDATE": (((), "ThreadResponse"),),
    "THREAD_MEMBER_UPDATE": (((), "ThreadMemberResponse"),),
    "THREAD_MEMBERS_UPDATE": ((("added_members", _EACH), "ThreadMemberResponse"),),
    "MESSAGE_CREATE": _MESSAGE,
    "MESSAGE_UPDATE": _MESSAGE,
    "MESSAGE_REACTION_ADD": _REACTION,
    "MESSAGE_REACTION_REMOVE": _REACTION,
    "TYPING_START": ((("member",), "GuildMemberResponse"),),
    "INTERACTION_CREATE": (
        (("member",), "GuildMemberResponse"),
        (("user",), "UserResponse"),
        (("message",), "MessageResponse"),
        (("data", "resolved"), "ResolvedObjectsResponse"),
        (("data", "resolved", "attachments", _EACH), "AttachmentResponse"),
        (("data", "resolved", "messages", _EACH), "MessageResponse"),
    ),
}
_NO_OBJECTS = {"RESUMED", "MESSAGE_DELETE", "THREAD_DELETE"}


def dispatch_complaints(event: str, data: Json) -> Iterator[str]:
    """Say what is wrong with an event's data."""
    if event not in _OBJECTS and event not in _NO_OBJECTS:
        yield f"nobody says what is in {event}"
    objects = [(found, schema) for where, schema in _OBJECTS.get(event, ()) for found in _at(data, where)]
    if event == "INTERACTION_CREATE":
        objects.append((data["channel"], _CHANNELS[data["channel"]["type"]]))
    for found, schema in objects:
        complaint = description().object_complaint(schema, found)
        if complaint is not None:
            yield f"{event}: {complaint}"


def _at(value: Any, where: tuple[str, ...]) -> Iterator[Any]:
    """Yield what stands at a place, of which a list or a mapping of ids may have several; nothing where it is not."""
    if not where:
        yield value
    elif where[0] == _EACH:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _at(part, where[1:])
    elif where[0] in value:
        yield from _at(value[where[0]], where[1:])
