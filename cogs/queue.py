"""/queue, /cancel, /show, /history: what is under way and what was made."""

import time
from typing import Any

import discord
from discord import app_commands
from discord.app_commands import Choice
from discord.ext import commands

from bot.chat import content
from bot.chat.client import PaintingBot
from bot.chat.components import note
from bot.chat.people import person_of
from bot.escaping import bare, plain
from bot.jobs import Job
from bot.queue.scheduler import Place
from bot.refusals import Refusal

_LINES = 15
_SUGGESTED = 25
_WORDS = 60
"""Of one's own prompts, in letters."""


class Queue(commands.Cog):
    """Jobs under way and finished ones."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot

    @app_commands.command()
    async def queue(self, interaction: discord.Interaction[Any]) -> None:
        """See what is being painted and what waits, yours marked."""
        places = await self.bot.queue.places()
        listed = [place for place in places if _is_listed(place, interaction)]
        own = {place.job_id for place in listed if place.user_id == interaction.user.id}
        jobs = {job_id: await self.bot.queue.ledger.job(job_id) for job_id in own}
        shown = listed[:_LINES] + [place for place in listed[_LINES:] if place.job_id in own]
        lines = [_line(place, jobs.get(place.job_id)) for place in shown]
        if len(listed) > len(lines):
            lines.append(f"-# and {len(listed) - len(lines)} more here")
        if len(places) > len(listed):
            lines.append(f"-# and {len(places) - len(listed)} elsewhere")
        if not places:
            lines = ["Nothing waits: what you ask for now starts at once."]
        view = note("🖌️ The queue", lines, content.BLUE)
        await interaction.response.send_message(view=view, ephemeral=True)

    @app_commands.command()
    @app_commands.describe(job="Which one; without, your newest")
    async def cancel(self, interaction: discord.Interaction[Any], job: str | None = None) -> None:
        """Call off a painting; one that is under way keeps the picture so far."""
        person = person_of(interaction)
        chosen = await (self._newest(interaction.user.id) if job is None else self.bot.actions.job(person, job))
        await self.bot.actions.stop(person, chosen)
        await interaction.response.send_message(f"Job `{chosen.id}` stops.", ephemeral=True)

    @cancel.autocomplete("job")
    async def _unfinished(self, interaction: discord.Interaction[Any], typed: str) -> list[Choice[str]]:
        return _choices([job for job in await self._latest(interaction.user.id) if not job.finished], typed)

    @app_commands.command()
    @app_commands.describe(job="The job's id; it stands in small print under its picture")
    async def show(self, interaction: discord.Interaction[Any], job: str) -> None:
        """Post a picture again, with live buttons."""
        await self.bot.actions.show(interaction, job)

    @show.autocomplete("job")
    async def _any(self, interaction: discord.Interaction[Any], typed: str) -> list[Choice[str]]:
        return _choices(await self._latest(interaction.user.id), typed)

    @app_commands.command()
    async def history(self, interaction: discord.Interaction[Any]) -> None:
        """Leaf through your own pictures."""
        await self.bot.history.open(interaction)

    async def _latest(self, user_id: int) -> list[Job]:
        return await self.bot.queue.ledger.history(user_id, _SUGGESTED)

    async def _newest(self, user_id: int) -> Job:
        for job in await self._latest(user_id):
            if not job.finished:
                return job
        raise Refusal("You have no painting under way.")


def _is_listed(place: Place, interaction: discord.Interaction[Any]) -> bool:
    """Return whether a job is shown, and not only counted: it is theirs, or asked for in this server."""
    here = place.guild_id == interaction.guild_id and place.guild_id is not None
    return here or place.user_id == interaction.user.id


def _line(place: Place, own: Job | None) -> str:
    """Write one entry; only of `own` with its id and words, since an id opens what it names to who can see it."""
    estimate = place.estimate
    if estimate.position == 0:
        when = "being painted"
        if estimate.painting is not None:
            when += f", ready <t:{int(time.time() + estimate.painting)}:R>"
    else:
        when = "starts later" if estimate.seconds is None else f"starts <t:{int(time.time() + estimate.seconds)}:R>"
    number = estimate.position or "▶"
    if own is None:
        return f"{number} · <@{place.user_id}> · {when}"
    return f"**{number} · `{own.id}` · {plain(own.prompt, _WORDS)} · {when}** ⬅️ yours"


def _choices(jobs: list[Job], typed: str) -> list[Choice[str]]:
    named = [(f"{job.id} · {bare(job.prompt, 60)} · {content.STATES[job.state]}", job.id) for job in jobs]
    return [Choice(name=name[:100], value=value) for name, value in named if typed.strip().lower() in name.lower()]


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Queue(bot))
