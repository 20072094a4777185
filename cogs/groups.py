"""Several paintings asked for in one prompt: the question, and what happens when it is answered."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import discord
from discord.ext import commands

from bot.chat import content
from bot.chat.client import PaintingBot
from bot.chat.components import GroupButton, boxed, note, row
from bot.chat.people import person_of
from bot.escaping import plain
from bot.jobs import JobState, reaction_key
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
        """Take the buttons of the question and its answer."""
        self.bot.take_group, self.bot.stop_group = self.confirm, self.stop

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
        kept = await intake.read_note(interaction.user.id, name)
        options = PaintingOptions(**kept["options"])
        requests = []
        for key, prompt in _keyed(interaction, kept):
            spec = await intake.spec(person, dataclasses.replace(options, prompt=prompt))
            request = await intake.request(interaction, "imagine", spec, prompt)
            requests.append(dataclasses.replace(request, interaction_id=key))
        controls = [row(GroupButton(name, len(requests), stops=True))] if len(requests) > 1 else []
        await intake.take_group(interaction, requests, *controls)

    async def stop(self, interaction: discord.Interaction[Any], name: str) -> None:
        """Stop those that are not finished, the waiting ones first: or the next would begin when one stops."""
        person, ledger = person_of(interaction), self.bot.queue.ledger
        kept = await self.bot.intake.read_note(interaction.user.id, name)
        found = [await ledger.by_interaction(key) for key, _ in _keyed(interaction, kept)]
        unfinished = [job for job in found if job is not None and not job.finished]
        for job in sorted(unfinished, key=lambda job: job.state is JobState.RUNNING):
            await self.bot.actions.stop(person, job)
        said = f"Stopped {len(unfinished)} of {len(found)}: what is under way keeps the picture so far."
        view = boxed(discord.ui.TextDisplay(said if unfinished else "All of them have ended already."))
        await interaction.response.edit_message(view=view)


def _keyed(interaction: discord.Interaction[Any], kept: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return the prompts of a note, each with what stands for its interaction: the same whenever it is read."""
    prompts = enumerate(permutations(kept["options"]["prompt"]))
    return [(reaction_key(kept["asked"], interaction.user.id, "group", index), prompt) for index, prompt in prompts]


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Groups(bot))
