"""What outlives the process, who may speak to the server, and shards."""

import json

import aiohttp
import pytest
from aiohttp import web

from local_discord import TOKEN, LocalDiscord, User, store
from local_discord.furnish import furnish
from local_discord.permissions import Permission
from tests.end_to_end.loopback import until
from tests.local_discord.conftest import Requests, png
from tests.local_discord.test_files import V2, gallery

_LABEL = {"type": 18, "label": "Words", "component": {"type": 4, "custom_id": "text", "style": 1}}


async def test_everything_is_there_again_after_a_restart(tmp_path):
    local = await LocalDiscord.start(tmp_path)
    furnish(local.world)
    channel = next(iter(local.world.channels.values()))
    you, address = local.world.owner, local.world.secret
    async with aiohttp.ClientSession() as session:
        rest = Requests(local, session)
        await rest("PUT", f"/applications/{local.world.application_id}/commands", [{"name": "a", "description": "x"}])
        body = {"flags": V2, "components": gallery("a.png")}
        sent = (await rest("POST", f"/channels/{channel.id}/messages", body, {"a.png": png()})).body
        gone = (await rest("POST", f"/channels/{channel.id}/messages", {"content": "x"}, {"b.png": png()})).body
        await rest("DELETE", f"/channels/{channel.id}/messages/{gone['id']}")
    await local.people.react(you, channel.id, int(sent["id"]), "🎲")
    before = await local.people.messages(you, channel.id)
    commands = local.people.commands(you, channel.id)
    await local.close()

    local = await LocalDiscord.start(tmp_path)
    furnish(local.world)
    you = local.world.owner
    assert [user.name for user in local.people.all()] == ["you", "a friend"]
    assert local.world.secret == address
    assert local.people.commands(you, channel.id) == commands
    [after] = await local.people.messages(you, channel.id)
    local.world.files.base = before[0]["components"][1]["items"][0]["media"]["url"].partition("/cdn")[0]
    assert await local.people.messages(you, channel.id) == before
    pressed = await local.people.press(you, channel.id, int(after["id"]), "press")
    assert local.world.interactions[int(pressed)].payload["message"]["id"] == sent["id"]
    assert len(local.world.files.stored()) == 1, "the deleted message's file is swept away"
    await local.close()


async def test_an_interaction_goes_on_after_a_restart(tmp_path):
    """Its token is good for fifteen minutes, whatever happens to the program in between."""
    local = await LocalDiscord.start(tmp_path)
    furnish(local.world)
    channel = next(iter(local.world.channels.values()))
    you = local.world.owner
    hook = f"/webhooks/{local.world.application_id}"
    async with aiohttp.ClientSession() as session:
        rest = Requests(local, session)
        commands = [{"name": "a", "description": "x", "options": [{"name": "file", "type": 11, "description": "x"}]}]
        [command] = (await rest("PUT", f"/applications/{local.world.application_id}/commands", commands)).body

        async def ask(answer: dict) -> tuple[int, str]:
            upload = (await local.people.upload(you, channel.id, "a.png", png()))["id"]
            options = [{"name": "file", "type": 11, "value": upload}]
            number = int(await local.people.command(you, channel.id, int(command["id"]), options))
            token = local.world.interactions[number].token
            assert (await rest("POST", f"/interactions/{number}/{token}/callback", answer)).status == 204
            return number, token

        _, public = await ask({"type": 4, "data": {"content": "public"}})
        _, private = await ask({"type": 4, "data": {"content": "private", "flags": 64}})
        thinking, waiting = await ask({"type": 5})
        _, void = await ask({"type": 4, "data": {"content": "old"}})
        form = {"custom_id": "f", "title": "t", "components": [_LABEL]}
        asked, _ = await ask({"type": 9, "data": form})
        old = next(one for one in local.world.interactions.values() if one.token == void)
        local.world.store.remove("interaction", old.id)
        old.payload["id"] = str(old.id - (1_200_000 << 22))  # twenty minutes earlier
        local.world.store.save("interaction", old.id, store.interaction_record(old))
    await local.close()

    local = await LocalDiscord.start(tmp_path)
    you = local.world.owner
    async with aiohttp.ClientSession() as session:
        rest = Requests(local, session)
        edited = await rest("PATCH", f"{hook}/{public}/messages/@original", {"content": "still"})
        assert (edited.status, edited.body["content"]) == (200, "still")
        assert (await rest("PATCH", f"{hook}/{private}/messages/@original", {"content": "still"})).status == 200
        done = await rest("POST", f"{hook}/{waiting}", {"content": "done"})
        response = local.world.interactions[thinking].response
        assert response is not None
        assert int(done.body["id"]) == response.id
        assert (await rest("POST", f"{hook}/{public}", {"content": "and more"})).status == 200
        submitted = local.world.interactions[int(await local.people.submit(you, asked, {"text": "x"}))]
        assert submitted.payload["data"]["components"][0]["component"]["value"] == "x"
        assert (await rest("POST", f"{hook}/{void}", {"content": "x"})).body["code"] == 10015, "it was 20 minutes ago"
        assert len(local.world.files.stored()) == 4, "what was sent with the others is kept as long as they are"
    await local.close()


