"""What a painter is handed: a job with the bytes of all that it needs, and what is wanted of it meanwhile."""

import queue
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.prompts import Prompt
from engine.spec import PaintingSpec

Inputs = Mapping[str, bytes]
"""The contents of files, by the names that a spec or a prompt calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Hold everything that a painter has to know of a job."""

    job_id: str
    attempt: int
    """Which start of the job this is; comes back with every event."""
    spec: PaintingSpec
    """Its paths are names in `inputs`."""
    inputs: Inputs = field(default_factory=dict)
    checkpoint: bytes | None = None
    notices: tuple[str, ...] = ()
    """What the requester is to know already."""


@dataclass(frozen=True, slots=True)
class Steer:
    """Hold other prompts for a painting under way."""

    prompts: tuple[Prompt, ...]
    inputs: Inputs = field(default_factory=dict)
    """Of the prompts that are pictures."""


@dataclass(slots=True)
class Controls:
    """Hold what is wanted of the painting under way; looked at between two steps. Plain fields, each set in one go."""

    preview_wanted: bool = True
    steer: Steer | None = None
    """Paint towards these prompts from now on."""
    end: Literal["", "keep", "drop", "leave"] = ""
    """keep: finish with the picture so far. drop: give up. leave: checkpoint, to go on at the next start."""


@dataclass(frozen=True, slots=True)
class Control:
    """Set one field of the `Controls` of a job, if that is the one being painted."""

    job_id: str
    name: Literal["preview_wanted", "steer", "end"]
    value: object


class Inbox:
    """Take orders and controls from any thread, and give the orders to the one that paints."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[Order, Controls] | None] = queue.SimpleQueue()
        self._latest: tuple[str, Controls] = ("", Controls())

    def put(self, message: Order | Control | None) -> None:
        """Take an order, a control of the order before, or None: no more will come. Not for two threads at once."""
        if isinstance(message, Control):
            job_id, controls = self._latest
            if job_id == message.job_id:
                setattr(controls, message.name, message.value)
        elif message is None:
            self._orders.put(None)
        else:
            self._latest = message.job_id, Controls()
            self._orders.put((message, self._latest[1]))

    def get(self) -> tuple[Order, Controls] | None:
        """Wait for the next order and its controls; None: there is none any more."""
        return self._orders.get()
