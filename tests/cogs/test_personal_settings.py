from typing import Any

import pytest

from bot.chat import content
from bot.queue.preferences import UserSettings
from bot.refusals import Refusal
from tests.cogs.direct import Use, use
from tests.simulated import shown, words


async def test_settings_are_kept_and_hold_for_the_next_picture(world):
    result = await world.alice.slash(
        world.channel, "settings", preset="paper", size="48 x 32", suffix="on grey", notify=True
    )
    assert result.ephemeral
    assert "48x32" in words(result)
    job = await world.imagine(world.alice, "a red apple --no text", steps=2)
    assert (job.spec.preset, job.spec.width, job.spec.height, job.notify) == ("paper", 48, 32, True)
    assert [p.content for p in job.spec.prompts] == ["a red apple, on grey", "text"]
    other = await world.imagine(world.bob, "a red apple", steps=2)
    assert (other.spec.preset, other.notify) == ("draft", False)
    await world.ended(job)
    await world.ended(other)


async def test_only_who_asked_for_it_is_mentioned(world):
    await world.alice.slash(world.channel, "settings", notify=True)
    jobs = [await world.imagine(who, steps=2) for who in (world.alice, world.bob)]
    for job in jobs:
        await world.ended(job)
    await world.until(lambda: len(world.messages()) == 3)
    assert world.pinged() == [world.alice.id]


async def test_settings_are_cleared_one_by_one_and_all_at_once(world):
    await world.alice.slash(world.channel, "settings", preset="paper", size="48x32", suffix="on grey")
    await world.alice.slash(world.channel, "settings", size="none", suffix="None")
    mine = await world.bot.queue.preferences.user(world.alice.id)
    assert (mine.preset, mine.size, mine.suffix) == ("paper", None, "")
    await world.alice.slash(world.channel, "settings", reset=True)
    assert (await world.bot.queue.preferences.user(world.alice.id)).preset is None


async def test_a_size_that_is_none_is_refused(world):
    result = await world.alice.slash(world.channel, "settings", size="huge")
    assert "width x height" in words(result)


async def test_the_suffix_stands_in_the_message(world):
    """And words to push away, which are no part of the prompt either; a prompt that says all is not said twice."""
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    plain = await world.imagine(world.bob, "a red apple | a blue fish:0.5 --no text --seed 5")
    negative = await world.imagine(world.bob, "a red apple", negative="text")
    await world.alice.slash(world.channel, "settings", suffix="on grey")
    suffixed = await world.imagine(world.alice, "a red apple", steps=1)
    await world.alice.slash(world.channel, "settings", suffix="| apple:0.5")
    part = await world.imagine(world.alice, "a red apple --seed 5", steps=1)
    said = [shown(world.message(job.message_id)) for job in (plain, negative, suffixed, part)]
    assert ["Paints: " in text for text in said] == [False, True, True, True]
    assert "Paints: a red apple \\| text::" in said[1]
    await world.bot.queue.change_guild(world.guild_id, paused=False)
    ended = await world.ended(suffixed)
    assert all("Paints: a red apple, on grey\n" in text for text in (said[2], shown(world.message(ended.message_id))))
    for job in (plain, negative, part):
        await world.ended(job)


async def test_each_is_kept_as_itself_and_leaves_the_others(bot):
    held = UserSettings()
    changes: dict[str, Any]
    for changes, line in (
        ({"preset": "fine"}, "**Preset** · fine"),
        ({"size": "64x48"}, "**Size** · 64x48"),
        ({"suffix": "on *grey*"}, "**Suffix** · on \\*grey\\*"),
        ({"notify": True}, "**Mention me when a picture is done** · yes"),
        ({"notify": False}, "**Mention me when a picture is done** · no"),
    ):
        asked = await use(bot, "settings", **changes)
        held = held.model_copy(update=changes)
        assert line in asked.lines
        assert asked.private
        assert asked.colour == content.GREEN
        assert await bot.queue.preferences.user(1) == held
    asked = await use(bot, "settings")
    assert asked.colour == content.BLUE, "looking changes nothing"
    assert await bot.queue.preferences.user(1) == held
    assert await bot.queue.preferences.user(2) == UserSettings()


async def test_what_is_not_set_is_said_and_a_reset_comes_first(bot):
    lines = (await use(bot, "settings")).lines
    assert lines[:4] == [
        "**Preset** · the usual one here",
        "**Size** · what the preset says",
        "**Suffix** · none",
        "**Mention me when a picture is done** · no",
    ]
    await use(bot, "settings", preset="fine", size="64x48", suffix="on grey", notify=True)
    asked = await use(bot, "settings", reset=True, size=" 48 x 32 ")
    assert asked.colour == content.GREEN
    assert await bot.queue.preferences.user(1) == UserSettings(size="48x32")
    await use(bot, "settings", suffix="| oil")
    await use(bot, "settings", size=" NONE ", suffix=" none ")
    assert await bot.queue.preferences.user(1) == UserSettings()
    asked = await use(bot, "settings", Use(bot, 2), reset=True)
    assert asked.colour == content.GREEN


async def test_a_size_that_is_none_changes_nothing(bot):
    with pytest.raises(Refusal, match="width x height"):
        await use(bot, "settings", size="huge", preset="fine")
    assert await bot.queue.preferences.user(1) == UserSettings()
