"""Threads, as developers/topics/threads describes them."""

import pytest

from local_discord import LocalDiscord, Refused, threads
from local_discord.objects import HAS_THREAD, Role
from local_discord.permissions import Overwrite, Permission

VIEW = Permission.VIEW_CHANNEL


@pytest.fixture
def bob(local):
    return local.world.user("bob")


@pytest.fixture
def private(local, channel, alice):
    return threads.start(local.world, alice, channel, "secret", private=True)


async def test_a_thread_that_starts_from_a_message_has_its_id(local, rest, channel, alice, received):
    said = await local.people.say(alice, channel.id, "hello")
    message = local.world.messages[int(said["id"])]
    thread = threads.start(local.world, alice, channel, "about that", message=message)
    assert (str(thread.id), message.flags & HAS_THREAD) == (said["id"], HAS_THREAD)
    assert [event.name for event in received][-2:] == ["THREAD_CREATE", "MESSAGE_UPDATE"]
    shown = (await rest("GET", f"/channels/{thread.id}")).body
    assert (shown["type"], shown["parent_id"], shown["owner_id"]) == (11, str(channel.id), str(alice.id))
    assert shown["thread_metadata"]["archived"] is shown["thread_metadata"]["locked"] is False
    with pytest.raises(Refused, match="already been created"):
        threads.start(local.world, alice, channel, "again", message=message)
    with pytest.raises(Refused, match="channel type"):
        threads.start(local.world, alice, thread, "a thread in a thread")


async def test_a_private_thread_is_seen_by_its_members_and_by_who_manages_threads(local, rest, private, alice, bob):
    world = local.world
    assert VIEW in world.permissions(alice, private)
    assert world.permissions(bob, private) == world.permissions(world.bot, private) == Permission(0)
    assert (await rest("GET", f"/channels/{private.id}")).body["code"] == 50001
    assert [thread["id"] for thread in world.guild_json()["threads"]] == []
    assert str(private.id) not in [one["id"] for one in local.people.channels(bob)]
    keeper = world.add_role(Role("keepers", Permission.MANAGE_THREADS))
    bob.roles.append(keeper.id)
    assert VIEW in world.permissions(bob, private)
    await local.people.say(alice, private.id, f"<@{world.bot.id}> come in")
    assert world.bot.id in private.members, "a mention adds"
    [listed] = world.guild_json()["threads"]
    assert listed["member"]["user_id"] == str(world.bot.id)
    threads.remove(world, private, world.bot)
    assert (await rest("GET", f"/channels/{private.id}")).body["code"] == 50001


async def test_membership_is_asked_for_by_rest(local, rest, private, alice, bob):
    threads.add(local.world, private, local.world.bot)
    path = f"/channels/{private.id}/thread-members"
    member = (await rest("GET", f"{path}/{alice.id}")).body
    assert (member["id"], member["user_id"]) == (str(private.id), str(alice.id))
    assert (await rest("GET", f"{path}/{bob.id}")).body["code"] == 10007
    assert (await rest("PUT", f"{path}/@me")).status == 204
    assert (await rest("PUT", f"/channels/{private.parent.id}/thread-members/@me")).body["code"] == 50024


async def test_writing_takes_a_permission_of_its_own(local, rest, channel, alice):
    """SEND_MESSAGES has no effect in threads."""
    world = local.world
    thread = threads.start(world, alice, channel, "talk")
    channel.overwrites[world.bot.id] = Overwrite(world.bot.id, member=True, deny=Permission.SEND_MESSAGES)
    sent = await rest("POST", f"/channels/{thread.id}/messages", {"content": "x"}, {"a.png": b"x"})
    assert sent.status == 200
    assert world.bot.id in thread.members, "who writes joins"
    denied = Permission.SEND_MESSAGES_IN_THREADS
    channel.overwrites[world.bot.id] = Overwrite(world.bot.id, member=True, deny=denied)
    assert (await rest("POST", f"/channels/{thread.id}/messages", {"content": "x"})).body["code"] == 50013
    assert Permission.ATTACH_FILES not in world.permissions(world.bot, thread)


