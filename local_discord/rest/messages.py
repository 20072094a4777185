"""Channels, messages and reactions, as the bot asks for them."""

import time

from local_discord import threads
from local_discord.errors import Refused, invalid, missing_permissions, unknown
from local_discord.ids import Json
from local_discord.objects import Channel, Message, Thread
from local_discord.permissions import Permission
from local_discord.posting import fill, may_send, post
from local_discord.rest.requests import Call
from local_discord.world import Event, World

NONCE_SECONDS = 180.0
"""For how long a nonce is enforced: "the past few minutes"."""


class MessageRoutes:
    """The handlers of channels, messages and reactions."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._nonces_count_from = 0.0

    def forget_nonces(self) -> None:
        """Let a few minutes pass, after which a nonce does not count any more."""
        self._nonces_count_from = time.time()

    async def direct(self, call: Call) -> Json:
        """Open direct messages with somebody."""
        return self._world.direct(self._world.user_by_id(int(call.body["recipient_id"]))).json()

    async def channel(self, call: Call) -> Json:
        """Return a channel."""
        return self._there(call, Permission.VIEW_CHANNEL).json(self._world.bot)

    async def thread_member(self, call: Call) -> Json:
        """Return a member of a thread."""
        thread = self._there(call, Permission.VIEW_CHANNEL)
        user = self._world.user_by_id(call.number("user"))
        if not isinstance(thread, Thread) or user.id not in thread.members:
            raise unknown(10007, "Member")
        return thread.member(user)

    async def join(self, call: Call) -> None:
        """Let the bot become a member of a thread."""
        thread = self._there(call, Permission.VIEW_CHANNEL)
        if not isinstance(thread, Thread):
            raise Refused(400, 50024, "Cannot execute action on this channel type")
        threads.check(self._world, self._world.bot, thread, writing=False)
        threads.add(self._world, thread, self._world.bot)

    async def history(self, call: Call) -> list[Json]:
        """List messages, newest first."""
        query = call.request.query
        limit = min(int(query.get("limit", "50")), 100)
        channel = self._there(call, Permission.VIEW_CHANNEL)
        if Permission.READ_MESSAGE_HISTORY not in self._world.permissions(self._world.bot, channel):
            return []
        there = self._world.in_channel(channel)
        if "after" in query:
            there = [message for message in there if message.id > int(query["after"])][:limit]
        if "before" in query:
            there = [message for message in there if message.id < int(query["before"])]
        return [self.shown(message) for message in reversed(there[-limit:])]

    async def message(self, call: Call) -> Json:
        """Return one message."""
        self._there(call, Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY)
        return self.shown(self._found(call))

    async def send(self, call: Call) -> Json:
        """Create a message; one with an enforced nonce only once in a few minutes."""
        channel = self._world.channel(call.number("channel"))
        reply = call.body.get("message_reference") is not None
        may_send(self._world, self._world.bot, channel, call.body, files=bool(call.files), reply=reply)
        nonce = call.body.get("nonce")
        if nonce is not None and call.body.get("enforce_nonce") and (known := self._sent_with(nonce, channel)):
            return self.shown(known)
        message = Message(channel, self._world.bot, nonce=nonce, reference=self._reference(call.body, channel))
        fill(self._world, message, call.body, call.files, self._world.upload_limit(channel))
        post(self._world, message)
        return self.shown(message)

    def _sent_with(self, nonce: str | int, channel: Channel) -> Message | None:
        """Return the bot's message with this nonce, if it was posted in the last few minutes."""
        since = max(time.time() - NONCE_SECONDS, self._nonces_count_from)
        for message in reversed(self._world.messages.values()):
            if message.created < since:
                return None
            if (message.nonce, message.channel, message.author) == (nonce, channel, self._world.bot):
                return message
        return None

    async def edit(self, call: Call) -> Json:
        """Change a message of the bot's own."""
        channel = self._there(call, Permission.VIEW_CHANNEL)
        message = self._found(call)
        threads.check(self._world, self._world.bot, channel, writing=False)
        if message.author is not self._world.bot:
            raise Refused(403, 50005, "Cannot edit a message authored by another user")
        lost = fill(self._world, message, call.body, call.files, self._world.upload_limit(channel))
        self._world.delete_files(message, lost)
        note_edit(self._world, message)
        return self.shown(message)

    async def delete(self, call: Call) -> None:
        """Delete a message; others' only with Manage Messages."""
        self._there(call, Permission.VIEW_CHANNEL)
        message = self._found(call)
        if message.author is not self._world.bot:
            self._there(call, Permission.MANAGE_MESSAGES)
        self._world.delete(message)

    async def react(self, call: Call) -> None:
        """Add a reaction; one that nobody has made yet takes Add Reactions."""
        channel = self._there(call, Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY)
        message, emoji = self._found(call), call.request.match_info["emoji"]
        if emoji not in message.reactions:
            self._there(call, Permission.ADD_REACTIONS)
        threads.check_reacting(channel)
        if len(message.reactions.keys() | {emoji}) > 20:
            raise Refused(400, 30010, "Maximum number of reactions reached (20)")
        self._world.react(message, self._world.bot, emoji, add=True)

    async def unreact(self, call: Call) -> None:
        """Take away a reaction: the bot's own, or somebody's with Manage Messages."""
        who = call.request.match_info["who"]
        self._there(call, Permission.VIEW_CHANNEL if who == "@me" else Permission.MANAGE_MESSAGES)
        user = self._world.bot if who == "@me" else self._world.user_by_id(int(who))
        self._world.react(self._found(call), user, call.request.match_info["emoji"], add=False)

    async def typing(self, call: Call) -> None:
        """Show that the bot is typing."""
        channel = self._there(call, Permission.VIEW_CHANNEL | Permission.SEND_MESSAGES)
        data = {"channel_id": str(channel.id), "user_id": str(self._world.bot.id), "timestamp": int(time.time())}
        self._world.emit(Event("TYPING_START", data, channel))

    def shown(self, message: Message) -> Json:
        """Return a message as the bot sees it: without the content intent, others' words on a server are not for it."""
        return for_bot(self._world, message)

    def _there(self, call: Call, needed: Permission) -> Channel:
        channel = self._world.channel(call.number("channel"))
        granted = self._world.permissions(self._world.bot, channel)
        if Permission.VIEW_CHANNEL not in granted:
            raise Refused(403, 50001, "Missing Access")
        if needed not in granted:
            raise missing_permissions()
        return channel

    def _found(self, call: Call) -> Message:
        return self._world.message(call.number("channel"), call.number("message"))

    def _reference(self, body: Json, channel: Channel) -> Json | None:
        reference = body.get("message_reference")
        if reference is None:
            return None
        try:
            self._world.message(channel.id, int(reference["message_id"]))
        except Refused:
            if reference.get("fail_if_not_exists", True):
                raise invalid("Unknown message") from None
            return None
        return make_reference(channel, int(reference["message_id"]))


def make_reference(channel: Channel, message_id: int, kind: int = 0) -> Json:
    """Make the reference of a reply (`kind` 0) or a forward (1)."""
    reference: Json = {"type": kind, "message_id": str(message_id), "channel_id": str(channel.id)}
    return reference if channel.guild_id is None else reference | {"guild_id": str(channel.guild_id)}


def note_edit(world: World, message: Message, *, marked: bool = True) -> None:
    """Count an edit and emit it; `marked`: people see that it was edited, and when."""
    message.edits += 1
    if marked:
        message.edited = time.time()
    world.changed(message, "MESSAGE_UPDATE")


def for_bot(world: World, message: Message) -> Json:
    """Return a message as the bot sees it (developers/events/gateway, "Message Content Intent")."""
    data = message.json(world.bot)
    mentioned = f"<@{world.bot.id}>" in message.content
    if message.author is world.bot or message.channel.guild_id is None or mentioned or world.message_content:
        return data
    data.pop("message_snapshots", None)
    return data | {"content": "", "embeds": [], "attachments": [], "components": []}
