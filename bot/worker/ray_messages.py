"""What the bot and its Ray driver say to each other: small records that go through a pipe."""

from dataclasses import dataclass

from bot.worker.events import PainterEvent
from bot.worker.orders import Control, Order
from engine.devices import Device


@dataclass(frozen=True, slots=True)
class Joined:
    """A painter is ready, for the first time or again after `Left`."""

    key: int
    device: Device
    node: str
    pid: int


@dataclass(frozen=True, slots=True)
class Left:
    """A painter broke down, and its job with it; `for_good`: its GPU is not in the cluster any more."""

    key: int
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event of the painter's job."""

    key: int
    event: PainterEvent
    attempt: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The painter's order is worked off."""

    key: int


@dataclass(frozen=True, slots=True)
class ToPainter:
    """An order or a control for a painter."""

    key: int
    message: Order | Control


@dataclass(frozen=True, slots=True)
class EndHung:
    """The painter is silent for too long: let Ray end it and start it anew."""

    key: int


FromDriver = Joined | Left | Emitted | Finished
ToDriver = ToPainter | EndHung
