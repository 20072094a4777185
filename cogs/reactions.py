"""Reactions under pictures, by raw events: they work on messages from before a restart."""

import discord
from discord.ext import commands

from bot.chat.client import PaintingBot


class Reactions(commands.Cog):
    """Pass reactions on to `bot.chat.reactions`."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        """Do what the emoji stands for."""
        await self.bot.reactions.take(event)


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Reactions(bot))
