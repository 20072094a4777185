"""A Discord on 127.0.0.1: REST v10 and the gateway over real sockets, for people and for tests."""

from local_discord.errors import Refused
from local_discord.objects import Channel, Interaction, Message, Thread, User
from local_discord.server import TOKEN, LocalDiscord

__all__ = ["TOKEN", "Channel", "Interaction", "LocalDiscord", "Message", "Refused", "Thread", "User"]
