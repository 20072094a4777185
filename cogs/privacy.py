"""/quota and /privacy: what is left for me, and what is kept of me."""

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.background import spawn
from bot.chat import content
from bot.chat.actions import delete_messages
from bot.chat.client import PaintingBot
from bot.chat.components import note
from bot.chat.people import person_of
from bot.queue.limits import duration


class Privacy(commands.Cog):
    """One's own limits and data."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    @app_commands.command()
    async def quota(self, interaction: discord.Interaction[Any]) -> None:
        """See how much you may still ask for here."""
        requester, queue = person_of(interaction).requester, self.bot.queue
        limits, usage = await queue.admission.limits(requester), await queue.ledger.usage(requester)
        sent, _ = await queue.ledger.personal_data.uploaded(requester.user_id)
        lines = [f"**Under way** · {usage.of_user} of {limits.per_user} paintings"]
        if limits.per_day is None:
            lines.append(f"**In 24 hours** · {usage.today} asked for, no limit")
        else:
            left = max(0, limits.per_day - usage.today)
            again = f", one more in {duration(usage.day_resets_in)}" if left == 0 and usage.today else ""
            lines.append(f"**In 24 hours** · {usage.today} of {limits.per_day}, {left} left{again}")
        if limits.cooldown_seconds:
            wait = limits.cooldown_seconds - usage.since_last
            lines.append(f"**Next request** · {f'in {duration(wait)}' if wait > 0 else 'now'}")
        if requester.guild_id is not None:
            lines.append(f"**This server** · {usage.of_guild} of {limits.per_guild} paintings under way")
        room = self.bot.settings.limits.upload_megabytes_per_user
        lines.append(f"**Pictures you sent** · {sent / 1e6:.1f} of {room:g} MB kept")
        await interaction.response.send_message(view=note("⏳ Your limits", lines, content.BLUE), ephemeral=True)

    @app_commands.command()
    @app_commands.describe(delete="Delete all of it, for good: paintings, their messages, pictures you sent, settings")
    async def privacy(self, interaction: discord.Interaction[Any], delete: bool = False) -> None:
        """See what is kept of you, and delete it."""
        user_id = interaction.user.id
        if delete:
            await interaction.response.defer(ephemeral=True, thinking=True)
            messages = await self.bot.queue.delete_person(user_id)
            spawn(delete_messages(self.bot, messages), "delete a person's messages")
            await interaction.edit_original_response(view=note("🧹 Deleted", _DELETED, content.GREEN))
            return
        held = await self.bot.queue.ledger.personal_data.held(user_id)
        storage = self.bot.settings.storage
        lines = [
            f"**Paintings** · {held.jobs}, with your words and settings, for {storage.ledger_days:g} days",
            f"**Pictures you sent** · {held.uploads}, {held.upload_bytes / 1e6:.1f} MB, for {storage.keep_days:g} days",
            f"**Your defaults** · {'kept until you change them' if held.has_settings else 'none'}",
            f"**Times you asked** · {held.requests_today}, each for 24 hours, for the daily limit",
            "-# Nothing of it leaves this machine but for what is posted in Discord.",
            "-# Delete under a picture deletes one; /privacy delete:True deletes everything.",
        ]
        await interaction.response.send_message(view=note("🔏 Kept of you", lines, content.BLUE), ephemeral=True)


_DELETED = (
    "Your paintings, their pictures and your words, what you sent and your defaults are gone.",
    "-# Messages that show them are being deleted.",
    "-# When you asked is kept for 24 hours, for the daily limit, and servers keep whom they have blocked.",
)


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Privacy(bot))
