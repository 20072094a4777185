"""/animate: a film of a picture that moves while it is painted."""

from typing import Any, Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.client import PaintingBot
from bot.chat.people import person_of
from bot.options import PaintingOptions
from cogs.options import Preset, Seed, Size, Steps, described
from engine.spec import Motion

_LONGEST = 20.0


class Animate(commands.Cog):
    """Paint films from text."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    @app_commands.command()
    @described("size", "seed", "preset")
    @app_commands.describe(
        prompt="What to paint, or a story by seconds: a seed @0 | a tree @4 | a forest @8",
        seconds="How long the film is",
        zoom="How many times larger it becomes in a second: 1.1 goes into it, 0.9 away, 1 stays",
        turn="Degrees that it turns in a second",
        right="By which share of its width it moves in a second; below 0 to the left",
        down="By which share of its height it moves in a second; below 0 up",
        steps="How long to paint before it moves",
        kind="MP4, or a GIF that repeats",
    )
    async def animate(
        self,
        interaction: discord.Interaction[Any],
        prompt: app_commands.Range[str, 1, 2000],
        seconds: app_commands.Range[float, 1.0, _LONGEST] = 6.0,
        zoom: app_commands.Range[float, 0.5, 2.0] = 1.1,
        turn: app_commands.Range[float, -90.0, 90.0] = 0.0,
        right: app_commands.Range[float, -0.5, 0.5] = 0.0,
        down: app_commands.Range[float, -0.5, 0.5] = 0.0,
        size: Size | None = None,
        steps: Steps | None = None,
        seed: Seed | None = None,
        preset: Preset | None = None,
        kind: Literal["mp4", "gif"] = "mp4",
    ) -> None:
        """Paint a film that zooms, turns or moves, with a story if you like."""
        intake, person = self.bot.intake, person_of(interaction)
        motion = Motion(seconds=seconds, zoom=zoom, turn=turn, right=right, down=down, format=kind)
        options = PaintingOptions(prompt=prompt, size=size, steps=steps, seed=seed, preset=preset, motion=motion)
        await intake.admit(person, options)
        spec = await intake.spec(person, options)
        await intake.take(interaction, await intake.request(interaction, "animate", spec, prompt))


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Animate(bot))
