"""How a client logs in, and when another one follows it."""

import asyncio
import gc
import os
import signal
from types import SimpleNamespace

import aiohttp
import discord
import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route
from pydantic import SecretStr

from bot.chat import client
from bot.chat.client import COGS, PaintingBot, ShardedPaintingBot, ShardsWantedError
from bot.chat.components import GroupButton, JobButton, PageButton
from bot.operations.health import Health
from bot.settings import BadSettingsError, DiscordSettings, HealthSettings
from bot.worker.thread import DeviceLostError
from tests.bot.conftest import until
from tests.end_to_end.loopback import TOKEN, Loopback


@pytest.fixture
async def local(tmp_path, monkeypatch):
    """A Discord on this machine."""
    local = await Loopback.start(tmp_path / "discord")
    monkeypatch.setattr(Route, "BASE", local.api_base)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", None)
    yield local
    await local.close()


@pytest.fixture
def here(settings, local, idle, monkeypatch):
    """Settings for a bot there; it paints nothing."""
    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.01)
    discord_settings = DiscordSettings(api_base=local.api_base, cdn_hosts=(), preview_seconds=0.2)
    return settings.model_copy(update={"discord": discord_settings, "health": HealthSettings(enabled=False)})


def sent(local):
    return [record.name for record in local.records].count("sync")


async def test_logging_in_starts_everything_and_sends_the_commands(here, local):
    async with PaintingBot(here) as bot:
        await bot.login(TOKEN)
        assert str(DiscordWebSocket.DEFAULT_GATEWAY).startswith(f"ws://127.0.0.1:{local.api_base.split(':')[2][:4]}")
        assert await bot.queue.ledger.counts() is not None
        assert len(bot.cogs) == len(COGS)
        known = {command.name for command in bot.tree.get_commands()}
        assert {command["name"] for command in local.world.commands} == known
        assert set(bot._connection._view_store._dynamic_items.values()) == {JobButton, PageButton, GroupButton}
        assert gc.get_freeze_count() > 0
        assert not bot.connected()
        assert bot.shard_latencies() == {0: None}
    assert sent(local) == 1


async def test_the_commands_are_sent_when_they_or_their_servers_changed_or_were_cleared(here, local, caplog):
    noted = here.storage.folder / "commands.sha256"
    async with PaintingBot(here) as bot:
        await bot.login(TOKEN)
        assert not await bot.sync_commands()
        local.world.replace_commands([])
        assert await bot.sync_commands()
        assert len(local.world.commands) == len(bot.tree.get_commands())
        noted.write_text("of an older version")
        assert await bot.sync_commands()
        assert not await bot.sync_commands()
        assert sent(local) == 3
        noted.unlink()
        noted.mkdir()
        assert await bot.sync_commands()
        assert "could not be noted" in caplog.text
        noted.rmdir()
    guild = local.world.guild_id
    limited = here.model_copy(update={"discord": here.discord.model_copy(update={"guild_ids": (guild,)})})
    async with PaintingBot(limited) as bot:
        await bot.login(TOKEN)
        own = [command for command in local.world.commands if command.get("guild_id") == str(guild)]
        assert len(own) == len(bot.tree.get_commands()) > 0
        assert not await bot.sync_commands()
        local.world.replace_commands([command for command in local.world.commands if command not in own])
        assert await bot.sync_commands(), "what all servers are shown is no matter"


async def test_a_bot_that_is_to_have_shards_ends_and_one_with_shards_asks_no_more(here, local):
    local.rest.account.shards = 2
    async with PaintingBot(here) as bot:
        with pytest.raises(ShardsWantedError, match="wants 2 shards"):
            await bot.login(TOKEN)
    async with ShardedPaintingBot(here) as bot:
        await bot.login(TOKEN)


# One client after another


@pytest.fixture
def made(monkeypatch):
    """The clients that are made, in their order."""
    made: list[PaintingBot] = []
    for name, kind in (("PaintingBot", PaintingBot), ("ShardedPaintingBot", ShardedPaintingBot)):

        class Noted(kind):  # pyright: ignore[reportGeneralTypeIssues]
            def __init__(self, *arguments):
                super().__init__(*arguments)
                made.append(self)

        monkeypatch.setattr(client, name, Noted)
    return made


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_it_is_asked_to_end(here, local, made, monkeypatch, number):
    unheard: list[int] = []
    before = signal.signal(number, lambda *_: unheard.append(number))
    monkeypatch.setattr(Route, "BASE", "https://discord.com/api/v10")
    serving = asyncio.create_task(client.serve(here, SecretStr(TOKEN)))
    await local.ready()
    await until(made[0].is_ready)
    assert made[0].connected()
    os.kill(os.getpid(), number)
    await asyncio.wait_for(serving, 30)
    signal.signal(number, before)
    assert unheard == []
    assert made[0].is_closed()
    assert not made[0].connected()


async def test_another_client_follows_one_whose_token_was_refused_and_none_a_device_that_is_lost(here, local, made):
    health, ending = Health(), asyncio.Event()
    running = asyncio.create_task(client._run_clients(here, SecretStr(TOKEN), ending, health))
    await local.ready()
    await until(made[0].is_ready)
    assert set(await health.problems()) <= {"worker"}
    await made[0].on_token_refused()
    await until(lambda: len(made) == 2 and made[1].is_ready())
    assert made[0].is_closed()
    assert set(await health.problems()) <= {"worker"}, "it is the new one that is looked at"
    scraped = (await health.scrape(None)).text or ""  # pyright: ignore[reportArgumentType]
    assert 'painter_shard_up{shard="0"} 1.0' in scraped
    assert "painter_discord" in scraped
    made[1].queue.device_lost.set()
    with pytest.raises(DeviceLostError):
        await asyncio.wait_for(running, 30)
    assert made[1].is_closed()


