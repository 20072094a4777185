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
    """A requester, whether they moderate the channel, and which permissions the bot lacks in it."""

    requester: Requester
    moderates: bool
    missing: tuple[str, ...]

    def require_channel_permissions(self) -> None:
        """Raise `Refusal` unless the bot may paint in this channel."""
        if self.missing:
            raise Refusal(f"I may not {_listed(self.missing)}; ask a moderator to allow it, or try another channel.")

    def require_control(self, job: Job) -> None:
        """Raise `Refusal` unless this person may stop, steer or delete `job`."""
        moderates = self.moderates and job.guild_id is not None and job.guild_id == self.requester.guild_id
        if job.user_id != self.requester.user_id and not moderates:
            raise Refusal("Only the person who asked for this picture, or a moderator, can do that.")


def person_of(interaction: discord.Interaction[Any]) -> Person:
    """Describe the person behind an interaction."""
    user = interaction.user
    roles = tuple(role.id for role in user.roles) if isinstance(user, discord.Member) else ()
    assert interaction.channel_id is not None
    thread = isinstance(interaction.channel, discord.Thread)
    in_guild = interaction.guild_id is not None
    return Person(
        Requester(user.id, interaction.guild_id, interaction.channel_id, roles),
        moderates=in_guild and interaction.permissions.manage_messages,
        missing=missing(interaction.app_permissions, thread=thread) if in_guild else (),
    )


def person_of_reaction(client: discord.Client, event: discord.RawReactionActionEvent) -> Person | None:
    """Describe the person behind a reaction; None when the bot cannot see its channel."""
    if event.guild_id is None:
        return Person(Requester(event.user_id, None, event.channel_id), moderates=False, missing=())
    guild = client.get_guild(event.guild_id)
    channel = guild.get_channel_or_thread(event.channel_id) if guild is not None else None
    if guild is None or channel is None or event.member is None:
        return None
    roles = tuple(role.id for role in event.member.roles)
    thread = isinstance(channel, discord.Thread)
    return Person(
        Requester(event.user_id, event.guild_id, event.channel_id, roles),
        moderates=channel.permissions_for(event.member).manage_messages,
        missing=missing(channel.permissions_for(guild.me), thread=thread),
    )


def missing(permissions: discord.Permissions, *, thread: bool) -> tuple[str, ...]:
    """List, in words, the permissions that the bot lacks in a channel."""
    names = dict(NEEDED)
    if thread:
        names["send_messages_in_threads"] = names.pop("send_messages")
    return tuple(words for name, words in names.items() if not getattr(permissions, name))


def _listed(words: tuple[str, ...]) -> str:
    return " or ".join((", ".join(words[:-1]), *words[-1:])) if len(words) > 1 else "".join(words)
