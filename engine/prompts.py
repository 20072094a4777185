"""The prompt language: one grammar for the command line and for Discord."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Prompt(BaseModel):
    """Hold one target of the loss: a text or a picture, how strongly it pulls, and when it stops pulling."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["text", "image"] = "text"
    content: str = Field(min_length=1)
    """The text, or the path of the picture."""
    weight: float = 1.0
    """Negative pushes away."""
    stop: float | None = None
    """Cutouts nearer to the target than this (squared spherical distance, 0 to 4.93) are left alone; None: never."""