async def test_an_archived_thread_takes_messages_only_and_they_open_it(local, rest, channel, alice, received):
    thread = threads.start(local.world, alice, channel, "talk")
    path = f"/channels/{thread.id}/messages"
    sent = (await rest("POST", path, {"content": "x"})).body
    threads.change(local.world, alice, thread, archived=True)
    assert local.world.guild_json()["threads"] == []
    refused = await rest("PATCH", f"{path}/{sent['id']}", {"content": "y"})
    assert (refused.status, refused.body["code"]) == (400, 50083)
    assert (await rest("PUT", f"{path}/{sent['id']}/reactions/🔁/@me")).body["code"] == 50083
    with pytest.raises(Refused, match="archived"):
        await local.people.react(alice, thread.id, int(sent["id"]), "🔁")
    with pytest.raises(Refused, match="archived"):
        await local.people.command(alice, thread.id, 1, [])
    received.clear()
    assert (await rest("POST", path, {"content": "z"})).status == 200
    assert not thread.archived
    assert [event.name for event in received] == ["THREAD_UPDATE", "THREAD_MEMBER_UPDATE", "MESSAGE_CREATE"]
    assert (await rest("PATCH", f"{path}/{sent['id']}", {"content": "y"})).status == 200


async def test_a_locked_thread_is_for_who_manages_threads(local, rest, channel, alice):
    world = local.world
    thread = threads.start(world, alice, channel, "talk")
    path = f"/channels/{thread.id}/messages"
    sent = (await rest("POST", path, {"content": "x"})).body
    with pytest.raises(Refused, match="Missing Permissions"):
        threads.change(world, alice, thread, locked=True)
    threads.change(world, world.owner, thread, locked=True)
    assert (await rest("PATCH", f"{path}/{sent['id']}", {"content": "y"})).body["code"] == 50083
    assert (await rest("POST", path, {"content": "y"})).body["code"] == 50083
    assert (await rest("PUT", f"{path}/{sent['id']}/reactions/🔁/@me")).status == 204, "it is not archived"
    threads.change(world, world.owner, thread, archived=True)
    with pytest.raises(Refused, match="Missing Permissions"):
        threads.change(world, alice, thread, archived=False)
    assert (await rest("DELETE", f"{path}/{sent['id']}")).status == 204
    await local.people.say(world.owner, thread.id, "back")
    assert (thread.archived, thread.locked) == (False, True)


async def test_who_may_open_threads(local, channel, alice):
    channel.overwrites[alice.id] = Overwrite(alice.id, member=True, deny=Permission.CREATE_PRIVATE_THREADS)
    threads.start(local.world, alice, channel, "open")
    with pytest.raises(Refused, match="Missing Permissions"):
        threads.start(local.world, alice, channel, "secret", private=True)
    with pytest.raises(Refused, match="1 to 100"):
        threads.start(local.world, alice, channel, "n" * 101)


async def test_threads_are_there_again_after_a_restart(local, private, alice, tmp_path):
    await local.people.say(alice, private.id, "hello")
    threads.change(local.world, local.world.owner, private, archived=True, locked=True)
    await local.close()
    again = await LocalDiscord.start(tmp_path / "discord")
    thread = again.world.channels[private.id]
    assert isinstance(thread, threads.Thread)
    assert thread.json(again.world.users[alice.id]) == private.json(alice)
    assert thread.parent is again.world.channels[private.parent.id]
    [message] = again.world.in_channel(thread)
    assert message.text == "hello"
    await again.close()


async def test_a_deleted_channel_takes_its_threads_along(rest, local, channel, alice):
    thread = threads.start(local.world, alice, channel, "talk")
    channel.deleted = True
    assert (await rest("GET", f"/channels/{thread.id}")).body["code"] == 10003
