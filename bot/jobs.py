"""`Job`: a row of the ledger, its states, and the specs of follow-up jobs."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from engine.prompts import Prompt
from engine.spec import Extend, PaintingSpec

_CELL, _LEAST_SIDE = 16, 64
"""Pixels: what every generator's cells divide, and the side below which a picture shows nothing."""

Kind = Literal["imagine", "edit", "blend", "rerun", "remix", "vary", "refine", "timelapse", "zoom", "pan", "animate"]

VARIATION = 0.1
"""Share of the latent's cells that a variation starts anew."""


class JobState(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    RENDERED = "rendered"
    """Its picture is on disk; its channel has not shown it yet."""
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    FAILED = "failed"


TERMINAL = frozenset({JobState.DELIVERED, JobState.CANCELLED, JobState.FAILED})

COMES_FROM: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(),
    JobState.RUNNING: frozenset({JobState.QUEUED}),
    JobState.RENDERED: frozenset({JobState.RUNNING}),
    JobState.DELIVERED: frozenset({JobState.RENDERED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED, JobState.RUNNING}),
    JobState.FAILED: frozenset({JobState.QUEUED, JobState.RUNNING}),
}
"""From which states each state may be reached. Nothing leaves a terminal one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request, before it is a row of the ledger."""

    interaction_id: int
    """Discord's id of the interaction, or `reaction_key`: the same one twice is the same job."""
    kind: Kind
    spec: PaintingSpec
    prompt: str
    """The words as they were typed."""
    user_id: int
    guild_id: int | None
    channel_id: int
    parent_id: str | None = None
    notify: bool = False
    """Mention the requester when the picture is done."""
    once: bool = False
    """Answer with the unfinished job of the same user, parent and kind, if there is one."""
    notices: tuple[str, ...] = ()
    """What is said under the picture from the beginning."""
    role_ids: tuple[int, ...] = ()
    parent_channel_id: int | None = None
    """The channel that the thread belongs to, where `channel_id` is a thread."""

    @property
    def requester(self) -> "Requester":
        """Name who asks, and where."""
        return Requester(self.user_id, self.guild_id, self.channel_id, self.role_ids, self.parent_channel_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row of the ledger. Times are unix seconds."""

    id: str
    interaction_id: int
    kind: Kind
    spec: PaintingSpec
    """Paths in it are relative to the data folder."""
    prompt: str
    user_id: int
    guild_id: int | None
    channel_id: int
    message_id: int | None
    parent_id: str | None
    state: JobState
    notify: bool
    error: str | None
    """One sentence for the requester of a failed job."""
    notices: tuple[str, ...]
    created_at: float
    started_at: float | None
    finished_at: float | None
    delivered_at: float | None
    """When the channel showed how the job ended, whatever the end."""
    step: int
    """The last checkpointed step, or the last painted one once there is a picture."""
    attempts: int
    """How often it was started; the number of its latest start."""
    forgiven: int
    """How many of these starts saved some progress, or ended as they should: they do not count against the job."""
    seconds: float | None
    """How long the painting took."""
    device: str | None
    """The chip that painted it last."""
    deleted_at: float | None
    """When somebody had it deleted: its words, picture and inputs are gone, and it is shown to nobody."""

    @property
    def crashes(self) -> int:
        """Count the starts since the last progress that was saved."""
        return self.attempts - self.forgiven

    @property
    def finished(self) -> bool:
        """Return whether no work is left but the delivery."""
        return self.state in TERMINAL or self.state is JobState.RENDERED


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks, in which guild and channel, with which roles."""

    user_id: int
    guild_id: int | None
    channel_id: int
    role_ids: tuple[int, ...] = ()
    parent_channel_id: int | None = None
    """The channel that the thread belongs to, where `channel_id` is a thread."""


def new_job_id() -> str:
    """Draw an id of 8 letters and digits (40 random bits, base32)."""
    return base64.b32encode(secrets.token_bytes(5)).decode().lower()


def reaction_key(message_id: int, user_id: int, emoji: str, occasion: int = 0) -> int:
    """Return a negative number in place of the interaction id, which reactions do not have."""
    digest = hashlib.blake2b(f"{message_id}:{user_id}:{emoji}:{occasion}".encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest) >> 1)


def cost_key(spec: PaintingSpec) -> str:
    """Return a key of everything that decides the time per step: equal keys take about equally long."""
    perceptors = "+".join(choice.name for choice in spec.perceptors)
    pixels = f"{spec.width}x{spec.height}" + (f"x{spec.count}" if spec.count > 1 else "")
    return f"{spec.generator} {pixels} {perceptors} {spec.cutouts.count * spec.count}"