async def test_a_bot_in_shards_follows_where_discord_wants_them(here, local, made):
    local.rest.account.shards = 2
    ending = asyncio.Event()
    running = asyncio.create_task(client._run_clients(here, SecretStr(TOKEN), ending, Health()))
    await until(lambda: len(made) == 2 and made[1].is_ready())
    assert [isinstance(one, ShardedPaintingBot) for one in made] == [False, True]
    assert set(made[1].shard_latencies()) == {0, 1}
    assert made[1].connected()
    ending.set()
    await asyncio.wait_for(running, 30)


def test_a_shard_that_is_closed_or_not_there_yet_is_not_connected(settings, monkeypatch):
    bot = ShardedPaintingBot(settings)
    assert bot.shard_latencies() == {0: None}
    bot.shard_count = 3
    shards = {n: SimpleNamespace(latency=n / 10, is_closed=lambda n=n: n == 2) for n in (1, 2)}
    monkeypatch.setattr(ShardedPaintingBot, "shards", shards)
    assert bot.shard_latencies() == {0: None, 1: 0.1, 2: None}


class Clients:
    """What becomes of one client after the other: an error, or the end; and how long is waited between them."""

    def __init__(self, monkeypatch, *fates):
        self._fates, self.kinds, self.pauses, self._now = list(fates), [], [], 0.0
        monkeypatch.setattr(client, "_run_client", self._run)
        monkeypatch.setattr(client.asyncio, "sleep", self._sleep)
        monkeypatch.setattr(client.time, "monotonic", lambda: self._now)

    async def _run(self, kind, settings, token, ending, health):
        self.kinds.append(kind)
        fate, seconds = self._fates.pop(0)
        self._now += seconds
        if fate is None:
            ending.set()
        else:
            raise fate

    async def _sleep(self, seconds):
        self.pauses.append(seconds)


def broken():
    return [aiohttp.ClientError(), OSError(), discord.GatewayNotFound(), AttributeError()]


async def test_pauses_between_clients_grow_up_to_five_minutes_and_begin_anew_after_a_stable_one(
    settings, monkeypatch, caplog
):
    fates = [(error, 1.0) for error in broken() * 2]
    clients = Clients(monkeypatch, *fates, (OSError(), 600.0), (OSError(), 601.0), (OSError(), 1.0), (None, 0.0))
    await client._run_clients(settings, SecretStr(TOKEN), asyncio.Event(), Health())
    assert clients.pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300, 5, 10]
    waits = [float(line.rpartition("again in ")[2].split()[0]) for line in caplog.messages if "broke" in line]
    assert waits == clients.pauses, "what is logged is how long it waits"
    assert set(clients.kinds) == {PaintingBot}


async def test_shards_are_made_at_once_and_from_then_on(settings, monkeypatch):
    clients = Clients(monkeypatch, (ShardsWantedError(2), 0.0), (OSError(), 1.0), (None, 0.0))
    await client._run_clients(settings, SecretStr(TOKEN), asyncio.Event(), Health())
    assert clients.kinds == [PaintingBot, ShardedPaintingBot, ShardedPaintingBot]
    assert clients.pauses == [5]


async def test_a_token_that_discord_refuses_is_said_and_who_was_asked_to_end_begins_nothing(settings, monkeypatch):
    Clients(monkeypatch, (discord.LoginFailure("401"), 0.0))
    with pytest.raises(BadSettingsError, match="DISCORD_TOKEN: expected a bot's token"):
        await client._run_clients(settings, SecretStr(TOKEN), asyncio.Event(), Health())
    clients, ending = Clients(monkeypatch), asyncio.Event()
    ending.set()
    await client._run_clients(settings, SecretStr(TOKEN), ending, Health())
    assert clients.kinds == []
    for error in (DeviceLostError(), BadSettingsError("x"), ValueError()):
        Clients(monkeypatch, (error, 0.0))
        with pytest.raises(type(error)):
            await client._run_clients(settings, SecretStr(TOKEN), asyncio.Event(), Health())


async def test_who_waits_between_two_clients_ends_when_it_is_asked_to(settings, monkeypatch):
    ending = asyncio.Event()
    clients = Clients(monkeypatch, (OSError(), 0.0))

    async def sleep(seconds):
        ending.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(client.asyncio, "sleep", sleep)
    await asyncio.wait_for(client._run_clients(settings, SecretStr(TOKEN), ending, Health()), 10)
    assert clients.kinds == [PaintingBot]


@pytest.mark.parametrize("ends", [0, 1, 2])
async def test_whatever_ends_first_the_waiting_is_over_and_only_the_connection_goes_on(ends):
    events = [asyncio.Event() for _ in range(3)]
    connection, *others = tasks = [asyncio.create_task(event.wait()) for event in events]
    events[ends].set()
    await asyncio.wait_for(client._first_of(*tasks), 10)
    await asyncio.wait(others)
    assert [task.cancelled() for task in tasks] == [False, ends != 1, ends != 2]
    assert connection.done() is (ends == 0)
    connection.cancel()


def test_the_token_is_kept_out_of_environment_and_log(settings, monkeypatch):
    monkeypatch.setenv("DISCORD_TOKEN", "one.two.three")
    done: list[object] = []

    async def serve(chosen, token):
        done.append((chosen, token.get_secret_value()))

    monkeypatch.setattr(client, "serve", serve)
    monkeypatch.setattr(client, "protect", lambda *names: done.append(names))
    monkeypatch.setattr(client.logs, "set_up", lambda how, secrets: done.append((how, secrets)))
    client.run(settings)
    assert done == [("DISCORD_TOKEN",), (settings.log, ("one.two.three",)), (settings, "one.two.three")]
