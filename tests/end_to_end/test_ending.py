"""A bot that is asked to end while it still logs in ends quietly."""

import asyncio
import gc
import logging

import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route
from pydantic import SecretStr

from bot.chat import client
from bot.operations.health import Health
from tests.end_to_end.loopback import TOKEN, Loopback


@pytest.mark.parametrize("calls", [1, 2, 3])
@pytest.mark.parametrize("answered", [False, True])
async def test_ended_at_each_call_of_the_login(settings, monkeypatch, caplog, calls, answered):
    """Before and after the answer to each call: who am I, where is the gateway, these are my commands."""
    local = await Loopback.start(settings.storage.folder.parent / "discord")
    monkeypatch.setattr(Route, "BASE", local.api_base)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", None)
    ending, seen, around = asyncio.Event(), [], local.rest.around

    async def count(call, handle):
        seen.append(call.name)
        if len(seen) == calls and not answered:
            ending.set()
            await asyncio.sleep(0.2)
        answer = await around(call, handle)
        if len(seen) == calls:
            ending.set()
        return answer

    local.rest.around = count
    unheard: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unheard.append(context))
    caplog.set_level(logging.WARNING)
    here = settings.discord.model_copy(update={"api_base": local.api_base})
    await asyncio.wait_for(
        client._run_clients(settings.model_copy(update={"discord": here}), SecretStr(TOKEN), ending, Health()), 60
    )
    await asyncio.sleep(0.5)  # what still runs would fail now
    gc.collect()
    assert len(seen) >= calls
    assert unheard == []
    assert [record.getMessage() for record in caplog.records] == []
    await local.close()
