"""Post how a job ended, exactly once: retries, fallbacks, and the search for what was posted already."""

import asyncio
import contextlib
import io
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import discord

from bot.chat import content
from bot.chat.components import NOBODY, alt_of, layout
from bot.chat.content import MessageContent
from bot.chat.retry import BROKEN, may_pass, retried, token_refused, too_large
from bot.chat.search import MessageSearch
from bot.chat.upload_limit import fit
from bot.jobs import Job, JobState
from bot.queue.service import PaintingQueue
from bot.settings import Settings
from engine.pictures import BadPictureError

log = logging.getLogger(__name__)

_OUTAGE_SECONDS = 60.0
"""How long a picture waits that Discord could not take in any way, before everything is tried again."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The final file, kept in memory for several attempts to send it."""

    name: str
    content: bytes

    def file(self, alt: str | None) -> discord.File:
        """Return a fresh file for one call; discord.py closes it afterwards."""
        return discord.File(io.BytesIO(self.content), filename=self.name, description=alt)


def final_name(job: Job, suffix: str, index: int = 0) -> str:
    """Name a final file so that a later process recognises it in the channel."""
    return f"painting-{job.id}{f'.{index + 1}' if index else ''}{suffix}"


def filled(
    body: MessageContent, job: Job, uploads: Sequence[Upload]
) -> tuple[discord.ui.LayoutView, list[discord.File]]:
    """Lay out a job's message with its final files; return both, for one call."""
    files = [one.file(alt_of(body, number, len(uploads))) for number, one in enumerate(uploads, start=1)]
    return layout(body, job.id, [one.name for one in uploads]), files


_Way = Callable[[Job, MessageContent, Sequence[Upload]], Awaitable[discord.Message]]


