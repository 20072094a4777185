"""Reactions as actions, rate limited by person and channel."""

import logging

import discord

from bot import logs
from bot.chat.actions import FOLLOW_UPS, Actions
from bot.chat.errors import sentence_for
from bot.chat.intake import Intake
from bot.chat.people import Person, person_of_reaction
from bot.chat.rate_limit import RateLimit
from bot.jobs import Job, reaction_key
from bot.queue.service import PaintingQueue
from bot.settings import ReactionSettings

log = logging.getLogger(__name__)

_PER_MINUTE_USER, _PER_MINUTE_CHANNEL = 6, 20


class Reactions:
    """Do what reactions on the bot's messages ask for, by the same actions as the buttons."""

    def __init__(
        self, client: discord.Client, queue: PaintingQueue, settings: ReactionSettings, intake: Intake, actions: Actions
    ) -> None:
        self._client = client
        self._queue = queue
        self._intake = intake
        self._actions = actions
        self._by_user, self._by_channel = RateLimit(_PER_MINUTE_USER), RateLimit(_PER_MINUTE_CHANNEL)
        self._explained = RateLimit(1)
        self._by_emoji = {_same(emoji): action for emoji, action in settings.actions.items()}

    async def take(self, event: discord.RawReactionActionEvent) -> None:
        """Do what a reaction asks for; ignore unmapped emoji, messages without a job and too many reactions."""
        action = self._by_emoji.get(_same(str(event.emoji)))
        if action is None or self._is_bot(event):
            return
        job = await self._queue.ledger.by_message(event.message_id)
        if job is None or not (self._by_user.allows(event.user_id) and self._by_channel.allows(event.channel_id)):
            return
        logs.about(job.id)
        person = person_of_reaction(self._client, event)
        if person is None:
            return
        try:
            await self._do(action, person, job, event)
        except Exception as error:
            await self._explain(event.user_id, error)

    def _is_bot(self, event: discord.RawReactionActionEvent) -> bool:
        own = self._client.user is not None and event.user_id == self._client.user.id
        return own or (event.member is not None and event.member.bot)

    async def _do(self, action: str, person: Person, job: Job, event: discord.RawReactionActionEvent) -> None:
        if action == "send":
            await self._actions.send_privately(person, job)
        elif action == "stop":
            if job.finished:
                channel = self._client.get_partial_messageable(event.channel_id, guild_id=event.guild_id)
                await self._actions.delete(person, job, channel.get_partial_message(event.message_id))
            else:
                await self._actions.stop(person, job)
        elif action in FOLLOW_UPS:
            key = reaction_key(event.message_id, event.user_id, _same(str(event.emoji)))
            person.require_channel_permissions()
            await self._intake.take_by_reply(await self._actions.follow_up(person, action, job, key), event.message_id)

    async def _explain(self, user_id: int, error: Exception) -> None:
        """Send a refusal in a direct message, as a reaction has no private answer; at most one a minute."""
        text = sentence_for(error)
        if text is None:
            log.error("A reaction failed", exc_info=error)
            return
        if not self._explained.allows(user_id):
            return
        try:
            channel = await self._client.create_dm(discord.Object(user_id))
            await channel.send(text)
        except discord.HTTPException:
            log.info("A refusal could not be told: the person takes no direct messages")


def _same(emoji: str) -> str:
    """Drop the variation selector, which only some clients send."""
    return emoji.replace("\ufe0f", "")
