"""Threads: who opens, joins, archives and locks them, and what they take then (developers/topics/threads)."""

import time

from local_discord.errors import Refused, invalid, missing_permissions
from local_discord.ids import Json, snowflake
from local_discord.objects import HAS_THREAD, Channel, Message, Thread, User
from local_discord.permissions import Permission
from local_discord.world import Event, World

_LONGEST_NAME = 100


def start(
    world: World, person: User, channel: Channel, name: str, *, private: bool = False, message: Message | None = None
) -> Thread:
    """Open a thread, whose first member is who opens it; one that starts from a message has the message's id."""
    if isinstance(channel, Thread) or channel.guild_id is None:
        raise Refused(400, 50024, "Cannot execute action on this channel type")
    needed = Permission.CREATE_PRIVATE_THREADS if private else Permission.CREATE_PUBLIC_THREADS
    if needed not in world.permissions(person, channel):
        raise missing_permissions()
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise invalid(f"a thread's name has 1 to {_LONGEST_NAME} characters")
    if message is not None and message.flags & HAS_THREAD:
        raise Refused(400, 160004, "A thread has already been created for this message")
    number = snowflake() if message is None else message.id
    thread = Thread(name, channel.guild_id, id=number, nsfw=channel.nsfw, parent=channel, owner=person, private=private)
    thread.members[person.id] = time.time()
    world.keep_channel(thread)
    world.emit(Event("THREAD_CREATE", thread.json() | {"newly_created": True}, thread))
    if message is not None:
        message.flags |= HAS_THREAD
        world.changed(message, "MESSAGE_UPDATE")
    return thread


def change(
    world: World, person: User, thread: Thread, *, archived: bool | None = None, locked: bool | None = None
) -> None:
    """Archive, open, lock or unlock a thread ("Editing & Deleting Threads")."""
    manages = Permission.MANAGE_THREADS in world.permissions(person, thread)
    if locked is not None and not manages:
        raise missing_permissions()
    if archived is True and not (manages or person is thread.owner):
        raise missing_permissions()
    if archived is False and not manages and (thread.locked or person.id not in thread.members):
        raise missing_permissions()
    thread.locked = thread.locked if locked is None else locked
    if archived is not None:
        _archive(thread, archived=archived)
    _emit_change(world, thread)


def add(world: World, thread: Thread, user: User) -> None:
    """Make somebody a member, and emit that to everybody who may know of it."""
    if user.id in thread.members:
        return
    thread.members[user.id] = time.time()
    world.keep_channel(thread)
    member = thread.member(user) | {"member": user.member(), "presence": None}
    if user is world.bot:
        # A private thread is new to one who was not in it.
        world.emit(Event("THREAD_CREATE", thread.json(user), thread, only_for=user.id))
    _emit_members(world, thread, user, {"added_members": [member]})


def remove(world: World, thread: Thread, user: User) -> None:
    """End somebody's membership."""
    if thread.members.pop(user.id, None) is not None:
        world.keep_channel(thread)
        _emit_members(world, thread, user, {"removed_member_ids": [str(user.id)]})


def check(world: World, user: User, channel: Channel, *, writing: bool) -> None:
    """Refuse what a locked or an archived thread does not take: a message opens an archived one, an edit does not."""
    if not isinstance(channel, Thread):
        return
    locked = channel.locked and Permission.MANAGE_THREADS not in world.permissions(user, channel)
    if locked or (channel.archived and not writing):
        raise Refused(400, 50083, "Thread is archived")


def check_reacting(channel: Channel) -> None:
    """Refuse reactions in an archived thread; a locked one takes them."""
    if isinstance(channel, Thread) and channel.archived:
        raise Refused(400, 50083, "Thread is archived")


def before_message(world: World, message: Message) -> None:
    """Open the thread that a message comes into."""
    thread = message.channel
    if isinstance(thread, Thread) and thread.archived and not message.ephemeral:
        _archive(thread, archived=False)
        _emit_change(world, thread)


def after_message(world: World, message: Message, *, joins: bool) -> None:
    """Count a message that came into a thread; its author joins (`joins`), and so does whom it mentions."""
    thread = message.channel
    if not isinstance(thread, Thread) or message.ephemeral:
        return
    thread.sent += 1
    world.keep_channel(thread)
    named = [world.users[number] for number in message.mentions if number in world.users]
    for user in [*([message.author] if joins else []), *named]:
        if Permission.VIEW_CHANNEL in world.permissions(user, thread.parent):
            add(world, thread, user)


def _archive(thread: Thread, *, archived: bool) -> None:
    if thread.archived is not archived:
        thread.archived, thread.archive_changed = archived, time.time()


def _emit_change(world: World, thread: Thread) -> None:
    world.keep_channel(thread)
    world.emit(Event("THREAD_UPDATE", thread.json(), thread))
    if not thread.archived and world.bot.id in thread.members:
        data = thread.member(world.bot) | {"guild_id": str(thread.guild_id)}
        world.emit(Event("THREAD_MEMBER_UPDATE", data, thread, only_for=world.bot.id))


def _emit_members(world: World, thread: Thread, user: User, change: Json) -> None:
    """Emit to those who see the thread, and the one it is about, who may not see it any more."""
    data = {"id": str(thread.id), "guild_id": str(thread.guild_id), **change}
    data["member_count"] = thread.json()["member_count"]
    world.emit(Event("THREAD_MEMBERS_UPDATE", data, thread))
    world.emit(Event("THREAD_MEMBERS_UPDATE", data, only_for=user.id, guild_id=thread.guild_id))
