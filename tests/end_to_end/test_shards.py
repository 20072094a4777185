"""A bot in three shards, over real sockets: each server on the shard that is its own, direct messages on the first."""

import asyncio
import socket

import aiohttp

from tests.end_to_end.loopback import until


async def look(port: int, page: str):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{page}") as response:
        return response.status, await response.text()


async def test_three_shards_are_one_bot(bots):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    discord = bots.discord
    discord.rest.account.shards = 3
    channel = discord.channel("paintings")
    bot = await bots.start(health__enabled="true", health__port=port)
    assert sorted(discord.gateway._sessions) == [0, 1, 2]
    assert discord.gateway.identifies == 3
    alice = discord.user("alice")
    asked = await discord.slash(alice, channel, "imagine", prompt="a red apple", steps=40)
    direct = await discord.slash(alice, discord.world.direct(alice), "imagine", prompt="a red apple")
    await until(lambda: asked.response and direct.response, 20, "answers on two shards")
    await until(discord.gateway.connected.is_set, 20, "all shards")
    async with asyncio.timeout(30):
        while (await look(port, "/healthz"))[0] != 200:  # noqa: ASYNC110, it is ready a moment after it is connected
            await asyncio.sleep(0.1)
    metrics = (await look(port, "/metrics"))[1]
    for shard in range(3):
        assert f'painter_shard_up{{shard="{shard}"}} 1.0' in metrics

    discord.gateway.refusals = 1  # of one of them, which begins anew
    discord.gateway.drop()
    await until(lambda: (discord.gateway.resumes, discord.gateway.identifies) == (2, 4), 60, "all shards are back")
    await bots.delivered(2)
    assert set(bots.finals(channel)) | set(bots.finals(discord.world.direct(alice))) == set(bots.states())
    await asyncio.wait_for(bot.end(), 30)
    assert bot.exit_code == 0
