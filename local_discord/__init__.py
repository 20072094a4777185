"""A Discord on 127.0.0.1: REST v10 and the gateway over real sockets, for people and for tests."""

from local_discord.server import TOKEN, LocalDiscord
from local_discord.world import Channel, Interaction, Message, User

__all__ = ["TOKEN", "Channel", "Interaction", "LocalDiscord", "Message", "User"]
