"""Take requests: refuse in private, or queue the job and answer with its message at once."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import discord

from bot import logs
from bot.chat.attachments import Upload, Uploads
from bot.chat.components import boxed, layout
from bot.chat.content import MessageContent
from bot.chat.message_files import ShownFile
from bot.chat.people import Person, person_of
from bot.chat.retry import BROKEN, retried
from bot.chat.waiting import WaitingMessages
from bot.flags import with_flags
from bot.jobs import Job, Kind, Request, words_of
from bot.options import PaintingOptions, painting_spec, require_allowed
from bot.queue.preferences import defaults_for
from bot.queue.service import PaintingQueue
from bot.refusals import Refusal
from bot.settings import Settings
from bot.worker.events import FROM_SPOILER_NOTICE, HIDING_NOTICES
from engine.spec import PaintingSpec

log = logging.getLogger(__name__)
T = TypeVar("T")

_NOTE = ".json"
_DEFER_SECONDS = 1.5
"""Seconds that work before the answer may take; Discord waits for three."""


def inherited(parent: Job, kind: Kind) -> tuple[str, ...]:
    """Return the notices that go over to what is made from a job: a rerun has its start, the others its picture."""
    hiding = {FROM_SPOILER_NOTICE} if kind in ("rerun", "remix") else HIDING_NOTICES
    return tuple(notice for notice in parent.notices if notice in hiding)


def is_hidden(job: Job) -> bool:
    """Return whether the picture of a job is shown as a spoiler only."""
    return not HIDING_NOTICES.isdisjoint(job.notices)


class Intake:
    """Take requests: check them, queue them and show the job's message."""

    def __init__(
        self, client: discord.Client, queue: PaintingQueue, settings: Settings, waiting: WaitingMessages
    ) -> None:
        self._client = client
        self._queue = queue
        self._settings = settings
        self._waiting = waiting

    async def admit(self, person: Person, options: PaintingOptions, parent: Job | None = None) -> None:
        """Raise `Refusal` unless this person may ask for this painting here and now.

        `parent` is the job whose picture it starts from. Everything is asked that can be before anything is fetched;
        stand-ins may take the place of files. It is asked again, of what is painted in the end, when the job is queued.
        """
        person.require_channel_permissions()
        spec = await self.spec(person, options)
        words = words_of(spec, options.prompt)
        if (sentence := await self._queue.admission.refusal(person.requester, words, parent)) is not None:
            raise Refusal(sentence)

    async def spec(self, person: Person, options: PaintingOptions) -> PaintingSpec:
        """Build what this person asks for under the defaults and limits here.

        Raises `Refusal`, `BadPromptError` or `BadSpecError`.
        """
        guild = await self._queue.preferences.guild_in_effect(person.requester.guild_id)
        user = await self._queue.preferences.user(person.requester.user_id)
        models = self._settings.models
        defaults = defaults_for(user, guild, models)
        spec = painting_spec(
            with_flags(options), defaults if options.suffixed else replace(defaults, suffix=""), models
        )
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
        parent: Job | None = None,
    ) -> Request:
        """Make the request of a command; `spoiler`: what it is made from is hidden; `parent`: the job it comes from."""
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
            role_ids=requester.role_ids,
            parent_channel_id=requester.parent_channel_id,
            parent_id=parent.id if parent is not None else None,
            notify=preferences.notify,
            notices=((FROM_SPOILER_NOTICE,) if spoiler else ()) or (inherited(parent, kind) if parent else ()),
        )

    @contextlib.asynccontextmanager
    async def keeping(self, user_id: int, *uploads: Upload) -> AsyncIterator[tuple[str, ...]]:
        """Keep uploads as long as pictures are kept; give their paths for a spec. Nothing is kept where this fails.

        Raises `Refusal` for somebody who sent too much already.
        """
        paths: list[str] = []
        try:
            for upload in uploads:
                path = await self._queue.inputs.keep(user_id, upload.png, ".png")
                paths.append(path)  # one by one: where the second is refused, the first is let go of
            yield tuple(paths)
        except BaseException:
            await asyncio.shield(self._queue.inputs.drop(user_id, paths))
            raise

    async def save_note(self, user_id: int, content: Mapping[str, Any]) -> str:
        """Keep a note of somebody as long as pictures are kept; return its name, for a custom_id."""
        note = json.dumps({"user": user_id, **content}, sort_keys=True).encode()
        return Path(await self._queue.inputs.keep(user_id, note, _NOTE)).stem

    async def read_note(self, user_id: int, name: str) -> Mapping[str, Any]:
        """Read a note of this person; raise `Refusal` when it is gone or somebody else's."""
        try:
            path = self._queue.files.folder / "inputs" / f"{name}{_NOTE}"
            content = json.loads(await asyncio.to_thread(path.read_bytes))
        except (FileNotFoundError, ValueError):
            content = {}
        if content.get("user") != user_id:
            raise Refusal("This form is too old; open it again from the message's menu.")
        return content

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

    async def take_group(
        self, interaction: discord.Interaction[Any], requests: Sequence[Request], *controls: discord.ui.Item[Any]
    ) -> list[Job]:
        """Queue several requests of one person, all or none, say so, and show a message for each; raise `Refusal`.

        `controls` are shown below what is said.
        """
        jobs = await self._queue.submit_group(requests)
        text = "It is on its way." if len(jobs) == 1 else f"{len(jobs)} paintings are on their way."
        said = boxed(discord.ui.TextDisplay(text), *controls)
        await interaction.response.edit_message(view=said)
        for job in jobs:
            if not self._has_message(job):
                with self._waiting.posting(job.id):
                    await self._post(job, await self._waiting.first_content(job), None)
        return jobs

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
            return (await interaction.response.send_message(view=layout(body, job.id))).message_id
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
        message = await retried(lambda: channel.send(view=layout(body, job.id), nonce=job.id, **reply), tries=4)
        await self._queue.attach_message(job.id, job.channel_id, message.id)
        return message.id


async def fetch_all(
    interaction: discord.Interaction[Any], uploads: Uploads, files: Mapping[str, ShownFile]
) -> dict[str, Upload]:
    """Fetch files by what they are for, one after the other; a `mask` is read as one. Raise `Refusal`."""
    fetched: dict[str, Upload] = {}
    for name, file in files.items():
        work = uploads.fetch(interaction.user.id, file, "mask" if name == "mask" else "picture")
        fetched[name] = await defer_if_slow(interaction, work)
    return fetched


async def defer_if_slow(interaction: discord.Interaction[Any], work: Coroutine[Any, Any, T]) -> T:
    """Await `work` that must come before the answer; show a private "thinking" when it takes long."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=_DEFER_SECONDS)
    if not task.done() and not interaction.response.is_done():
        await interaction.response.defer(ephemeral=True, thinking=True)
    return await task
