"""What can be done with a job that is there: by button, by reaction or by command, under one set of rules."""

from typing import TYPE_CHECKING, Any

import discord

from bot import jobs
from bot.components import SteerForm
from bot.jobs import Job, JobState, Kind, Request
from bot.moderation import refusal_by_moderation
from bot.orders import new_seed
from bot.people import Person, person_of
from bot.refusals import Refusal
from engine.prompts import parse_prompts
from engine.spec import PaintingSpec

if TYPE_CHECKING:
    from bot.client import Painter
    from bot.desk import Desk
    from bot.settings import Settings
    from bot.studio import Studio

FOLLOW_UPS: dict[str, Kind] = {
    "rerun": "rerun",
    "same-seed": "rerun",
    "vary": "vary",
    "refine": "refine",
    "timelapse": "timelapse",
}


class Actions:
    """Rerun, vary, refine, film, steer, stop and delete."""

    def __init__(self, studio: "Studio", desk: "Desk", settings: "Settings") -> None:
        self._studio = studio
        self._desk = desk
        self._settings = settings

    async def job(self, job_id: str) -> Job:
        """Look a job up; raise `Refusal` when it is in no book."""
        job = await self._studio.ledger.job(job_id.strip().lower())
        if job is None:
            raise Refusal(f"There is no job `{job_id[:20].replace('`', '')}`; /history lists yours.")
        return job

    async def press(self, interaction: "discord.Interaction[Painter]", action: str, job_id: str) -> None:
        """Do what a button says; raise `Refusal`."""
        person, job = person_of(interaction), await self.job(job_id)
        if action in FOLLOW_UPS:
            await self._desk.admit(person, job.prompt)
            await self._desk.take(interaction, await self.follow_up(person, action, job, interaction.id))
        elif action == "steer":
            await self._open_steering(interaction, person, job)
        elif action == "stop":
            await self.stop(person, job)
            await interaction.response.defer()
        elif action == "delete":
            await self._delete_pressed(interaction, person, job)
        else:
            raise Refusal("This button belongs to another version of me; use a newer message.")

    async def follow_up(self, person: Person, action: str, job: Job, key: int) -> Request:
        """Make the request for a picture made from `job`; raise `Refusal` when what it needs is gone."""
        preferences = await self._studio.ledger.user_settings(person.asker.user_id)
        return Request(
            interaction_id=key,
            kind=FOLLOW_UPS[action],
            spec=self._follow_up_spec(action, job),
            prompt=job.prompt,
            user_id=person.asker.user_id,
            guild_id=person.asker.guild_id,
            channel_id=person.asker.channel_id,
            parent_id=job.id,
            notify=preferences.notify,
            once=True,
        )

    def _follow_up_spec(self, action: str, job: Job) -> PaintingSpec:
        if action == "rerun":
            return jobs.rerun(job.spec, new_seed())
        if action == "same-seed":
            return jobs.rerun(job.spec, job.spec.seed)
        files = self._studio.files
        if action == "vary":
            return jobs.vary(job.spec, new_seed(), files.latent_of(job), files.picture_of(job))
        if action == "refine":
            return jobs.refine(job.spec, files.picture_of(job), self._settings.limits.largest_side)
        if not files.frames(job.id):
            raise Refusal("There is no film of this picture: its frames are gone, or were never kept.")
        return job.spec

    async def stop(self, person: Person, job: Job) -> None:
        """Stop a running job, keeping the picture so far, or call off a waiting one; raise `Refusal`."""
        person.require_say(job)
        if job.finished:
            raise Refusal("This job has ended already.")
        await self._studio.stop(job.id)

    async def delete(self, person: Person, job: Job, message: discord.PartialMessage | discord.Message) -> None:
        """Call the job off if it is still under way and delete the message that shows it; raise `Refusal`."""
        person.require_say(job)
        if job.state in {JobState.QUEUED, JobState.RUNNING}:
            await self._studio.cancel(job.id)
        try:
            await message.delete()
        except discord.NotFound:
            return  # somebody was faster
        except discord.Forbidden:
            raise Refusal("I may not delete my message here; ask a moderator to do it.") from None

    async def steer(self, interaction: discord.Interaction[Any], job_id: str, text: str) -> None:
        """Give a running painting other words; raise `Refusal` or `BadPromptError`."""
        person, job = person_of(interaction), await self.job(job_id)
        person.require_say(job)
        images = tuple(prompt for prompt in job.spec.prompts if prompt.kind == "image")
        prompts = (*parse_prompts(text), *images)
        guild = await self._studio.guild_settings(person.asker.guild_id)
        if (sentence := refusal_by_moderation(person.asker, text, guild, self._settings.moderation)) is not None:
            raise Refusal(sentence)
        if not await self._studio.steer(job.id, prompts):
            raise Refusal("It is too late to steer this painting: it has ended.")
        await interaction.response.send_message("The painting follows your new words from here on.", ephemeral=True)

    async def _open_steering(self, interaction: discord.Interaction[Any], person: Person, job: Job) -> None:
        person.require_say(job)
        if job.finished:
            raise Refusal("Only a painting that is under way can be steered; try Vary instead.")
        await interaction.response.send_modal(SteerForm(job.id, job.prompt))

    async def _delete_pressed(self, interaction: discord.Interaction[Any], person: Person, job: Job) -> None:
        person.require_say(job)
        assert interaction.message is not None
        await interaction.response.defer()
        await self.delete(person, job, interaction.message)
