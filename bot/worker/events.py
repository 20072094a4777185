"""Events, from painters to the queue and from the queue to its subscribers: small frozen records."""

from dataclasses import dataclass
from pathlib import Path

FROM_SPOILER_NOTICE = "Made from a spoiler: it shows when you click it."
"""The notice under a picture whose start or mask was hidden as a spoiler."""
SPOILER_NOTICE = "This picture may not be for everybody: it shows when you click it."
"""The notice under a picture that the check found wanting; what carries it is hidden as a spoiler."""
HIDING_NOTICES = frozenset({FROM_SPOILER_NOTICE, SPOILER_NOTICE})
"""What carries one of these is hidden until somebody clicks it, and so is what is made from it."""


@dataclass(frozen=True, slots=True)
class Started:
    """A job is being painted; `step` is above 0 when it goes on from a checkpoint."""

    job_id: str
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class GpuUsage:
    """How busy a GPU is."""

    load: float
    """Share of the time that it computes, from 0 to 1."""
    memory: int
    """Bytes taken, by whomever."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Some steps are done. Sent a few times a second at most."""

    job_id: str
    step: int
    steps: int
    per_second: float
    """Steps per second, lately."""
    seconds_left: float
    loss: float
    preview: bytes | None = None
    """A JPEG, only when one was asked for."""
    gpu: GpuUsage | None = None
    """The painter's, where that can be asked for."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A painter's: all that it takes to go on from `step`."""

    job_id: str
    step: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """The queue's: the painting up to `step` would survive the process."""

    job_id: str
    step: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A painter's: one picture of the time-lapse, a JPEG."""

    job_id: str
    step: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Shrunk:
    """Memory ran out: the painting begins again at another size."""

    job_id: str
    width: int
    height: int
    notices: tuple[str, ...]
    """All that the requester is to know so far."""


@dataclass(frozen=True, slots=True)
class Painted:
    """A painter's: the final pictures, PNGs that carry their specs, and their latents, safetensors files."""

    job_id: str
    pictures: tuple[bytes, ...]
    latents: tuple[bytes, ...]
    seconds: float
    step: int
    """The last step painted: fewer than asked for when somebody stopped it."""
    notices: tuple[str, ...] = ()
    """Sentences for the requester: words cut off, memory that had to be saved."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The queue's: the final pictures, or the film, lie on disk."""

    job_id: str
    picture: Path
    """The only one, or the first."""
    seconds: float
    step: int
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ended without a picture; `sentence` says why, for the requester."""

    job_id: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job was called off; or, with `back_soon`, the process ends and the job goes on at the next start."""

    job_id: str
    back_soon: bool = False


PainterEvent = Started | Progress | Checkpoint | Frame | Shrunk | Painted | Failed | Stopped
Event = Started | Progress | Checkpointed | Shrunk | Rendered | Failed | Stopped
"""What the queue publishes, once the ledger holds what it says."""
