"""Actions on an existing job, by button, reaction or command, under one set of permissions."""

import asyncio
import io
import logging
from collections.abc import Iterable
from typing import Any

import discord

from bot import jobs, logs
from bot.chat.delivery import Delivery, filled
from bot.chat.forms import Answers, EditForm, RemixForm, SteerForm
from bot.chat.intake import Intake, inherited, is_hidden
from bot.chat.people import Person, permissions_where_painted, person_of
from bot.chat.rate_limit import RateLimit
from bot.jobs import Job, Kind, Request
from bot.options import new_seed, remixed, whole_number
from bot.queue.service import PaintingQueue
from bot.refusals import Refusal
from bot.settings import Settings
from engine.pictures import laid_out, preview_jpeg, read_picture
from engine.prompts import parse_prompts
from engine.spec import PaintingSpec

log = logging.getLogger(__name__)

_SHOWN_PER_MINUTE = 3
_UNKNOWN_BUTTON = "This button belongs to another version of me; use a newer message."
_OF_ONE = {"v": "vary", "u": "refine"}
_TILED_SIDE = 1024
FOLLOW_UPS: dict[str, Kind] = {
    "rerun": "rerun",
    "same-seed": "rerun",
    "vary": "vary",
    "refine": "refine",
    "timelapse": "timelapse",
    **{action: "zoom" if action.startswith("zoom") else "pan" for action in jobs.ZOOMS},
}


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
        self._shows = RateLimit(_SHOWN_PER_MINUTE)

    async def job(self, person: Person, job_id: str) -> Job:
        """Look up a job that the person may see; raise `Refusal`, the same whether it is hidden or does not exist.

        People see their own jobs, those shown in the channel they ask in, and those of channels that they can see.
        """
        job = await self._queue.ledger.job(job_id.strip().lower())
        if job is None or job.deleted_at is not None or not await self._sees(person, job):
            name = job_id[:20].replace("`", "")
            raise Refusal(f"There is no job `{name}` that you can see from here; /history lists yours.")
        logs.about(job.id)
        return job

    async def _sees(self, person: Person, job: Job) -> bool:
        if job.user_id == person.requester.user_id:
            return True
        if await self._queue.ledger.is_shown_in(job.id, person.requester.channel_id):
            return True
        return (await permissions_where_painted(self._client, person, job)).view_channel

    async def require_control(self, person: Person, job: Job) -> None:
        """Raise `Refusal` unless the person asked for the job, or moderates the channel that it was painted in."""
        if job.user_id == person.requester.user_id:
            return
        if not (await permissions_where_painted(self._client, person, job)).manage_messages:
            raise Refusal("Only the person who asked for this picture, or a moderator, can do that.")

    async def require_rules(self, person: Person, job: Job, words: str) -> None:
        """Raise `Refusal` unless the rules here and those of the job's server allow the person and the words."""
        sentence = await self._queue.admission.refusal_by_rules(person.requester, words, job)
        if sentence is not None:
            raise Refusal(sentence)

    async def press(self, interaction: discord.Interaction[Any], action: str, job_id: str) -> None:
        """Do what a button says; raise `Refusal`."""
        person = person_of(interaction)
        job = await self.job(person, job_id)
        if _numbered(action)[0] in FOLLOW_UPS:
            person.require_channel_permissions()
            await self._intake.take(interaction, await self.follow_up(person, action, job, interaction.id))
        elif action == "steer":
            await self._open_steering(interaction, person, job)
        elif action == "remix":
            person.require_channel_permissions()
            await interaction.response.send_modal(RemixForm(job.id, job.spec))
        elif action == "edit":
            person.require_channel_permissions()
            self._queue.files.picture_of(job)  # there must be one
            await interaction.response.send_modal(EditForm("edit", job.id))
        elif action == "tiled":
            await self._show_tiled(interaction, job)
        elif action == "stop":
            await self.stop(person, job)
            await interaction.response.defer()
        elif action == "delete":
            await self._delete_pressed(interaction, person, job)
        else:
            raise Refusal(_UNKNOWN_BUTTON)

    async def follow_up(self, person: Person, action: str, job: Job, key: int) -> Request:
        """Make the request for a picture made from `job`; raise `Refusal` when what it needs is gone.

        `action` is one of `FOLLOW_UPS`, or v1 to v4 and u1 to u4 for varying and refining one of several pictures.
        """
        action, index = _numbered(action)
        preferences = await self._queue.preferences.user(person.requester.user_id)
        return Request(
            interaction_id=key,
            kind=FOLLOW_UPS[action],
            spec=self._follow_up_spec(action, job, index),
            prompt=job.prompt,
            user_id=person.requester.user_id,
            guild_id=person.requester.guild_id,
            channel_id=person.requester.channel_id,
            role_ids=person.requester.role_ids,
            parent_channel_id=person.requester.parent_channel_id,
            parent_id=job.id,
            notify=preferences.notify,
            notices=inherited(job, FOLLOW_UPS[action]),
            once=FOLLOW_UPS[action]
            not in ("rerun", "zoom", "pan"),  # another seed is another picture; another film is not
        )

    def _follow_up_spec(self, action: str, job: Job, index: int | None) -> PaintingSpec:
        if action == "rerun":
            return jobs.rerun(job.spec, new_seed())
        if action == "same-seed":
            return jobs.rerun(job.spec, job.spec.seed)
        files = self._queue.files
        if action in ("vary", "refine"):
            if index is None and job.spec.count > 1:
                raise Refusal("There are several pictures: press V1 to V4 to vary one, U1 to U4 to refine one.")
            index = index or 0
            if index >= job.spec.count:
                raise Refusal(_UNKNOWN_BUTTON)
            spec, picture = job.spec.alone(index), files.picture_of(job, index)
            if action == "vary":
                return jobs.vary(spec, new_seed(), files.latent_of(job, index), picture)
            return jobs.refine(spec, picture, self._settings.limits.largest_side, self._settings.limits.most_steps)
        if action in jobs.ZOOMS:
            extend, side = jobs.ZOOMS[action], self._settings.limits.largest_side
            return jobs.extended(job.spec.alone(0), files.picture_of(job), extend, new_seed(), side)
        if not files.frames(job.id):
            raise Refusal("There is no film of this picture: its frames are gone, or were never kept.")
        return job.spec

    async def stop(self, person: Person, job: Job) -> None:
        """Stop a running job, keeping the picture so far, or call off a waiting one; raise `Refusal`."""
        await self.require_control(person, job)
        if job.finished:
            raise Refusal("This job has ended already.")
        await self._queue.stop(job.id)

    async def delete(self, person: Person, job: Job, message: discord.PartialMessage | discord.Message) -> None:
        """Call the job off if it is still under way, delete its words, its files, this message and all other copies.

        Raises `Refusal`.
        """
        await self.require_control(person, job)
        copies = await self._queue.delete(job.id)
        try:
            await message.delete()
        except discord.NotFound:
            pass  # somebody was faster
        except discord.Forbidden:
            raise Refusal("I may not delete my message here; ask a moderator to do it.") from None
        finally:
            await delete_messages(self._client, [copy for copy in copies if copy[1] != message.id])

    async def remix(self, interaction: discord.Interaction[Any], job_id: str, answers: Answers) -> None:
        """Paint what the form says, and else what its job was; raise what `Intake.spec` does."""
        person, said = person_of(interaction), answers.texts
        job = await self.job(person, job_id)
        seed = whole_number(said["seed"], "the seed") if said["seed"].strip() else None
        options = remixed(job.spec, said["prompt"], said["size"], said["preset"], seed)
        await self._intake.admit(person, options, parent=job)
        spec = await self._intake.spec(person, options)
        request = await self._intake.request(interaction, "remix", spec, said["prompt"], parent=job)
        await self._intake.take(interaction, request)

    async def steer(self, interaction: discord.Interaction[Any], job_id: str, answers: Answers) -> None:
        """Give a running painting the words of the form; raise `Refusal` or `BadPromptError`."""
        person, text = person_of(interaction), answers.texts["prompt"]
        job = await self.job(person, job_id)
        await self.require_control(person, job)
        images = tuple(prompt for prompt in job.spec.prompts if prompt.kind == "image")
        prompts = (*parse_prompts(text, timed=job.spec.motion is not None), *images)
        await self.require_rules(person, job, jobs.words_of(job.spec.but(prompts=prompts), text))
        if not await self._queue.steer(job.id, prompts):
            raise Refusal("It is too late to steer this painting: it has ended.")
        await interaction.response.send_message("The painting follows your new words from here on.", ephemeral=True)

    async def show(self, interaction: discord.Interaction[Any], job_id: str) -> None:
        """Post a copy of a job's message; raise `Refusal` for what is not to be seen, or may not be shown here.

        Only its requester can have an unfinished job go on in the new message.
        """
        person = person_of(interaction)
        person.require_channel_permissions()
        job = await self.job(person, job_id)
        await self.require_rules(person, job, jobs.words_of(job.spec, job.prompt))
        own = job.user_id == person.requester.user_id
        if not job.finished and not own:
            raise Refusal(f"That picture is still being painted: {_link(job)}")
        if not self._shows.allows(person.requester.user_id):
            raise Refusal("You have just shown several pictures; show the next one in a minute.")
        body, uploads = await self._delivery.current_content(job)
        view, files = filled(body, job, uploads)
        response = await interaction.response.send_message(view=view, files=files)
        if response.message_id is not None and interaction.channel_id is not None:
            current = own and not job.finished
            await self._queue.attach_message(job.id, interaction.channel_id, response.message_id, current=current)

    async def send_privately(self, person: Person, job: Job) -> None:
        """Send a job's picture and settings in a direct message; raise `Refusal` when it cannot be sent."""
        await self.require_rules(person, job, jobs.words_of(job.spec, job.prompt))
        body, uploads = await self._delivery.current_content(job)
        if not uploads:
            raise Refusal("There is no picture to send yet, or not any more.")
        channel = await self._client.create_dm(discord.Object(person.requester.user_id))
        view, files = filled(body, job, uploads)
        try:
            message = await channel.send(view=view, files=files)
        except discord.Forbidden:
            log.info("Job %s: a person takes no direct messages", job.id)
            return
        await self._queue.attach_message(job.id, channel.id, message.id, current=False)

    async def _show_tiled(self, interaction: discord.Interaction[Any], job: Job) -> None:
        """Show in private what a picture looks like laid beside itself."""
        path = self._queue.files.folder / self._queue.files.picture_of(job)
        jpeg = await asyncio.to_thread(lambda: preview_jpeg(laid_out(read_picture(path)), _TILED_SIDE))
        file = discord.File(io.BytesIO(jpeg), filename=f"tiled-{job.id}.jpg", spoiler=is_hidden(job))
        await interaction.response.send_message(file=file, ephemeral=True)

    async def _open_steering(self, interaction: discord.Interaction[Any], person: Person, job: Job) -> None:
        await self.require_control(person, job)
        if job.finished:
            raise Refusal("Only a painting that is under way can be steered; try Vary instead.")
        await interaction.response.send_modal(SteerForm(job.id, job.prompt))

    async def _delete_pressed(self, interaction: discord.Interaction[Any], person: Person, job: Job) -> None:
        await self.require_control(person, job)
        assert interaction.message is not None
        await interaction.response.defer()
        await self.delete(person, job, interaction.message)


def _numbered(action: str) -> tuple[str, int | None]:
    """Read v2 as the second picture's variation; None: no picture is named."""
    if action[:1] in _OF_ONE and action[1:].isdigit():
        return _OF_ONE[action[0]], int(action[1:]) - 1
    return action, None


async def delete_messages(client: discord.Client, copies: Iterable[tuple[int, int]]) -> None:
    """Delete messages, by channel and message id, as far as they are there and the bot may."""
    for channel_id, message_id in copies:
        try:
            await client.get_partial_messageable(channel_id).get_partial_message(message_id).delete()
        except discord.HTTPException as error:
            log.info("A copy of a deleted picture could not be deleted (%s)", error)


def _link(job: Job) -> str:
    if job.message_id is None:
        return "look again in a moment."
    return f"https://discord.com/channels/{job.guild_id or '@me'}/{job.channel_id}/{job.message_id}"
