"""/blend: a picture that is like several others at once."""

import dataclasses
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.client import PaintingBot
from bot.chat.intake import fetch_all
from bot.chat.message_files import of_attachment
from bot.chat.people import person_of
from bot.options import PaintingOptions, blended
from cogs.options import Preset, Seed, Size, Steps, described


class Blend(commands.Cog):
    """Paint towards several pictures."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    @app_commands.command()
    @app_commands.describe(
        image1="The first picture",
        image2="The second picture",
        image3="A third picture",
        image4="A fourth picture",
    )
    @described("weights", "size", "steps", "seed", "preset", prompt="blend_prompt")
    async def blend(
        self,
        interaction: discord.Interaction[Any],
        image1: discord.Attachment,
        image2: discord.Attachment,
        image3: discord.Attachment | None = None,
        image4: discord.Attachment | None = None,
        prompt: app_commands.Range[str, 0, 2000] = "",
        weights: app_commands.Range[str, 1, 60] | None = None,
        size: Size | None = None,
        steps: Steps | None = None,
        seed: Seed | None = None,
        preset: Preset | None = None,
    ) -> None:
        """Blend two to four pictures into a new one, with words or without."""
        person, intake = person_of(interaction), self.bot.intake
        given = [image for image in (image1, image2, image3, image4) if image is not None]
        files = {str(number): of_attachment(image) for number, image in enumerate(given)}
        options = PaintingOptions(prompt=prompt, size=size, steps=steps, seed=seed, preset=preset)
        options = dataclasses.replace(options, image_prompts=blended(["to be fetched"] * len(given), weights))
        await intake.admit(person, options)
        uploads = await fetch_all(interaction, self.bot.uploads, files)
        async with intake.keeping(person.requester.user_id, *uploads.values()) as paths:
            spec = await intake.spec(person, dataclasses.replace(options, image_prompts=blended(paths, weights)))
            spoiler = any(file.spoiler for file in files.values())
            words = prompt.strip() or f"a blend of {len(given)} pictures"
            await intake.take(interaction, await intake.request(interaction, "blend", spec, words, spoiler=spoiler))


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Blend(bot))
