"""/imagine."""

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.client import PaintingBot
from bot.chat.intake import fetch_all
from bot.chat.message_files import ShownFile, of_attachment
from bot.chat.people import person_of
from bot.options import PaintingOptions
from bot.permutations import permutations
from bot.refusals import Refusal
from cogs.options import Count, Model, Preset, Seed, Size, Steps, described
from engine.pictures import palette_of, read_picture
from engine.prompts import Prompt
from engine.spec import Start

_WORDS = app_commands.Range[str, 1, 2000]


class Imagine(commands.Cog):
    """Paint pictures from text."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    @app_commands.command()
    @described("prompt", "negative", "size", "steps", "seed", "preset", "count", "start", "image_weight", "palette")
    @described(model="generator", image="image_prompt", mask="inside")
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
        count: Count | None = None,
        start: Start | None = None,
        image: discord.Attachment | None = None,
        image_weight: app_commands.Range[float, 0.0, 10.0] = 1.0,
        palette: discord.Attachment | None = None,
        mask: discord.Attachment | None = None,
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
            count=count,
            start=start,
        )
        if len(permutations(prompt)) > 1:
            groups: Any = self.bot.get_cog("Groups")
            if image or palette or mask:
                raise Refusal("Leave out either the pictures or the choices between braces.")
            await groups.ask(interaction, options)
            return
        given = {"image": image, "palette": palette, "mask": mask}
        files = {name: of_attachment(file) for name, file in given.items() if file is not None}
        await self._fetch_and_paint(interaction, options, files, image_weight)

    async def _fetch_and_paint(
        self,
        interaction: discord.Interaction[Any],
        options: PaintingOptions,
        files: Mapping[str, ShownFile],
        image_weight: float,
    ) -> None:
        """Fetch the files, once everything else is known to be right, and queue the painting.

        `files` may hold an `image` to paint towards, one whose colours are the `palette`, and a `mask`.
        """
        person, intake, spoiler = person_of(interaction), self.bot.intake, any(file.spoiler for file in files.values())
        towards = Prompt(kind="image", content="to be fetched", weight=image_weight)
        await intake.admit(person, _with_paths(options, towards, dict.fromkeys(files, "to be fetched")))
        uploads = await fetch_all(interaction, self.bot.uploads, files)
        if (upload := uploads.pop("palette", None)) is not None:
            colours = await asyncio.to_thread(lambda: palette_of(read_picture(upload.png)))
            options = dataclasses.replace(options, looks=options.looks.model_copy(update={"palette": colours}))
        async with intake.keeping(person.requester.user_id, *uploads.values()) as paths:
            options = _with_paths(options, towards, dict(zip(uploads, paths, strict=True)))
            await self._paint(interaction, options, spoiler=spoiler)

    async def _paint(self, interaction: discord.Interaction[Any], options: PaintingOptions, *, spoiler: bool) -> None:
        """Queue the painting and answer; `spoiler`: what it is painted towards is hidden."""
        intake = self.bot.intake
        spec = await intake.spec(person_of(interaction), options)
        request = await intake.request(interaction, "imagine", spec, options.prompt, spoiler=spoiler)
        await intake.take(interaction, request)


def _with_paths(options: PaintingOptions, towards: Prompt, paths: Mapping[str, str]) -> PaintingOptions:
    """Put the paths of files, by what they are for, into the options; `towards` weighs the picture to paint towards."""
    prompts = (towards.model_copy(update={"content": paths["image"]}),) if "image" in paths else ()
    return dataclasses.replace(options, image_prompts=prompts, mask=paths.get("mask"))


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Imagine(bot))
