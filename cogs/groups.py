"""Several paintings asked for in one prompt: the question, and what happens when it is answered."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import discord
from discord.ext import commands

from bot.chat import content
from bot.chat.client import PaintingBot
from bot.chat.components import GroupButton, note, row
from bot.chat.people import person_of
from bot.escaping import plain
from bot.jobs import reaction_key
from bot.options import PaintingOptions
from bot.permutations import permutations

_SHOWN = 8
_KEPT = ("prompt", "negative", "size", "steps", "seed", "preset", "generator", "start")
"""The options that a note holds: those of /imagine that are no files."""


class Groups(commands.Cog):
    """Queue the paintings of a prompt with choices, as one group."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """Take the button of the question."""
        self.bot.take_group = self.confirm

    async def ask(self, interaction: discord.Interaction[Any], options: PaintingOptions) -> None:
        """Ask in private whether all of them are meant; raise what `Intake.admit` does."""
        person, prompts = person_of(interaction), permutations(options.prompt)
        for prompt in prompts:
            await self.bot.intake.admit(person, dataclasses.replace(options, prompt=prompt))
        await self.bot.queue.admission.require_room(person.requester, len(prompts))
        kept = {name: getattr(options, name) for name in _KEPT}
        name = await self.bot.intake.save_note(interaction.user.id, {"options": kept, "asked": interaction.id})
        lines = [f"• {plain(prompt, 120)}" for prompt in prompts[:_SHOWN]]
        lines += [f"-# and {len(prompts) - _SHOWN} more"] if len(prompts) > _SHOWN else []
        view = note(f"{len(prompts)} paintings?", lines, content.BLUE)
        view.add_item(row(GroupButton(name, len(prompts))))
        await interaction.response.send_message(view=view, ephemeral=True)

    async def confirm(self, interaction: discord.Interaction[Any], name: str) -> None:
        """Queue all of them; pressed twice, they are the same paintings."""
        person, intake = person_of(interaction), self.bot.intake
        person.require_channel_permissions()
        kept: Mapping[str, Any] = await intake.read_note(interaction.user.id, name)
        options = PaintingOptions(**kept["options"])
        requests = []
        for index, prompt in enumerate(permutations(options.prompt)):
            spec = await intake.spec(person, dataclasses.replace(options, prompt=prompt))
            request = await intake.request(interaction, "imagine", spec, prompt)
            key = reaction_key(kept["asked"], interaction.user.id, "group", index)
            requests.append(dataclasses.replace(request, interaction_id=key))
        await intake.take_group(interaction, requests)


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Groups(bot))
