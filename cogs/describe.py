"""/describe, and "Describe this picture" in a message's menu: the words that the perceptor finds nearest."""

import asyncio
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.available_models import EMBEDDED, perceptors, usual_generator
from bot.chat import content
from bot.chat.attachments import picture_in
from bot.chat.client import PaintingBot
from bot.chat.components import GroupButton, note, row
from bot.chat.message_files import ShownFile, of_attachment
from bot.chat.people import person_of
from bot.chat.rate_limit import RateLimit
from bot.escaping import plain
from bot.refusals import Refusal
from bot.worker.describing import described

_PER_MINUTE = 4
_HONEST = "-# The networks here are small: they know some thousand everyday words, and this is their best guess."


class Describe(commands.Cog):
    """Find words for pictures."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot
        self.menu = app_commands.ContextMenu(name="Describe this picture", callback=self.describe_message)
        self._allowed = RateLimit(_PER_MINUTE)

    async def cog_load(self) -> None:
        """Add the message menu."""
        self.bot.tree.add_command(self.menu)

    async def cog_unload(self) -> None:
        """Take the message menu away again."""
        self.bot.tree.remove_command(self.menu.name, type=self.menu.type)

    @app_commands.command()
    @app_commands.describe(image="The picture to find words for")
    async def describe(self, interaction: discord.Interaction[Any], image: discord.Attachment) -> None:
        """See which words a picture is nearest to, and paint them."""
        await self._describe(interaction, of_attachment(image))

    async def describe_message(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        """Describe the first picture of a message."""
        await self._describe(interaction, picture_in(message, self.bot.settings))

    async def _describe(self, interaction: discord.Interaction[Any], file: ShownFile) -> None:
        person, models = person_of(interaction), self.bot.settings.models
        sentence = await self.bot.queue.admission.refusal_by_rules(person.requester, "")
        if sentence is not None:
            raise Refusal(sentence)
        if not self._allowed.allows(interaction.user.id):
            raise Refusal("You have just had several pictures described; send the next one in a minute.")
        await interaction.response.defer(ephemeral=True, thinking=True)
        upload = await self.bot.uploads.fetch(interaction.user.id, file)
        perceptor = perceptors(usual_generator(models), models)[0]
        found = await asyncio.to_thread(described, upload.png, models.folder, perceptor)
        lines = [
            f"**{kind.capitalize()}** · {', '.join(f'{plain(word)} ({cosine:.2f})' for word, cosine in words)}"
            for kind, words in found["words"].items()
        ]
        lines += [f"**As a prompt** · {plain(found['prompt'])}", f"-# by {perceptor}, with how near each word is"]
        lines += [_HONEST] if perceptor == EMBEDDED else []
        kept = {"options": {"prompt": found["prompt"]}, "asked": interaction.id}
        view = note("🔎 What it shows", lines, content.BLUE)
        view.add_item(row(GroupButton(await self.bot.intake.save_note(interaction.user.id, kept), 1)))
        await interaction.edit_original_response(view=view)


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Describe(bot))