class Delivery:
    """Post how jobs ended: edit the job's message, else reply to it, else write to the requester."""

    def __init__(self, client: discord.Client, queue: PaintingQueue, settings: Settings) -> None:
        self._client = client
        self._queue = queue
        self._settings = settings
        self._search = MessageSearch(client)

    async def deliver(self, job: Job, *, lost: bool = False) -> None:
        """Post how `job` ended and record that in the ledger; `lost`: its message cannot be edited."""
        body = content_of_end(job)
        message = await self._post(job, body, await self._uploads(job), lost)
        if message is not None and await self._is_deleted(job):  # while it was being posted
            with contextlib.suppress(discord.HTTPException):
                await message.delete()
            message = None
        if message is None:  # /show has it
            await self._queue.mark_delivered(job.id)
            return
        await self._queue.mark_delivered(job.id, message.id, message.channel.id)
        if job.state is JobState.RENDERED:
            await self._afterwards(job, message)

    async def deliver_if_unannounced(self, job: Job) -> None:
        """Deliver a job that an earlier process finished, unless that process has posted it already."""
        message = await self._search.end_of(job, _sign_of_end(job, content_of_end(job)))
        if message is not None:
            await self._queue.mark_delivered(job.id, message.id, message.channel.id)
        else:
            await self.deliver(job)

    async def adopt(self, job: Job) -> None:
        """Find a job's message that was sent and not recorded."""
        message = await self._search.message_of(job)
        if message is not None:
            await self._queue.attach_message(job.id, job.channel_id, message.id)

    async def current_content(self, job: Job) -> tuple[MessageContent, list[Upload]]:
        """Return the content of a job's message in its present state, and its final files as far as there are any."""
        if not job.finished:
            return content.starting(job) if job.state is JobState.RUNNING else content.waiting(job), []
        uploads = await self._uploads(job)
        gone = not uploads and job.state in {JobState.RENDERED, JobState.DELIVERED}
        return content.gone(job) if gone else content_of_end(job), uploads

    async def _post(
        self, job: Job, body: MessageContent, uploads: Sequence[Upload], lost: bool
    ) -> discord.Message | None:
        """Show `body` in the job's message or in a new one; return that message, None when no way is left."""
        edit = () if lost or not self._editable(job) else (self._edit,)
        while True:
            outage = False
            for way in (*edit, self._reply, self._write_to_requester):
                if await self._is_deleted(job):
                    return None
                try:
                    return await self._post_by(way, job, body, uploads)
                except BROKEN as error:
                    outage = outage or may_pass(error) or token_refused(error)
                    if token_refused(error):
                        self._client.dispatch("token_refused")
                    log.warning("Job %s: its end cannot be shown by %s (%s)", job.id, way.__name__.strip("_"), error)
                    # It may have been done and only the answer lost: no second way before that is known.
                    if (
                        may_pass(error)
                        and (found := await self._search.end_of(job, _sign_of_end(job, body))) is not None
                    ):
                        return found
            if not outage:
                return None
            await asyncio.sleep(_OUTAGE_SECONDS)

    async def _is_deleted(self, job: Job) -> bool:
        current = await self._queue.ledger.job(job.id)
        return current is None or current.deleted_at is not None

    async def _post_by(self, way: _Way, job: Job, body: MessageContent, uploads: Sequence[Upload]) -> discord.Message:
        """Post by one way; halve the files as long as Discord finds them too large."""
        while True:
            try:
                return await retried(lambda uploads=uploads: way(job, body, uploads))
            except discord.HTTPException as error:
                if not uploads or not too_large(error):
                    raise
                uploads = await self._uploads(job, max(len(one.content) for one in uploads) // 2)

    def _editable(self, job: Job) -> bool:
        if job.message_id is None:
            return False
        age = time.time() - job.created_at
        return age < self._settings.discord.edit_age_seconds

    async def _edit(self, job: Job, body: MessageContent, uploads: Sequence[Upload]) -> discord.Message:
        assert job.message_id is not None
        message = self._channel(job).get_partial_message(job.message_id)
        view, files = filled(body, job, uploads)
        return await message.edit(view=view, attachments=files, allowed_mentions=NOBODY)

    async def _reply(self, job: Job, body: MessageContent, uploads: Sequence[Upload]) -> discord.Message:
        channel = self._channel(job)
        reply: dict[str, Any] = {}
        if job.message_id is not None:
            reply["reference"] = channel.get_partial_message(job.message_id).to_reference(fail_if_not_exists=False)
        return await channel.send(**_message(job, body, uploads), **reply)

    async def _write_to_requester(self, job: Job, body: MessageContent, uploads: Sequence[Upload]) -> discord.Message:
        channel = await self._client.create_dm(discord.Object(job.user_id))
        return await channel.send(**_message(job, body, uploads))

    async def _afterwards(self, job: Job, message: discord.Message) -> None:
        """Mention the requester if they asked for it, and add the reactions; failures are logged only."""
        try:
            if job.notify:
                await message.channel.send(
                    f"<@{job.user_id}> your picture is done.",
                    reference=message.to_reference(fail_if_not_exists=False),
                    allowed_mentions=discord.AllowedMentions(users=[discord.Object(job.user_id)]),
                    nonce=f"{job.id}-ping",
                )
            for emoji in () if job.kind == "timelapse" else self._settings.reactions.seeded:
                await retried(lambda emoji=emoji: message.add_reaction(emoji), tries=3)
        except BROKEN as error:
            log.info("Job %s: no reactions or no mention (%s)", job.id, error)

    async def _uploads(self, job: Job, limit: int | None = None) -> list[Upload]:
        """Read a job's final files, each made to fit; none where there are none, or one cannot be read."""
        if job.state not in {JobState.RENDERED, JobState.DELIVERED}:
            return []
        try:
            side, limit = self._settings.delivery.enlarge_to, limit or self._limit(job.guild_id)
            fitted = [await asyncio.to_thread(fit, path, limit, side) for path in await self._queue.posted_files(job)]
        except (OSError, BadPictureError):
            log.exception("The picture of job %s cannot be uploaded", job.id)
            return []
        return [Upload(final_name(job, suffix, index), data) for index, (suffix, data) in enumerate(fitted)]

    def _limit(self, guild_id: int | None) -> int:
        guild = self._client.get_guild(guild_id) if guild_id is not None else None
        return guild.filesize_limit if guild is not None else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES

    def _channel(self, job: Job) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)


def _sign_of_end(job: Job, body: MessageContent) -> str:
    """Return by what a message is known that shows how a job ended: its file's name, or its words."""
    return final_name(job, ".") if job.state in {JobState.RENDERED, JobState.DELIVERED} else body.status


def content_of_end(job: Job) -> MessageContent:
    """Return what the message of an ended job shows."""
    if job.state is JobState.FAILED:
        return content.failed(job, job.error or "Something went wrong; try again.")
    if job.state is JobState.CANCELLED:
        return content.cancelled(job)
    return content.finished(job)


def _message(job: Job, body: MessageContent, uploads: Sequence[Upload]) -> dict[str, Any]:
    """Make the arguments of a send, with a nonce by which Discord drops repetitions."""
    view, files = filled(body, job, uploads)
    return {"view": view, "files": files, "nonce": f"{job.id}-end"}
