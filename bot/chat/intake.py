"""Take requests: refuse in private, or queue the job and answer with its message at once."""

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import discord

from bot import logs
from bot.chat.attachments import Upload
from bot.chat.components import layout
from bot.chat.content import MessageContent
from bot.chat.people import Person, person_of
from bot.chat.retry import BROKEN, retried
from bot.chat.waiting import WaitingMessages
from bot.flags import with_flags
from bot.jobs import Job, Kind, Request
from bot.options import PaintingOptions, painting_spec, require_allowed
from bot.queue.preferences import defaults_for
from bot.queue.service import PaintingQueue
from bot.refusals import Refusal
from bot.settings import Settings
from bot.worker.events import FROM_SPOILER_NOTICE
from engine.spec import PaintingSpec

log = logging.getLogger(__name__)
T = TypeVar("T")

_NOTE = ".json"
_DEFER_SECONDS = 1.5
"""Seconds that work before the answer may take; Discord waits for three."""


class Intake:
    """Take requests: check them, queue them and show the job's message."""

    def __init__(
        self, client: discord.Client, queue: PaintingQueue, settings: Settings, waiting: WaitingMessages
    ) -> None:
        self._client = client
        self._queue = queue
        self._settings = settings
        self._waiting = waiting

    async def admit(self, person: Person, prompt: str) -> None:
        """Raise `Refusal` unless this person may ask for this prompt in this channel now."""
        person.require_channel_permissions()
        if (sentence := await self._queue.refusal(person.requester, prompt)) is not None:
            raise Refusal(sentence)

    async def spec(self, person: Person, options: PaintingOptions) -> PaintingSpec:
        """Build what this person asks for under the defaults and limits here.

        Raises `Refusal`, `BadPromptError` or `BadSpecError`.
        """
        guild = await self._queue.preferences.guild_in_effect(person.requester.guild_id)
        user = await self._queue.preferences.user(person.requester.user_id)
        models = self._settings.models
        spec = painting_spec(with_flags(options), defaults_for(user, guild, models), models)
        require_allowed(spec, models, self._settings.limits)
        return spec

    async def request(
        self,
        interaction: discord.Interaction[Any],
        kind: Kind,
        spec: PaintingSpec,
        prompt: str,
        *,
        spoiler: bool = False,
    ) -> Request:
        """Make the request of a command; `spoiler`: what it is made from is hidden."""
        requester = person_of(interaction).requester
        preferences = await self._queue.preferences.user(requester.user_id)
        return Request(
            interaction_id=interaction.id,
            kind=kind,
            spec=spec,
            prompt=prompt,
            user_id=requester.user_id,
            guild_id=requester.guild_id,
            channel_id=requester.channel_id,
            notify=preferences.notify,
            notices=(FROM_SPOILER_NOTICE,) if spoiler else (),
        )

    async def keep(self, upload: Upload) -> str:
        """Store an upload, under the retention of pictures; return its path for a spec."""
        return await asyncio.to_thread(self._queue.files.save_input, upload.png, ".png")

    async def save_note(self, content: bytes) -> str:
        """Store a note, under the retention of pictures; return its name, for a custom_id."""
        return Path(await asyncio.to_thread(self._queue.files.save_input, content, _NOTE)).stem

    async def read_note(self, name: str) -> bytes:
        """Read a note; raise `Refusal` when it is gone."""
        try:
            return await asyncio.to_thread((self._queue.files.folder / "inputs" / f"{name}{_NOTE}").read_bytes)
        except FileNotFoundError:
            raise Refusal("This form is too old; open it again from the message's menu.") from None

    async def take(self, interaction: discord.Interaction[Any], request: Request) -> Job:
        """Queue a request and answer the interaction with the job's message; raise `Refusal`."""
        job = await self._queue.submit(request)
        logs.about(job.id)
        if job.interaction_id != request.interaction_id:
            await interaction.response.send_message(f"That is already on its way: job `{job.id}`.", ephemeral=True)
        elif not self._has_message(job):  # else Discord sent the same interaction twice: the first one is answered
            with self._waiting.posting(job.id):
                await self._answer(interaction, job, await self._waiting.first_content(job))
        return job

    async def take_by_reply(self, request: Request, reply_to: int) -> Job:
        """Queue a request that came without an interaction and show its message as a reply."""
        job = await self._queue.submit(request)
        logs.about(job.id)
        if job.interaction_id == request.interaction_id and not self._has_message(job):
            with self._waiting.posting(job.id):
                await self._post(job, await self._waiting.first_content(job), reply_to)
        return job

    def _has_message(self, job: Job) -> bool:
        return job.message_id is not None or self._waiting.is_posting(job.id)

    async def _answer(self, interaction: discord.Interaction[Any], job: Job, body: MessageContent) -> None:
        if interaction.response.is_done():  # the slow way: a private "thinking" was shown first
            message_id = await self._post(job, body, None)
            link = self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
            await interaction.edit_original_response(content=link.get_partial_message(message_id).jump_url)
            return
        message_id = await self._answered(interaction, job, body)
        if message_id is None:  # the token is void: from here on the channel is as good
            await self._post(job, body, None)
        else:
            await self._queue.attach_message(job.id, job.channel_id, message_id)

    async def _answered(self, interaction: discord.Interaction[Any], job: Job, body: MessageContent) -> int | None:
        """Answer with the job's message and return its id; None where no answer is taken."""
        try:
            return (await interaction.response.send_message(view=layout(body, job.id, None))).message_id
        except BROKEN as error:
            log.warning("Job %s: the interaction could not be answered (%s)", job.id, type(error).__name__)
        try:  # the answer may have been lost after Discord took it
            return (await interaction.original_response()).id
        except BROKEN:
            return None

    async def _post(self, job: Job, body: MessageContent, reply_to: int | None) -> int:
        channel = self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        reply: dict[str, Any] = {}
        if reply_to is not None:
            reply["reference"] = channel.get_partial_message(reply_to).to_reference(fail_if_not_exists=False)
        message = await retried(lambda: channel.send(view=layout(body, job.id, None), nonce=job.id, **reply), tries=4)
        await self._queue.attach_message(job.id, job.channel_id, message.id)
        return message.id


async def defer_if_slow(interaction: discord.Interaction[Any], work: Coroutine[Any, Any, T]) -> T:
    """Await `work` that must come before the answer; show a private "thinking" when it takes long."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=_DEFER_SECONDS)
    if not task.done() and not interaction.response.is_done():
        await interaction.response.defer(ephemeral=True, thinking=True)
    return await task
