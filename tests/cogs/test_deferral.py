"""Work that takes longer than an answer may wait: a private "thinking" first, then the job in the channel."""

import asyncio
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord import app_commands

from bot.chat.intake import defer_if_slow
from bot.chat.people import person_of
from bot.jobs import JobState
from bot.options import PaintingOptions
from bot.refusals import Refusal
from tests.simulated import shown


@pytest.fixture
def interaction() -> Any:
    """Stand in for an interaction, as far as waiting goes."""
    deferred: list[dict[str, bool]] = []

    async def defer(**options: bool) -> None:
        deferred.append(options)

    return SimpleNamespace(response=SimpleNamespace(is_done=lambda: bool(deferred), defer=defer), deferred=deferred)


async def test_quick_work_is_not_announced(interaction):
    assert await defer_if_slow(interaction, asyncio.sleep(0, "done")) == "done"
    assert interaction.deferred == []


async def test_slow_work_is_announced_once_and_in_private(interaction, monkeypatch):
    monkeypatch.setattr("bot.chat.intake._DEFER_SECONDS", 0.01)
    assert await defer_if_slow(interaction, asyncio.sleep(0.1, "done")) == "done"
    assert await defer_if_slow(interaction, asyncio.sleep(0.1, "again")) == "again"
    assert interaction.deferred == [{"ephemeral": True, "thinking": True}]


async def test_a_refusal_of_slow_work_comes_through(interaction, monkeypatch):
    monkeypatch.setattr("bot.chat.intake._DEFER_SECONDS", 0.01)

    async def refuse() -> None:
        await asyncio.sleep(0.1)
        raise Refusal("No.")

    with pytest.raises(Refusal):
        await defer_if_slow(interaction, refuse())


async def test_after_thinking_the_job_is_painted_in_public(world):
    @app_commands.command(name="slowly", description="Think first")
    async def slowly(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        intake = world.bot.intake
        spec = await intake.spec(person_of(interaction), PaintingOptions(prompt="a red apple", steps=2))
        await intake.take(interaction, await intake.request(interaction, "imagine", spec, "a red apple"))

    world.bot.tree.add_command(slowly)
    assert await world.bot.sync_commands()
    result = await world.alice.slash(world.channel, "slowly")
    assert result.ephemeral
    ended = await world.ended((await world.ledger.history(world.alice.id))[0])
    assert ended.state is JobState.DELIVERED
    assert str(ended.message_id) in result.response.content
    assert [message.id for message in world.messages()] == [ended.message_id]
    assert "a red apple" in shown(world.message(ended.message_id))
