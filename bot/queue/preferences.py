"""What administrators set for their guild and people for themselves; kept in the ledger."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.options import Defaults, configured_defaults
from bot.settings import ModelSettings

WHOLE_PROCESS = 0
"""The guild id under which pause and drain hold for every guild and for direct messages."""

_Cap = Annotated[int, Field(ge=0, le=10_000)]


class GuildSettings(BaseModel):
    """Hold one guild's overrides; None means what config.yaml says."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a row written by a later version still loads

    paused: bool = False
    """Requests are taken, but none is started."""
    draining: bool = False
    """No requests are taken; what waits is still painted."""
    per_user: _Cap | None = None
    per_guild: _Cap | None = None
    per_role: dict[int, _Cap] = {}
    """Role id to unfinished jobs; a member gets the highest of their roles', and it replaces `per_user`."""
    channels_allowed: frozenset[int] = frozenset()
    """Empty: everywhere."""
    channels_denied: frozenset[int] = frozenset()
    blocked_words: frozenset[str] = frozenset()
    blocked_users: frozenset[int] = frozenset()
    preset: str | None = None
    size: str | None = None
    """As people type it: `512x384`."""
    generator: str | None = None


class UserSettings(BaseModel):
    """Hold one person's defaults; None means the guild's, then the configuration's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    preset: str | None = None
    size: str | None = None
    suffix: str = Field(default="", max_length=500)
    """Added to each of their prompts."""
    notify: bool = False
    """Mention them when a picture is done."""


def defaults_for(user: UserSettings, guild: GuildSettings, models: ModelSettings) -> Defaults:
    """Return what holds where a person's options say nothing: their own defaults, the guild's, the configuration's."""
    configured = configured_defaults(models)
    return Defaults(
        preset=user.preset or guild.preset or configured.preset,
        generator=guild.generator or configured.generator,
        size=user.size or guild.size or configured.size,
        suffix=user.suffix,
    )
