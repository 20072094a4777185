"""/help, /models, /info."""

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.available_models import generators, pair, usual_generator, usual_pair
from bot.chat import content
from bot.chat.client import PaintingBot
from bot.chat.components import note
from bot.jobs import JobState
from bot.options import preset_names
from bot.worker.painter import Painter
from engine.presets import spec_from_preset
from engine.prompts import Prompt

_HELP = (
    "**/imagine** paints from words · `a lighthouse, oil on canvas`",
    "-# weigh the parts: `a castle::2 fog::-0.5` · keep things out: `a street --no cars`",
    "-# say more behind it: `a street --ar 16:9 --seed 5 --steps 60 --preset fine` · prompts are read in English",
    "-# how it looks: `--palette red,skyblue` `--symmetry 1` `--saturation -1` `--smoothness 1` `--edges white`",
    "-# what is where: `a beach --inside a ball --outside the sea --mask left`, or with a mask picture",
    "-# several at once: `a {red, green} {cat, dog}` asks first, and paints four",
    "-# `--tile` goes on seamlessly beside itself; the button 🧩 shows it 2 × 2",
    "**/edit** changes a picture · `image:` a file `prompt: a house in winter` · nearer to it: `--init-pixels 1`",
    "-# or right-click a message with a picture · Apps · Edit this picture",
    "**/blend** makes one picture of two to four · `weights: 2 1` `prompt:` words, if you like",
    "**/animate** paints a film · `a seed @0 | a tree @4` `zoom: 1.1` `turn: 10` · MP4 or GIF",
    "**/describe** finds words for a picture, and paints them · also Apps · Describe this picture",
    "**/queue** tells what waits · **/cancel** calls yours off · `job: k3v9x2ab`",
    "**/history** shows your pictures · **/show** posts one again · `job: k3v9x2ab`",
    "**/settings** keeps your defaults · `preset: fine suffix: oil on canvas`",
    "**/quota** tells what you may still ask for · **/privacy** what is kept of you, and deletes it",
    "**/models** and **/info** tell what paints here and how busy it is",
    "",
    "-# Buttons under a picture, or reactions to it:",
    "-# ⬅️ ⬆️ ⬇️ ➡️ 🔎 🔍 paint on beyond the borders",
    "-# 🖋️ remix: again with other words, size, preset or seed · 🖌️ edit, also with a mask or a second picture",
    "-# 🔁 again · 🔂 again with the same seed · 🎲 vary · ⬆️ refine at twice the size",
    "-# 🎞️ time-lapse · ✉️ send it to me · ❌ stop or delete it, if it is yours",
)


class Info(commands.Cog):
    """Help, models and the state of the bot."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    @app_commands.command()
    async def help(self, interaction: discord.Interaction[Any]) -> None:
        """See what you can do here, with examples."""
        view = note("🎨 Pictures from words", _HELP, content.BLUE)
        await interaction.response.send_message(view=view, ephemeral=True)

    @app_commands.command()
    async def models(self, interaction: discord.Interaction[Any]) -> None:
        """See which models and presets there are."""
        models = self.bot.settings.models
        lines: list[str] = []
        generator = usual_generator(models)
        for name in generators(models):
            usual = " · the usual one" if name == generator else ""
            lines.append(f"**{pair(name, models)}**{usual}")
        if len(generators(models)) == 1:
            lines.append("-# The bot's owner can fetch others: `python -m bot models list`")
        for name in preset_names():
            spec = spec_from_preset((Prompt(content="a picture"),), name, generator)
            usual = " · the usual one" if name == models.preset else ""
            lines.append(f"`{name}` · {spec.width} × {spec.height}, {spec.steps} steps{usual}")
        view = note("🖼️ Models and presets", lines, content.BLUE)
        await interaction.response.send_message(view=view, ephemeral=True)

    @app_commands.command()
    async def info(self, interaction: discord.Interaction[Any]) -> None:
        """See the device, the load and the uptime."""
        counts = await self.bot.queue.ledger.counts()
        lines = [
            *(f"**Painter** · {_painter(painter)}" for painter in self.bot.queue.painters),
            f"**Paints with** · {usual_pair(self.bot.settings.models)}",
            f"**Painting** · {counts[JobState.RUNNING]} now, {counts[JobState.QUEUED]} waiting",
            f"**Painted so far** · {counts[JobState.DELIVERED] + counts[JobState.RENDERED]}",
            f"**Started** · <t:{int(self.bot.started_at)}:R>",
            f"**Servers** · {len(self.bot.guilds)}",
        ]
        view = note("ℹ️ This bot", lines, content.BLUE)
        await interaction.response.send_message(view=view, ephemeral=True)


def _painter(painter: Painter) -> str:
    """Say in a line what a painter is at."""
    where = f"{painter.device} of {painter.node}" if painter.node else str(painter.device)
    if not painter.alive:
        return f"{where} · being started anew"
    if painter.job_id is None:
        return f"{where} · free"
    return f"{where} · {content.speed(painter.steps_per_second)}" if painter.steps_per_second else f"{where} · starting"


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Info(bot))