def smaller(spec: PaintingSpec) -> PaintingSpec | None:
    """Ask for the same painting on about half the area, in whole cells of any latent; None when it is small already."""
    width, height = (round(side * 0.5**0.5 / _CELL) * _CELL for side in (spec.width, spec.height))
    return None if min(width, height) < _LEAST_SIDE else spec.but(width=width, height=height)


def still(spec: PaintingSpec) -> PaintingSpec:
    """Ask for the picture of an animation alone."""
    if spec.motion is None:
        return spec
    prompts = tuple(prompt.model_copy(update={"since": None}) for prompt in spec.prompts)
    return spec.but(motion=None, steps=spec.motion.begin, prompts=prompts)


def rerun(parent: PaintingSpec, seed: int) -> PaintingSpec:
    """Ask for the same painting from another seed."""
    return parent.but(seed=seed)


def vary(parent: PaintingSpec, seed: int, latent: str, picture: str) -> PaintingSpec:
    """Continue from the parent's end with another seed and part of its latent drawn anew.

    `latent` and `picture` are the parent's. A painting from nothing goes on from the latent; an edit from the picture,
    since its mask needs one.
    """
    return still(parent).but(
        seed=seed,
        init_image=picture if parent.init_image is not None else None,
        init_latent=latent if parent.init_image is None else None,
        init_noise=VARIATION,
        edit_from=None,  # the picture shows the edit by now
        edit_start="original",
        extend=None,
        steps=max(1, still(parent).steps // 2),
    )


def refine(parent: PaintingSpec, picture: str, largest_side: int, most_steps: int) -> PaintingSpec:
    """Paint the parent's picture on, twice as large and for half as many steps more, within the limits given."""
    scale = min(2.0, largest_side / max(parent.width, parent.height))
    parent = still(parent)
    return parent.but(
        init_image=picture,
        init_latent=None,
        init_noise=0.0,
        edit_from=None,  # the picture shows the edit by now
        edit_start="original",
        extend=None,
        width=max(32, round(parent.width * scale)),
        height=max(32, round(parent.height * scale)),
        steps=max(1, min(most_steps, parent.steps * 3 // 2)),
        strength=min(parent.strength, 0.6),
        learning_rate=parent.learning_rate / 2,
    )


ZOOMS: Mapping[str, Extend] = {
    "zoom-out": Extend(left=0.25, up=0.25, right=0.25, down=0.25),
    "zoom-out-far": Extend(left=0.5, up=0.5, right=0.5, down=0.5),
    "pan-left": Extend(left=0.5),
    "pan-up": Extend(up=0.5),
    "pan-down": Extend(down=0.5),
    "pan-right": Extend(right=0.5),
}
"""What zooming out and panning add to a picture."""


OUTPAINT_STRENGTH = 0.8
"""How far what is new may leave the colours that go on from the picture's borders."""


def extended(parent: PaintingSpec, picture: str, extend: Extend, seed: int, largest_side: int) -> PaintingSpec:
    """Paint what lies around the parent's picture, on a larger canvas of at most `largest_side` pixels."""
    parent = still(parent)
    width, height = grown(parent.width, parent.height, extend, largest_side)
    return parent.but(
        prompts=tuple(prompt.model_copy(update={"where": "everywhere"}) for prompt in parent.prompts),
        init_image=picture,
        extend=extend,
        width=width,
        height=height,
        seed=seed,
        start="noise",
        candidates=1,
        coarse=0.0,
        init_latent=None,
        init_noise=0.0,
        edit_from=None,
        edit_start="original",
        mask=None,
        mask_text=None,
        strength=OUTPAINT_STRENGTH,
        tile=False,
    )


def grown(width: int, height: int, extend: Extend, largest_side: int) -> tuple[int, int]:
    """Return the size of an extended canvas, in whole cells of any latent."""
    wide, high = width * (1 + extend.left + extend.right), height * (1 + extend.up + extend.down)
    scale = min(1.0, largest_side / max(wide, high))
    return max(32, int(wide * scale) // _CELL * _CELL), max(32, int(high * scale) // _CELL * _CELL)


def words_of(spec: PaintingSpec, prompt: str = "") -> str:
    """Return all the words that a painting follows, as one text: those typed, and those that the spec holds."""
    texts = [choice.content for choice in spec.prompts if choice.kind == "text"]
    return "\n".join((prompt, " ".join(texts), spec.edit_from or "", spec.mask_text or ""))


def without_content(spec: PaintingSpec) -> PaintingSpec:
    """Return the spec without anything that a person wrote or sent."""
    return spec.but(
        prompts=(Prompt(content="deleted"),),
        init_image=None,
        init_pixels=0.0,
        init_embedding=0.0,
        init_latent=None,
        init_noise=0.0,
        mask=None,
        mask_text=None,
        edit_from=None,
        extend=None,
    )