async def test_a_nonce_counts_after_a_restart(tmp_path):
    local = await LocalDiscord.start(tmp_path)
    furnish(local.world)
    path = f"/channels/{next(iter(local.world.channels))}/messages"
    body = {"content": "once", "nonce": "n", "enforce_nonce": True}
    async with aiohttp.ClientSession() as session:
        first = (await Requests(local, session)("POST", path, body)).body
        await local.close()
        local = await LocalDiscord.start(tmp_path)
        assert (await Requests(local, session)("POST", path, body)).body["id"] == first["id"]
        local.rest.messages.forget_nonces()
        assert (await Requests(local, session)("POST", path, body)).body["id"] != first["id"]
    await local.close()


def test_the_server_that_a_person_finds(local):
    furnish(local.world)
    furnish(local.world)
    you, friend = local.people.all()
    granted = [Permission(int(one["permissions"])) for one in local.people.channels(you)]
    assert len(granted) == 4, "three channels and the direct messages"
    assert all(Permission.MANAGE_GUILD in one for one in granted[:3])
    assert not any(
        Permission.MANAGE_GUILD in Permission(int(one["permissions"])) for one in local.people.channels(friend)
    )
    bot = [local.world.permissions(local.world.bot, channel) for channel in local.world.channels.values()][:3]
    assert [Permission.ATTACH_FILES in one for one in bot] == [True, True, False]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_other_sites_are_kept_out(tmp_path, headers, status):
    async def page(request):
        return web.Response(text="page")

    local = await LocalDiscord.start(tmp_path, page=lambda _: [web.get("/", page)])
    async with aiohttp.ClientSession() as session:
        async with session.get(local.page_url, headers=headers) as response:
            assert response.status == status
            assert "script-src 'self'" in response.headers["Content-Security-Policy"] or status != 200
        wrong = local.page_url.replace(local.world.secret, "guess")
        async with session.get(wrong, headers=headers) as response:
            assert response.status in (404, 421, 403)
    await local.close()


class Shard:
    """One connection of a sharded bot."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket

    async def identify(self, shard: int, shards: int) -> dict:
        await self._websocket.receive()
        data = {"token": TOKEN, "intents": (1 << 16) - 1, "properties": {}, "shard": [shard, shards]}
        await self._websocket.send_str(json.dumps({"op": 2, "d": data}))
        return (await self.next())["d"]

    async def next(self) -> dict:
        return json.loads((await self._websocket.receive(5)).data)


async def test_each_shard_gets_the_events_of_its_own_servers(local, channel):
    """developers/events/gateway, "Sharding": (guild_id >> 22) % num_shards; direct messages on shard 0."""
    shards = 3
    own = (local.world.guild_id >> 22) % shards
    async with aiohttp.ClientSession() as session:
        connections = [Shard(await session.ws_connect(local.gateway.url)) for _ in range(shards)]
        ready = []
        for number, shard in enumerate(connections):
            assert not local.gateway.connected.is_set()
            ready.append(await shard.identify(number, shards))
        assert [len(one["guilds"]) for one in ready] == [int(number == own) for number in range(shards)]
        assert (await connections[own].next())["t"] == "GUILD_CREATE"
        assert local.gateway.connected.is_set()
        bob = local.world.add_user(User("bob"))
        await local.people.say(bob, channel.id, "hello")
        assert (await connections[own].next())["t"] == "MESSAGE_CREATE"
        await local.people.say(bob, local.world.direct(bob).id, "hello")
        received = (await connections[0].next())["d"]
        assert (received["content"], received.get("guild_id")) == ("hello", None)


async def test_a_bot_that_is_gone_is_an_event(local, received):
    async with aiohttp.ClientSession() as session:
        shard = Shard(await session.ws_connect(local.gateway.url))
        await shard.identify(0, 1)
    await until(lambda: len(received) == 2, 5, "it is told that the bot is gone")
    assert [event.name for event in received] == ["BOT_ONLINE", "BOT_OFFLINE"]
