"""Who may do what: developers/topics/permissions."""

import pytest

from local_discord import Channel, Refused, User
from local_discord.objects import Role
from local_discord.permissions import ALL, Overwrite, Permission, in_channel
from tests.local_discord.conftest import png

SEND, VIEW, FILES = Permission.SEND_MESSAGES, Permission.VIEW_CHANNEL, Permission.ATTACH_FILES
EVERYONE, ROLE, OTHER, MEMBER = 1, 2, 3, 4


def overwrites(**by_id: tuple[int, int]) -> dict[int, Overwrite]:
    ids = {"everyone": EVERYONE, "role": ROLE, "other": OTHER, "member": MEMBER}
    return {
        ids[name]: Overwrite(ids[name], member=name == "member", allow=allow, deny=deny)
        for name, (allow, deny) in by_id.items()
    }


@pytest.mark.parametrize(
    ("given", "may_send"),
    [
        ({}, True),
        ({"everyone": (0, SEND)}, False),
        ({"everyone": (0, SEND), "role": (SEND, 0)}, True),
        ({"role": (0, SEND), "other": (SEND, 0)}, True),
        ({"role": (SEND, 0), "member": (0, SEND)}, False),
        ({"everyone": (0, SEND), "member": (SEND, 0)}, True),
        ({"everyone": (0, VIEW)}, False),
    ],
)
def test_overwrites_are_applied_in_their_order(given, may_send):
    granted = in_channel(VIEW | SEND | FILES, overwrites(**given), EVERYONE, [EVERYONE, ROLE, OTHER], MEMBER)
    assert (SEND in granted, FILES in granted) == (may_send, may_send), "who may not send may not attach either"


def test_an_administrator_is_above_overwrites():
    assert in_channel(Permission.ADMINISTRATOR, overwrites(member=(0, VIEW)), EVERYONE, [], MEMBER) == ALL


def test_the_owner_and_a_role(local, channel, alice):
    world = local.world
    keeper = world.add_role(Role("keepers", Permission.MANAGE_GUILD))
    assert Permission.MANAGE_GUILD not in world.permissions(alice, channel)
    alice.roles.append(keeper.id)
    assert Permission.MANAGE_GUILD in world.permissions(alice, channel)
    assert world.permissions(world.owner, channel) == ALL
    stranger = world.direct(User("bob"))
    assert world.permissions(alice, stranger) == Permission(0)


def deny(local, channel: Channel, who: int, what: Permission) -> None:
    channel.overwrites[who] = Overwrite(who, member=who in local.world.users, deny=what)


@pytest.mark.parametrize(
    ("denied", "code", "files"),
    [(VIEW, 50001, {}), (SEND, 50013, {}), (FILES, 50013, {"a.png": b"x"}), (Permission.EMBED_LINKS, 50013, {})],
)
async def test_the_bot_is_refused_what_it_lacks(local, rest, channel, denied, code, files):
    body = {"content": "x", **({"embeds": [{"title": "x"}]} if denied is Permission.EMBED_LINKS else {})}
    assert (await rest("POST", f"/channels/{channel.id}/messages", body, files)).status == 200
    deny(local, channel, local.world.bot.id, denied)
    refused = await rest("POST", f"/channels/{channel.id}/messages", body, files)
    assert (refused.status, refused.body["code"]) == (403, code)


async def test_reading_replying_and_reacting_take_permissions_of_their_own(local, rest, channel, alice):
    sent = (await rest("POST", f"/channels/{channel.id}/messages", {"content": "x"})).body
    path = f"/channels/{channel.id}/messages/{sent['id']}"
    deny(local, channel, local.world.bot.id, Permission.ADD_REACTIONS)
    assert (await rest("PUT", f"{path}/reactions/🔁/@me")).body["code"] == 50013
    await local.people.react(alice, channel.id, int(sent["id"]), "🔁")
    assert (await rest("PUT", f"{path}/reactions/🔁/@me")).status == 204, "somebody else has made it already"
    deny(local, channel, local.world.bot.id, Permission.READ_MESSAGE_HISTORY)
    assert (await rest("GET", path)).body["code"] == 50013
    assert (await rest("GET", f"/channels/{channel.id}/messages")).body == []
    reply = {"content": "y", "message_reference": {"message_id": sent["id"]}}
    assert (await rest("POST", f"/channels/{channel.id}/messages", reply)).body["code"] == 160002
    assert (await rest("PATCH", path, {"content": "z"})).status == 200


async def test_others_messages_are_neither_edited_nor_deleted(local, rest, channel, alice):
    said = await local.people.say(alice, channel.id, "mine")
    path = f"/channels/{channel.id}/messages/{said['id']}"
    assert (await rest("PATCH", path, {"content": "x"})).body["code"] == 50005
    assert (await rest("DELETE", path)).body["code"] == 50013
    with pytest.raises(Refused, match="Missing Permissions"):
        await local.people.delete(local.world.user("bob"), channel.id, int(said["id"]))
    await local.people.delete(local.world.owner, channel.id, int(said["id"]))
    assert (await rest("GET", path)).body["code"] == 10008


async def test_closed_direct_messages(local, rest, alice):
    channel = (await rest("POST", "/users/@me/channels", {"recipient_id": str(alice.id)})).body
    alice.direct_closed = True
    refused = await rest("POST", f"/channels/{channel['id']}/messages", {"content": "x"})
    assert (refused.status, refused.body["code"]) == (403, 50007)


async def test_words_of_others_are_not_for_a_bot_without_the_intent(local, rest, channel, alice):
    """developers/events/gateway, "Message Content Intent": empty, but for mentions, direct messages and its own."""
    upload = await local.people.upload(alice, channel.id, "a.png", png())
    said = await local.people.say(alice, channel.id, "secret", [int(upload["id"])])
    path = f"/channels/{channel.id}/messages"
    seen = (await rest("GET", f"{path}/{said['id']}")).body
    assert (seen["content"], seen["attachments"]) == ("", [])
    mention = await local.people.say(alice, channel.id, f"<@{local.world.bot.id}> hello")
    assert (await rest("GET", f"{path}/{mention['id']}")).body["content"].endswith("hello")
    direct = local.world.direct(alice)
    said = await local.people.say(alice, direct.id, "hello")
    assert (await rest("GET", f"/channels/{direct.id}/messages/{said['id']}")).body["content"] == "hello"
    local.world.message_content = True
    assert (await rest("GET", path)).body[-1]["content"] == "secret"
