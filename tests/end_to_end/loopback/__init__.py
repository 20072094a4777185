"""A Discord on 127.0.0.1: gateway and REST over real sockets, and everything that can go wrong with them."""

from tests.end_to_end.loopback.faults import Fault, answer, disconnect, hold, late, reset
from tests.end_to_end.loopback.patience import until
from tests.end_to_end.loopback.server import TOKEN, Loopback
from tests.end_to_end.loopback.world import Interaction, Message

__all__ = [
    "TOKEN",
    "Fault",
    "Interaction",
    "Loopback",
    "Message",
    "answer",
    "disconnect",
    "hold",
    "late",
    "reset",
    "until",
]
