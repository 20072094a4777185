"""What administrators set for their guild and people for themselves: models, storage, defaults of requests."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.options import Defaults, configured_defaults
from bot.queue.database import Database
from bot.settings import ModelSettings

WHOLE_PROCESS = 0
"""The guild id under which pause and drain hold for every guild and for direct messages."""

MOST_BLOCKED_WORDS = 200
"""Of one guild."""

_Cap = Annotated[int, Field(ge=0, le=10_000)]


class GuildSettings(BaseModel):
    """Hold one guild's overrides; None means what config.yaml says. Its limits hold where they are the lower ones."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a row written by a later version still loads

    paused: bool = False
    """Requests are taken, but none is started."""
    draining: bool = False
    """No requests are taken; what waits is still painted."""
    per_user: _Cap | None = None
    per_guild: _Cap | None = None
    per_role: dict[int, _Cap] = {}
    """Role id to unfinished jobs; a member gets the highest of their roles', and it replaces `per_user`."""
    cooldown_seconds: Annotated[float, Field(ge=0, le=86_400)] | None = None
    """Between two requests of one person."""
    per_day: _Cap | None = None
    """Requests of one person in 24 hours."""
    per_day_per_role: dict[int, _Cap] = {}
    """Role id to requests in 24 hours; a member gets the highest of their roles', and it replaces `per_day`."""
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


class Preferences:
    """Read and write what guilds and people have set."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def guild(self, guild_id: int) -> GuildSettings:
        """Return a guild's own overrides."""
        rows = await self._database.read("SELECT settings FROM guild_settings WHERE guild_id = ?", (guild_id,))
        return GuildSettings.model_validate_json(rows[0][0]) if rows else GuildSettings()

    async def guild_in_effect(self, guild_id: int | None) -> GuildSettings:
        """Return what holds in a guild, or in direct messages (None), under the whole process's pause and drain."""
        whole = await self.guild(WHOLE_PROCESS)
        own = GuildSettings() if guild_id is None else await self.guild(guild_id)
        return own.model_copy(update={"paused": own.paused or whole.paused, "draining": own.draining or whole.draining})

    async def all_guilds(self) -> dict[int, GuildSettings]:
        """Return every guild's own overrides."""
        rows = await self._database.read("SELECT guild_id, settings FROM guild_settings")
        return {guild_id: GuildSettings.model_validate_json(settings) for guild_id, settings in rows}

    async def paused_guilds(self) -> frozenset[int]:
        """Return the ids of the guilds that are paused, `WHOLE_PROCESS` among them when everything is."""
        return frozenset(guild_id for guild_id, own in (await self.all_guilds()).items() if own.paused)

    async def change_guild(self, guild_id: int, **changes: object) -> GuildSettings:
        """Change some of a guild's overrides; return them all. Raises `pydantic.ValidationError` for invalid values."""
        own = GuildSettings.model_validate({**(await self.guild(guild_id)).model_dump(), **changes})
        await self._database.write(
            "INSERT OR REPLACE INTO guild_settings VALUES (?, ?)", (guild_id, own.model_dump_json())
        )
        return own

    async def user(self, user_id: int) -> UserSettings:
        """Return a person's defaults."""
        rows = await self._database.read("SELECT settings FROM user_settings WHERE user_id = ?", (user_id,))
        return UserSettings.model_validate_json(rows[0][0]) if rows else UserSettings()

    async def save_user(self, user_id: int, settings: UserSettings) -> None:
        """Replace a person's defaults."""
        await self._database.write(
            "INSERT OR REPLACE INTO user_settings VALUES (?, ?)", (user_id, settings.model_dump_json())
        )


def defaults_for(user: UserSettings, guild: GuildSettings, models: ModelSettings) -> Defaults:
    """Return what holds where a person's options say nothing: their own defaults, the guild's, the configuration's."""
    configured = configured_defaults(models)
    return Defaults(
        preset=user.preset or guild.preset or configured.preset,
        generator=guild.generator or configured.generator,
        size=user.size or guild.size or configured.size,
        suffix=user.suffix,
        count=configured.count,
    )
