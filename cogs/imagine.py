"""/imagine."""

import dataclasses
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.client import PaintingBot
from bot.chat.intake import defer_if_slow
from bot.chat.message_files import of_attachment
from bot.chat.people import person_of
from bot.options import PaintingOptions
from cogs.options import Model, Preset, Seed, Size, Steps
from engine.prompts import Prompt
from engine.spec import Start

_WORDS = app_commands.Range[str, 1, 2000]


class Imagine(commands.Cog):
    """Paint pictures from text."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    @app_commands.command()
    @app_commands.describe(
        prompt="What to paint: a lighthouse::2 storm::0.5 | oil on canvas --no text",
        negative="What to keep out of the picture",
        size="Width x height in pixels, such as 512x384",
        steps="How long to paint; more is finer",
        seed="The same seed and settings give the same picture",
        preset="A named set of numbers: draft is quick, fine is slow",
        model="Which generator paints",
        start="What the picture comes out of: noise, a gradient, the best of several, what a prior proposes",
        image="A picture to paint towards, beside the words",
        image_weight="How strongly that picture pulls; the words pull with 1",
    )
    async def imagine(
        self,
        interaction: discord.Interaction[Any],
        prompt: _WORDS,
        negative: app_commands.Range[str, 0, 500] = "",
        size: Size | None = None,
        steps: Steps | None = None,
        seed: Seed | None = None,
        preset: Preset | None = None,
        model: Model | None = None,
        start: Start | None = None,
        image: discord.Attachment | None = None,
        image_weight: app_commands.Range[float, 0.0, 10.0] = 1.0,
    ) -> None:
        """Paint a picture from words."""
        options = PaintingOptions(
            prompt=prompt,
            negative=negative,
            size=size,
            steps=steps,
            seed=seed,
            preset=preset,
            generator=model,
            start=start,
            image_prompts=()
            if image is None
            else (Prompt(kind="image", content="to be fetched", weight=image_weight),),
        )
        await self.bot.intake.admit(person_of(interaction), options)
        if image is None:
            await self._paint(interaction, options, spoiler=False)
            return
        user_id, file = interaction.user.id, of_attachment(image)
        upload = await defer_if_slow(interaction, self.bot.uploads.fetch(user_id, file))
        async with self.bot.intake.keeping(user_id, upload) as (path,):
            image_prompt = Prompt(kind="image", content=path, weight=image_weight)
            options = dataclasses.replace(options, image_prompts=(image_prompt,))
            await self._paint(interaction, options, spoiler=file.spoiler)

    async def _paint(self, interaction: discord.Interaction[Any], options: PaintingOptions, *, spoiler: bool) -> None:
        """Queue the painting and answer; `spoiler`: what it is painted towards is hidden."""
        intake = self.bot.intake
        spec = await intake.spec(person_of(interaction), options)
        request = await intake.request(interaction, "imagine", spec, options.prompt, spoiler=spoiler)
        await intake.take(interaction, request)


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Imagine(bot))
