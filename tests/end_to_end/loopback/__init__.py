"""The local Discord, and everything that can go wrong with it."""

from local_discord import TOKEN, Channel, Interaction, Message, User
from tests.end_to_end.loopback.faults import Fault, answer, applied, disconnect, hold, late, reset
from tests.end_to_end.loopback.loopback import Loopback
from tests.end_to_end.loopback.patience import HurriedAsyncio, until

__all__ = [
    "TOKEN",
    "Channel",
    "Fault",
    "HurriedAsyncio",
    "Interaction",
    "Loopback",
    "Message",
    "User",
    "answer",
    "applied",
    "disconnect",
    "hold",
    "late",
    "reset",
    "until",
]
