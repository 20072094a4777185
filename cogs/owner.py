"""/owner: for whoever owns the bot, in any server and in direct messages."""

from collections import Counter
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat import content
from bot.chat.client import PaintingBot
from bot.chat.components import note
from bot.escaping import plain
from bot.refusals import Refusal

_SERVERS = 30


@app_commands.default_permissions(administrator=True)
class Owner(commands.GroupCog, group_name="owner", group_description="For the bot's owner: what waits where"):
    """See and clear the queue of any server."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot
        super().__init__()

    @app_commands.command()
    async def queue(self, interaction: discord.Interaction[Any]) -> None:
        """See how many paintings wait in which server."""
        await self._require_owner(interaction)
        counts = Counter(job.guild_id for job in await self.bot.queue.ledger.queued())
        paused = {guild for guild, own in (await self.bot.queue.preferences.all_guilds()).items() if own.paused}
        lines = [
            f"{count} · {self._name(guild_id)}{' · paused' if guild_id in paused else ''}"
            for guild_id, count in counts.most_common(_SERVERS)
        ]
        view = note("🗄️ Waiting", lines or ["Nothing waits."], content.BLUE)
        await interaction.response.send_message(view=view, ephemeral=True)

    @app_commands.command()
    @app_commands.describe(server="The id of the server; /owner queue lists them")
    async def clear(self, interaction: discord.Interaction[Any], server: str) -> None:
        """Call off everything that waits in a server."""
        await self._require_owner(interaction)
        if not server.strip().isdigit():
            raise Refusal("Write the server's id, a number; /owner queue lists them.")
        await interaction.response.defer(ephemeral=True, thinking=True)
        count = await self.bot.queue.clear(int(server))
        await interaction.edit_original_response(content=f"{count} paintings that waited there were called off.")

    async def _require_owner(self, interaction: discord.Interaction[Any]) -> None:
        """Raise `Refusal` for everybody but the owner of the application, or its team."""
        if not await self.bot.is_owner(interaction.user):
            raise Refusal("Only the owner of this bot can do that.")

    def _name(self, guild_id: int | None) -> str:
        if guild_id is None:
            return "direct messages"
        guild = self.bot.get_guild(guild_id)
        return f"{plain(guild.name) if guild is not None else 'a server that the bot left'} · `{guild_id}`"


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Owner(bot))
