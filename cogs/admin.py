"""/admin: what holds in one server, for the people who manage it."""

from collections.abc import Iterable, Mapping
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.available_models import require_generator, usual_generator
from bot.chat import content
from bot.chat.client import PaintingBot
from bot.chat.components import note
from bot.escaping import plain
from bot.options import parse_size
from bot.queue.limits import duration
from bot.queue.preferences import MOST_BLOCKED_WORDS, GuildSettings
from bot.refusals import Refusal
from bot.settings import LimitSettings, Settings
from cogs.options import Model, Preset, Size

_Cap = app_commands.Range[int, 0, 10_000]
_MOST_OF_A_LIST, _MOST_OF_WORDS = 380, 1100
"""Characters: Discord takes 4000 of a whole message."""
_Word = app_commands.Range[str, 2, 100]
_Channel = discord.TextChannel | discord.Thread | discord.VoiceChannel


@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
@app_commands.default_permissions(manage_guild=True)
class Admin(
    commands.GroupCog,
    group_name="admin",
    group_description="Pause, limits, channels, blocked words and people, defaults of this server",
):
    """Settings of one server, changed at once."""

    channels = app_commands.Group(name="channels", description="Where painting is allowed")
    block = app_commands.Group(name="block", description="Words and people that are refused")
    default = app_commands.Group(name="default", description="What holds when people do not say otherwise")

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot
        super().__init__()

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Hold even where the server's integration settings show these commands to others."""
        if interaction.guild_id is None:
            raise app_commands.NoPrivateMessage
        if not interaction.permissions.manage_guild:
            raise app_commands.MissingPermissions(["manage_guild"])
        return True

    @app_commands.command()
    async def pause(self, interaction: discord.Interaction[Any]) -> None:
        """Take requests, but start none."""
        await self._change(interaction, paused=True, draining=False)

    @app_commands.command()
    async def resume(self, interaction: discord.Interaction[Any]) -> None:
        """Take requests and paint again."""
        await self._change(interaction, paused=False, draining=False)

    @app_commands.command()
    async def drain(self, interaction: discord.Interaction[Any]) -> None:
        """Take no requests; what waits is still painted."""
        await self._change(interaction, draining=True, paused=False)

    @app_commands.command()
    async def show(self, interaction: discord.Interaction[Any]) -> None:
        """See what holds in this server."""
        await self._change(interaction)

    @app_commands.command()
    @app_commands.describe(
        per_user="Unfinished paintings of one person",
        per_guild="Unfinished paintings of the whole server",
        cooldown="Seconds between two requests of one person",
        per_day="Requests of one person in 24 hours",
        role="A role with limits of its own",
        per_role="Unfinished paintings of a person with that role",
        role_per_day="Requests in 24 hours of a person with that role",
    )
    async def limits(
        self,
        interaction: discord.Interaction[Any],
        per_user: _Cap | None = None,
        per_guild: _Cap | None = None,
        cooldown: app_commands.Range[float, 0, 86_400] | None = None,
        per_day: _Cap | None = None,
        role: discord.Role | None = None,
        per_role: _Cap | None = None,
        role_per_day: _Cap | None = None,
    ) -> None:
        """Lower how much may be asked for; a role without numbers loses its limits."""
        given = {"per_user": per_user, "per_guild": per_guild, "cooldown_seconds": cooldown, "per_day": per_day}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if role is None and (per_role, role_per_day) != (None, None):
            raise Refusal("Say which role that limit is for.")
        if role is not None:
            own = await self._own(interaction)
            changes["per_role"] = _with_role(own.per_role, role.id, per_role)
            changes["per_day_per_role"] = _with_role(own.per_day_per_role, role.id, role_per_day)
        await self._change(interaction, **changes)

    @channels.command()
    @app_commands.describe(channel="Painting is allowed here, and only in channels named so")
    async def allow(self, interaction: discord.Interaction[Any], channel: _Channel) -> None:
        """Allow painting in a channel."""
        own = await self._own(interaction)
        await self._change(
            interaction,
            channels_allowed=own.channels_allowed | {channel.id},
            channels_denied=own.channels_denied - {channel.id},
        )

    @channels.command()
    @app_commands.describe(channel="Painting is refused here")
    async def deny(self, interaction: discord.Interaction[Any], channel: _Channel) -> None:
        """Refuse painting in a channel."""
        own = await self._own(interaction)
        await self._change(
            interaction,
            channels_allowed=own.channels_allowed - {channel.id},
            channels_denied=own.channels_denied | {channel.id},
        )

    @channels.command(name="everywhere")
    async def everywhere(self, interaction: discord.Interaction[Any]) -> None:
        """Allow painting in every channel again."""
        await self._change(interaction, channels_allowed=frozenset(), channels_denied=frozenset())

    @block.command()
    @app_commands.describe(word="Prompts with this word are refused, however it is spelt", lift="Allow it again")
    async def word(self, interaction: discord.Interaction[Any], word: _Word, lift: bool = False) -> None:
        """Refuse prompts with a word."""
        words, one = (await self._own(interaction)).blocked_words, frozenset({word.strip().lower()})
        if not lift and len(words | one) > MOST_BLOCKED_WORDS:
            raise Refusal(f"At most {MOST_BLOCKED_WORDS} words can be blocked; lift one first.")
        await self._change(interaction, blocked_words=words - one if lift else words | one)

    @block.command()
    @app_commands.describe(user="This person's requests are refused", lift="Allow them again")
    async def user(self, interaction: discord.Interaction[Any], user: discord.User, lift: bool = False) -> None:
        """Refuse a person's requests."""
        users, one = (await self._own(interaction)).blocked_users, frozenset({user.id})
        await self._change(interaction, blocked_users=users - one if lift else users | one)

    @default.command()
    @app_commands.describe(preset="Used when people name none; empty: the bot's own")
    async def preset(self, interaction: discord.Interaction[Any], preset: Preset | None = None) -> None:
        """Choose the usual preset."""
        await self._change(interaction, preset=preset)

    @default.command()
    @app_commands.describe(size="Used when people name none, such as 512x384; empty: the preset's")
    async def size(self, interaction: discord.Interaction[Any], size: Size | None = None) -> None:
        """Choose the usual size."""
        await self._change(interaction, size=None if size is None else "{}x{}".format(*parse_size(size)))

    @default.command()
    @app_commands.describe(model="Used when people name none; empty: the bot's own")
    async def model(self, interaction: discord.Interaction[Any], model: Model | None = None) -> None:
        """Choose the usual generator."""
        if model is not None:
            require_generator(model, self.bot.settings.models)
        await self._change(interaction, generator=model)

    async def _own(self, interaction: discord.Interaction[Any]) -> GuildSettings:
        assert interaction.guild_id is not None
        return await self.bot.queue.preferences.guild(interaction.guild_id)

    async def _change(self, interaction: discord.Interaction[Any], **changes: Any) -> None:
        """Change what is named and show everything."""
        assert interaction.guild_id is not None
        own = await self.bot.queue.change_guild(interaction.guild_id, **changes)
        view = note("🛠️ This server", _lines(own, self.bot.settings), content.GREEN if changes else content.BLUE)
        await interaction.response.send_message(view=view, ephemeral=True)


