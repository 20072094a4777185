"""The person behind an interaction or reaction, and the permissions in the channel."""

from dataclasses import dataclass
from typing import Any

import discord

from bot.jobs import Job, Requester
from bot.refusals import Refusal

NEEDED = {
    "view_channel": "see this channel",
    "send_messages": "write here",
    "attach_files": "attach files here",
    "embed_links": "embed links here",
    "read_message_history": "read the message history here",
    "add_reactions": "add reactions here",
}
"""What painting in a channel takes, and how to say that it is missing."""
INVITED = discord.Permissions(send_messages_in_threads=True, **dict.fromkeys(NEEDED, True))
"""What a server is asked for; a test holds the README to it."""


@dataclass(frozen=True, slots=True)
class Person:
    """Hold who asks, what they may do in the channel they ask in, and what the bot lacks there."""

    requester: Requester
    permissions: discord.Permissions
    missing: tuple[str, ...]
    member: discord.Member | None = None
    """None in direct messages."""

    def require_channel_permissions(self) -> None:
        """Raise `Refusal` unless the bot may paint in this channel."""
        if self.missing:
            raise Refusal(f"I may not {_listed(self.missing)}; ask a moderator to allow it, or try another channel.")


def person_of(interaction: discord.Interaction[Any]) -> Person:
    """Describe the person behind an interaction."""
    user, channel = interaction.user, interaction.channel
    member = user if isinstance(user, discord.Member) else None
    assert interaction.channel_id is not None
    thread = isinstance(channel, discord.Thread)
    in_guild = interaction.guild_id is not None
    return Person(
        Requester(user.id, interaction.guild_id, interaction.channel_id, _roles(member), _parent(channel)),
        permissions=interaction.permissions if in_guild else discord.Permissions.none(),
        missing=missing(interaction.app_permissions, thread=thread) if in_guild else (),
        member=member,
    )


def person_of_reaction(client: discord.Client, event: discord.RawReactionActionEvent) -> Person | None:
    """Describe the person behind a reaction; None when the bot cannot see its channel."""
    if event.guild_id is None:
        return Person(Requester(event.user_id, None, event.channel_id), discord.Permissions.none(), missing=())
    guild = client.get_guild(event.guild_id)
    channel = guild.get_channel_or_thread(event.channel_id) if guild is not None else None
    if guild is None or channel is None or event.member is None:
        return None
    thread = isinstance(channel, discord.Thread)
    return Person(
        Requester(event.user_id, event.guild_id, event.channel_id, _roles(event.member), _parent(channel)),
        permissions=channel.permissions_for(event.member),
        missing=missing(channel.permissions_for(guild.me), thread=thread),
        member=event.member,
    )


async def permissions_where_painted(client: discord.Client, person: Person, job: Job) -> discord.Permissions:
    """Return what a person may do in the job's own channel: nothing where they cannot see it.

    Asked from another server or in direct messages, that is nothing: no command there shows what happens in a server.
    """
    requester, none = person.requester, discord.Permissions.none()
    if job.guild_id is None or job.guild_id != requester.guild_id or person.member is None:
        return none
    if job.channel_id == requester.channel_id:
        return person.permissions
    guild = client.get_guild(job.guild_id)
    channel = guild.get_channel_or_thread(job.channel_id) if guild is not None else None
    if channel is None:
        return none
    try:
        permissions = channel.permissions_for(person.member)
        if isinstance(channel, discord.Thread) and channel.is_private() and not permissions.manage_threads:
            await channel.fetch_member(requester.user_id)
    except (discord.HTTPException, discord.ClientException):  # no member; a thread whose channel is unknown
        return none
    return permissions if permissions.view_channel else none


def missing(permissions: discord.Permissions, *, thread: bool) -> tuple[str, ...]:
    """List, in words, the permissions that the bot lacks in a channel."""
    names = dict(NEEDED)
    if thread:
        names["send_messages_in_threads"] = names.pop("send_messages")
    return tuple(words for name, words in names.items() if not getattr(permissions, name))


def _listed(words: tuple[str, ...]) -> str:
    return " or ".join((", ".join(words[:-1]), *words[-1:])) if len(words) > 1 else "".join(words)


def _roles(member: discord.Member | None) -> tuple[int, ...]:
    return tuple(role.id for role in member.roles) if member is not None else ()


def _parent(channel: object) -> int | None:
    return channel.parent_id if isinstance(channel, discord.Thread) else None
