"""/settings: one's own defaults."""

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat import content
from bot.chat.client import PaintingBot
from bot.chat.components import note
from bot.escaping import plain
from bot.options import parse_size
from bot.queue.preferences import UserSettings
from cogs.options import Preset, Size

_NONE = "none"


class PersonalSettings(commands.Cog, name="Settings"):
    """A person's defaults."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    @app_commands.command()
    @app_commands.describe(
        preset="Your usual preset",
        size="Your usual size, such as 512x384; none: the preset's",
        suffix="Words added to each of your prompts; none: no words",
        notify="Mention you when a picture is done",
        reset="Forget all of these first",
    )
    async def settings(
        self,
        interaction: discord.Interaction[Any],
        preset: Preset | None = None,
        size: Size | None = None,
        suffix: app_commands.Range[str, 1, 500] | None = None,
        notify: bool | None = None,
        reset: bool = False,
    ) -> None:
        """See and change your own defaults."""
        preferences = self.bot.queue.preferences
        mine = UserSettings() if reset else await preferences.user(interaction.user.id)
        changes: dict[str, Any] = {}
        if preset is not None:
            changes["preset"] = preset
        if size is not None:
            changes["size"] = None if size.strip().lower() == _NONE else "{}x{}".format(*parse_size(size))
        if suffix is not None:
            changes["suffix"] = "" if suffix.strip().lower() == _NONE else suffix
        if notify is not None:
            changes["notify"] = notify
        mine = mine.model_copy(update=changes)
        if changes or reset:
            await preferences.save_user(interaction.user.id, mine)
        view = note("⚙️ Your settings", _lines(mine), content.GREEN if changes or reset else content.BLUE)
        await interaction.response.send_message(view=view, ephemeral=True)


def _lines(mine: UserSettings) -> list[str]:
    return [
        f"**Preset** · {mine.preset or 'the usual one here'}",
        f"**Size** · {mine.size or 'what the preset says'}",
        f"**Suffix** · {plain(mine.suffix) or 'none'}",
        f"**Mention me when a picture is done** · {'yes' if mine.notify else 'no'}",
        "-# Change them with /settings preset:fine · size:512x384 · suffix:oil on canvas · notify:True · reset:True",
    ]


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(PersonalSettings(bot))
