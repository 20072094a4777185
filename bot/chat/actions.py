"""Actions on an existing job, by button, reaction or command, under one set of permissions."""

import logging
from collections.abc import Mapping
from typing import Any

import discord

from bot import jobs, logs
from bot.chat.components import SteerForm, layout
from bot.chat.delivery import Delivery
from bot.chat.intake import Intake
from bot.chat.people import Person, person_of
from bot.jobs import Job, Kind, Request
from bot.options import new_seed
from bot.queue.admission import refusal_by_moderation
from bot.queue.service import PaintingQueue
from bot.refusals import Refusal
from bot.settings import Settings
from bot.worker.events import FROM_SPOILER_NOTICE, HIDING_NOTICES
from engine.prompts import parse_prompts
from engine.spec import PaintingSpec

log = logging.getLogger(__name__)

FOLLOW_UPS: dict[str, Kind] = {
    "rerun": "rerun",
    "same-seed": "rerun",
    "vary": "vary",
    "refine": "refine",
    "timelapse": "timelapse",
}


def _inherited(action: str) -> frozenset[str]:
    """Name the notices that go over to what is made from a job: a rerun has its start, the others its picture."""
    return frozenset({FROM_SPOILER_NOTICE}) if FOLLOW_UPS[action] == "rerun" else HIDING_NOTICES


class Actions:
    """Rerun, vary, refine, film, steer, stop and delete."""

    def __init__(
        self, client: discord.Client, queue: PaintingQueue, settings: Settings, intake: Intake, delivery: Delivery
    ) -> None:
        self._client = client
        self._queue = queue
        self._settings = settings
        self._intake = intake
        self._delivery = delivery

    async def job(self, job_id: str) -> Job:
        """Look up a job; raise `Refusal` when there is none of that id."""
        job = await self._queue.ledger.job(job_id.strip().lower())
        if job is None:
            raise Refusal(f"There is no job `{job_id[:20].replace('`', '')}`; /history lists yours.")
        logs.about(job.id)
        return job

    async def press(self, interaction: discord.Interaction[Any], action: str, job_id: str) -> None:
        """Do what a button says; raise `Refusal`."""
        person, job = person_of(interaction), await self.job(job_id)
        if action in FOLLOW_UPS:
            await self._intake.admit(person, job.prompt)
            await self._intake.take(interaction, await self.follow_up(person, action, job, interaction.id))
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
        preferences = await self._queue.preferences.user(person.requester.user_id)
        return Request(
            interaction_id=key,
            kind=FOLLOW_UPS[action],
            spec=self._follow_up_spec(action, job),
            prompt=job.prompt,
            user_id=person.requester.user_id,
            guild_id=person.requester.guild_id,
            channel_id=person.requester.channel_id,
            parent_id=job.id,
            notify=preferences.notify,
            notices=tuple(notice for notice in job.notices if notice in _inherited(action)),
            once=FOLLOW_UPS[action] != "rerun",  # another seed is another picture; another film is not
        )

    def _follow_up_spec(self, action: str, job: Job) -> PaintingSpec:
        if action == "rerun":
            return jobs.rerun(job.spec, new_seed())
        if action == "same-seed":
            return jobs.rerun(job.spec, job.spec.seed)
        files = self._queue.files
        if action == "vary":
            return jobs.vary(job.spec, new_seed(), files.latent_of(job), files.picture_of(job))
        if action == "refine":
            return jobs.refine(job.spec, files.picture_of(job), self._settings.limits.largest_side)
        if not files.frames(job.id):
            raise Refusal("There is no film of this picture: its frames are gone, or were never kept.")
        return job.spec

    async def stop(self, person: Person, job: Job) -> None:
        """Stop a running job, keeping the picture so far, or call off a waiting one; raise `Refusal`."""
        person.require_control(job)
        if job.finished:
            raise Refusal("This job has ended already.")
        await self._queue.stop(job.id)

    async def delete(self, person: Person, job: Job, message: discord.PartialMessage | discord.Message) -> None:
        """Call the job off if it is still under way, delete its files and this message of it; raise `Refusal`."""
        person.require_control(job)
        await self._queue.delete(job.id)
        try:
            await message.delete()
        except discord.NotFound:
            return  # somebody was faster
        except discord.Forbidden:
            raise Refusal("I may not delete my message here; ask a moderator to do it.") from None

    async def steer(self, interaction: discord.Interaction[Any], job_id: str, fields: Mapping[str, str]) -> None:
        """Give a running painting the words of the form; raise `Refusal` or `BadPromptError`."""
        person, job, text = person_of(interaction), await self.job(job_id), fields["prompt"]
        person.require_control(job)
        images = tuple(prompt for prompt in job.spec.prompts if prompt.kind == "image")
        prompts = (*parse_prompts(text), *images)
        guild = await self._queue.preferences.guild_in_effect(person.requester.guild_id)
        if (sentence := refusal_by_moderation(person.requester, text, guild, self._settings.moderation)) is not None:
            raise Refusal(sentence)
        if not await self._queue.steer(job.id, prompts):
            raise Refusal("It is too late to steer this painting: it has ended.")
        await interaction.response.send_message("The painting follows your new words from here on.", ephemeral=True)

    async def show(self, interaction: discord.Interaction[Any], job: Job) -> None:
        """Post a job's message again; an unfinished one goes on there. Raise `Refusal` for what is not to be seen."""
        self._require_visible(interaction, job)
        body, upload = await self._delivery.current_content(job)
        response = await interaction.response.send_message(
            view=layout(body, job.id, upload.name if upload else None), files=[upload.file(body.alt)] if upload else []
        )
        if response.message_id is not None and interaction.channel_id is not None:
            await self._queue.attach_message(
                job.id, interaction.channel_id, response.message_id, current=not job.finished
            )

    async def send_privately(self, person: Person, job: Job) -> None:
        """Send a job's picture and settings in a direct message; raise `Refusal` when it cannot be sent."""
        body, upload = await self._delivery.current_content(job)
        if upload is None:
            raise Refusal("There is no picture to send yet, or not any more.")
        channel = await self._client.create_dm(discord.Object(person.requester.user_id))
        try:
            message = await channel.send(view=layout(body, job.id, upload.name), files=[upload.file(body.alt)])
        except discord.Forbidden:
            log.info("Job %s: a person takes no direct messages", job.id)
            return
        await self._queue.attach_message(job.id, channel.id, message.id, current=False)

    def _require_visible(self, interaction: discord.Interaction[Any], job: Job) -> None:
        """Raise `Refusal` unless the person asked for the job, or can see the channel it was painted in."""
        if job.user_id == interaction.user.id or job.channel_id == interaction.channel_id:
            return
        guild = interaction.guild
        channel = guild.get_channel_or_thread(job.channel_id) if guild is not None else None
        member = interaction.user if isinstance(interaction.user, discord.Member) else None
        if channel is None or member is None or not channel.permissions_for(member).view_channel:
            raise Refusal(f"There is no job `{job.id}` that you can see from here; /history lists yours.")

    async def _open_steering(self, interaction: discord.Interaction[Any], person: Person, job: Job) -> None:
        person.require_control(job)
        if job.finished:
            raise Refusal("Only a painting that is under way can be steered; try Vary instead.")
        await interaction.response.send_modal(SteerForm(job.id, job.prompt))

    async def _delete_pressed(self, interaction: discord.Interaction[Any], person: Person, job: Job) -> None:
        person.require_control(job)
        assert interaction.message is not None
        await interaction.response.defer()
        await self.delete(person, job, interaction.message)
