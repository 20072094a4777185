"""/owner: what waits where, and calling it off; for nobody else."""

from types import SimpleNamespace

import pytest

from bot.chat import content
from bot.jobs import JobState
from bot.refusals import Refusal
from tests.cogs.direct import Use, use

OWNER = 7


@pytest.fixture
async def line(bot, ask, monkeypatch):
    """Jobs that wait in some servers, of which one is known by name and one is paused."""
    bot.owner_id = OWNER
    for guild, count in ((5, 2), (6, 3), (None, 1)):
        for _ in range(count):
            await bot.queue.ledger.add(ask(guild_id=guild))
    await bot.queue.change_guild(5, paused=True)
    monkeypatch.setattr(bot, "get_guild", lambda number: SimpleNamespace(name="*Zoo*") if number == 6 else None)
    return bot


async def test_servers_are_listed_by_how_much_waits(line):
    asked = await use(line, "owner queue", Use(line, OWNER))
    assert asked.private
    assert asked.colour == content.BLUE
    assert asked.lines == [
        "3 · \\*Zoo\\* · `6`",
        "2 · a server that the bot left · `5` · paused",
        "1 · direct messages",
    ]


async def test_so_many_servers_are_listed_and_no_more(bot, ask):
    bot.owner_id = OWNER
    assert (await use(bot, "owner queue", Use(bot, OWNER))).lines == ["Nothing waits."]
    for guild in range(100, 131):
        await bot.queue.ledger.add(ask(guild_id=guild))
    asked = await use(bot, "owner queue", Use(bot, OWNER))
    assert len(asked.lines) == 30


async def test_what_waits_in_a_server_is_called_off_and_nothing_elsewhere(line):
    asked = await use(line, "owner clear", Use(line, OWNER), server=" 6 ")
    assert asked.deferrals == [{"ephemeral": True, "thinking": True}]
    assert asked.edits == [{"content": "3 paintings that waited there were called off."}]
    counts = await line.queue.ledger.counts()
    assert (counts[JobState.QUEUED], counts[JobState.CANCELLED]) == (3, 3)
    asked = Use(line, OWNER)
    with pytest.raises(Refusal, match="id, a number"):
        await use(line, "owner clear", asked, server="Zoo")
    assert not asked.deferred


@pytest.mark.parametrize(("command", "options"), [("queue", {}), ("clear", {"server": "6"})])
async def test_it_is_for_nobody_else(line, command, options):
    asked = Use(line, OWNER + 1)
    with pytest.raises(Refusal, match="Only the owner"):
        await use(line, f"owner {command}", asked, **options)
    assert not asked.deferred
    assert (await line.queue.ledger.counts())[JobState.QUEUED] == 6