def _with_role(limits: Mapping[int, int], role_id: int, limit: int | None) -> dict[int, int]:
    others = {role: value for role, value in limits.items() if role != role_id}
    return others if limit is None else {**others, role_id: limit}


def _lines(own: GuildSettings, settings: Settings) -> list[str]:
    """Show what holds; what is the configuration's and not the server's own is in italics."""
    state = "taking nothing new" if own.draining else "paused" if own.paused else "painting"
    limits, models = settings.limits, settings.models
    roles, daily = _caps(own.per_role or limits.per_role), _caps(own.per_day_per_role or limits.per_day_per_role)
    blocked = (f"||{plain(word)}||" for word in sorted(own.blocked_words))
    return [
        f"**State** · {state}",
        f"**Limit of one person** · {_lower(own.per_user, limits.per_user)} paintings under way",
        f"**Limits of roles** · {roles or 'none of their own'}",
        f"**Limit of the server** · {_lower(own.per_guild, limits.per_guild)}",
        f"**In 24 hours** · {_lower(own.per_day, limits.per_day) or '*no limit*'}{daily and f' · {daily}'}",
        f"**Between two requests** · {_cooldown(own, limits)}",
        f"**Allowed channels** · {_mentions(own.channels_allowed, '#') or 'all'}",
        f"**Denied channels** · {_mentions(own.channels_denied, '#') or 'none'}",
        f"**Blocked people** · {_mentions(own.blocked_users, '@') or 'none'}",
        f"**Blocked words** · {_listed(blocked, _MOST_OF_WORDS) or 'none'}",
        f"**Usual preset** · {_or(own.preset, models.preset)}",
        f"**Usual size** · {_or(own.size, models.size or 'what the preset says')}",
        f"**Usual model** · {_or(own.generator, usual_generator(models))}",
        "-# *in italics: as the bot's owner has set it, which no server can raise*",
    ]


def _or(value: object, otherwise: object) -> str:
    return f"*{otherwise}*" if value is None else str(value)


def _lower(own: int | None, owners: int | None) -> str:
    if own is None or (owners is not None and owners < own):
        return "" if owners is None else f"*{owners}*"
    return str(own)


def _cooldown(own: GuildSettings, limits: LimitSettings) -> str:
    if own.cooldown_seconds is not None and own.cooldown_seconds > limits.cooldown_seconds:
        return duration(own.cooldown_seconds)
    return f"*{duration(limits.cooldown_seconds)}*" if limits.cooldown_seconds else "*no pause*"


def _caps(limits: Mapping[int, int]) -> str:
    return _listed(f"<@&{role}> {cap}" for role, cap in limits.items())


def _mentions(ids: frozenset[int], sign: str) -> str:
    return _listed(f"<{sign}{number}>" for number in sorted(ids))


def _listed(items: Iterable[str], most: int = _MOST_OF_A_LIST) -> str:
    """Join what fits into `most` characters, and say how much more there is."""
    shown, left, length = [], 0, 0
    for item in items:
        length += len(item) + 2
        if length > most:
            left += 1
        else:
            shown.append(item)
    return ", ".join([*shown, f"and {left} more"] if left else shown)


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Admin(bot))
