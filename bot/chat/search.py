"""Find what was posted of a job, by an earlier process or by a call whose answer was lost."""

import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import discord

from bot.chat.message_files import files_of
from bot.chat.retry import BROKEN, retried
from bot.jobs import Job

log = logging.getLogger(__name__)

_SEARCHED = 200
"""How many later messages are looked through for what may have been posted."""
_Wanted = Callable[[discord.Message], bool]


class MessageSearch:
    """Look through the channel of a job, or through its requester's direct messages."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def message_of(self, job: Job) -> discord.Message | None:
        """Return the first message with the job's buttons, None without one or where the channel cannot be searched."""
        try:
            return await retried(lambda: self._first(job, lambda message: _has_buttons_of(job, message)))
        except BROKEN as error:
            log.info("Job %s: its channel cannot be searched (%s)", job.id, error)
            return None

    async def end_of(self, job: Job, shows: str) -> discord.Message | None:
        """Return the message that shows how the job ended.

        `shows` is the beginning of its file's name, or words that stand in it. Waits until it is known, however long
        Discord is out of reach: whoever posts on a guess may post twice. None also where nothing may be read.
        """

        def wanted(message: discord.Message) -> bool:
            ours = self._client.user is not None and message.author.id == self._client.user.id
            return ours and (_has_file(message, shows) or (_has_buttons_of(job, message) and _says(message, shows)))

        try:
            return await retried(lambda: self._search(job, wanted), tries=None)
        except discord.HTTPException as error:
            log.info("Job %s: its channel cannot be searched (%s)", job.id, error)
            return None

    async def _search(self, job: Job, wanted: _Wanted) -> discord.Message | None:
        try:
            if job.message_id is not None:
                with contextlib.suppress(discord.NotFound):  # it was deleted, and the end came as a reply
                    message = await self._channel(job).get_partial_message(job.message_id).fetch()
                    if wanted(message):
                        return message
            return await self._first(job, wanted)
        except (discord.Forbidden, discord.NotFound):  # then its requester was written to
            channel = await self._client.create_dm(discord.Object(job.user_id))
            return await self._first(job, wanted, channel)

    async def _first(
        self, job: Job, wanted: _Wanted, channel: discord.abc.Messageable | None = None
    ) -> discord.Message | None:
        """Return the first message since the job was asked for that is `wanted`."""
        since = discord.Object(_since(job))
        async for message in (channel or self._channel(job)).history(limit=_SEARCHED, after=since):
            if wanted(message):
                return message
        return None

    def _channel(self, job: Job) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)


def _has_buttons_of(job: Job, message: discord.Message) -> bool:
    buttons = discord.ui.LayoutView.from_message(message).walk_children()
    return any(str(getattr(button, "custom_id", "")).endswith(f":{job.id}") for button in buttons)


def _has_file(message: discord.Message, beginning: str) -> bool:
    return any(file.name.startswith(beginning) for file in files_of(message))


def _says(message: discord.Message, words: str) -> bool:
    parts = discord.ui.LayoutView.from_message(message).walk_children()
    return any(isinstance(part, discord.ui.TextDisplay) and words in part.content for part in parts)


def _since(job: Job) -> int:
    """Return a snowflake from before the job's first message, by Discord's clock if possible: ours may be wrong."""
    if job.interaction_id > 0:
        return job.interaction_id
    if job.message_id is not None:
        return job.message_id - 1
    return discord.utils.time_snowflake(datetime.fromtimestamp(job.created_at, UTC), high=False)
