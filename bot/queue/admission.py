"""Who may ask for what: blocked people, channels and words, a queue that takes nothing, limits."""

import asyncio
from collections.abc import Iterable

from bot.jobs import Job, Request, Requester, words_of
from bot.options import require_allowed
from bot.queue.blocked_words import blocked_word
from bot.queue.ledger import Ledger
from bot.queue.limits import Limits, limits_of, refusal_by_limits, refusal_of_group
from bot.queue.preferences import GuildSettings, Preferences
from bot.refusals import Refusal
from bot.settings import ModerationSettings, Settings


class Admission:
    """Say why something may not be painted or shown. Every door asks here."""

    def __init__(self, settings: Settings, ledger: Ledger, preferences: Preferences) -> None:
        self._settings = settings
        self._ledger = ledger
        self._preferences = preferences
        self.closing = False
        """The process is about to end: nothing more is taken."""

    async def refusal(self, requester: Requester, words: str = "", parent: Job | None = None) -> str | None:
        """Say in one sentence why these words may not be painted for this person now, or None.

        `parent` is the job that the painting is made from: the rules of its guild hold as well.
        """
        if (sentence := await self._refusal_by_state(requester)) is not None:
            return sentence
        if (sentence := await self.refusal_by_rules(requester, words, parent)) is not None:
            return sentence
        usage = await self._ledger.usage(requester)
        return refusal_by_limits(await self.limits(requester), usage, in_guild=requester.guild_id is not None)

    async def require(self, request: Request) -> Limits:
        """Raise `Refusal` unless the request may be queued; return the limits to hold it to when it is added.

        Whatever made the request, everything is asked here but the limits, which are counted as it is added.
        """
        parent = await self._ledger.job(request.parent_id) if request.parent_id is not None else None
        sentence = await self._refusal_by_state(request.requester)
        words = words_of(request.spec, request.prompt)
        sentence = sentence or await self.refusal_by_rules(request.requester, words, parent)
        if sentence is not None:
            raise Refusal(sentence)
        require_allowed(request.spec, self._settings.models, self._settings.limits)
        return await self.limits(request.requester)

    async def require_room(self, requester: Requester, count: int) -> None:
        """Raise `Refusal` unless so many more requests of one person may be taken now, as a group."""
        usage, limits = await self._ledger.usage(requester), await self.limits(requester)
        sentence = refusal_of_group(limits, usage, count, in_guild=requester.guild_id is not None)
        if sentence is not None:
            raise Refusal(sentence)

    async def refusal_by_rules(self, requester: Requester, words: str, job: Job | None = None) -> str | None:
        """Say why this person, this channel or these words are refused, here or in the guild of `job`; None if not.

        This is asked wherever words are painted and pictures shown. It runs beside the loop: texts may be long.
        """
        guild_id = requester.guild_id
        here = await self._preferences.guild_in_effect(guild_id)
        foreign = job is not None and job.guild_id is not None and job.guild_id != guild_id
        elsewhere = [await self._preferences.guild_in_effect(job.guild_id)] if job is not None and foreign else []
        return await asyncio.to_thread(refusal_by_rules, requester, words, here, self._settings.moderation, elsewhere)

    async def limits(self, requester: Requester) -> Limits:
        """Return what this person may have at once and in a day, where they ask."""
        guild = await self._preferences.guild_in_effect(requester.guild_id)
        return limits_of(requester, guild, self._settings.limits)

    async def _refusal_by_state(self, requester: Requester) -> str | None:
        if self.closing:
            return "The bot is about to restart; try again in a minute."
        if (await self._preferences.guild_in_effect(requester.guild_id)).draining:
            return "No new paintings are taken right now; try again later."
        return None


def refusal_by_rules(
    requester: Requester,
    words: str,
    here: GuildSettings,
    settings: ModerationSettings,
    elsewhere: Iterable[GuildSettings] = (),
) -> str | None:
    """Say why this person may not have these words painted, or their picture shown, here; None when they may.

    `here` holds the rules of the requester's guild, `elsewhere` those of the guild that the job comes from.
    """
    guilds = (here, *elsewhere)
    if requester.user_id in settings.blocked_users or any(requester.user_id in guild.blocked_users for guild in guilds):
        return "You may not use this bot here."
    channels = {requester.channel_id, requester.parent_channel_id}  # what holds in a channel holds in its threads
    if channels & here.channels_denied or (here.channels_allowed and not channels & here.channels_allowed):
        return "Painting is not allowed in this channel."
    blocked = frozenset(settings.blocked_words).union(*(guild.blocked_words for guild in guilds))
    if blocked_word(words, blocked) is not None:
        return "This prompt contains a word that is not allowed here; say it differently."
    return None
