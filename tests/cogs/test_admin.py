import re

import pytest

from bot.jobs import JobState
from bot.queue.preferences import MOST_BLOCKED_WORDS, GuildSettings
from bot.settings import LimitSettings, Settings
from cogs.admin import _lines
from local_discord import Refused
from local_discord.permissions import Permission
from tests.simulated import words


@pytest.fixture
def boss(world):
    role = world.role("managers", Permission.MANAGE_GUILD)
    return world.person("boss", role)


async def own(world):
    return await world.bot.queue.preferences.guild(world.guild_id)


async def test_only_managers_see_the_commands(world, boss):
    assert "admin" not in world.alice.commands(world.channel)
    assert "admin" in boss.commands(world.channel)
    with pytest.raises(Refused):
        await world.alice.slash(world.channel, "admin pause")


async def test_pause_holds_jobs_and_resume_lets_them_go(world, boss):
    await boss.slash(world.channel, "admin pause")
    job = await world.imagine(world.alice, steps=2)
    assert (await world.job(job.id)).state is JobState.QUEUED
    await boss.slash(world.channel, "admin resume")
    assert (await world.ended(job)).state is JobState.DELIVERED


async def test_drain_takes_nothing_new_and_resume_does_again(world, boss):
    await boss.slash(world.channel, "admin drain")
    result = await world.alice.slash(world.channel, "imagine", prompt="a red apple")
    assert result.ephemeral
    assert "No new paintings" in words(result)
    await boss.slash(world.channel, "admin resume")
    await world.ended(await world.imagine(world.alice, steps=1))


async def test_each_state_ends_the_one_before(world, boss):
    states = {"pause": (True, False), "drain": (False, True), "resume": (False, False)}
    listed = {"pause": "paused", "drain": "taking nothing new", "resume": "painting"}
    for command in ("pause", "drain", "pause", "resume", "drain", "resume"):
        result = await boss.slash(world.channel, f"admin {command}")
        held = await own(world)
        assert (held.paused, held.draining) == states[command], command
        assert f"**State** · {listed[command]}\n" in words(result)


async def test_limits_per_person_server_and_role(world, boss):
    role = world.role("patrons")
    await boss.slash(world.channel, "admin limits", per_user=1, per_guild=5, role=role, per_role=4)
    held = await own(world)
    assert (held.per_user, held.per_guild, held.per_role) == (1, 5, {role.id: 4})
    await boss.slash(world.channel, "admin limits", role=role)
    assert (await own(world)).per_role == {}
    result = await boss.slash(world.channel, "admin limits", per_role=4)
    assert "which role" in words(result)


async def test_a_limit_of_none_at_all_is_one(world, boss):
    """0 is a number, not nothing said: neither for a person nor for a day, and a pause of 0 s is none."""
    for option in ("per_user", "per_day", "per_guild"):
        await boss.slash(world.channel, "admin limits", **{option: 0})
        result = await world.alice.slash(world.channel, "imagine", prompt="a red apple")
        assert result.ephemeral, option
        assert "may not paint" in words(result) or "0 of 0" in words(result)
        await boss.slash(world.channel, "admin limits", **{option: 3})
    await boss.slash(world.channel, "admin limits", cooldown=0.0)
    assert (await own(world)).cooldown_seconds == 0.0
    await world.ended(await world.imagine(world.alice, steps=1))


async def test_each_limit_is_kept_as_itself_and_leaves_the_others(world, boss):
    role, other = world.role("patrons"), world.role("others")
    await boss.slash(world.channel, "admin limits", per_user=2, per_guild=3, cooldown=4.5, per_day=5)
    await boss.slash(world.channel, "admin limits", role=role, per_role=6, role_per_day=7)
    await boss.slash(world.channel, "admin limits", role=other, role_per_day=8)
    result = await boss.slash(world.channel, "admin limits", per_guild=9)
    held = await own(world)
    assert (held.per_user, held.per_guild, held.cooldown_seconds, held.per_day) == (2, 9, 4.5, 5)
    assert (held.per_role, held.per_day_per_role) == ({role.id: 6}, {role.id: 7, other.id: 8})
    for line in (
        "**Limit of one person** · 2 paintings",
        f"**Limits of roles** · <@&{role.id}> 6",
        "**Limit of the server** · 9",
        f"**In 24 hours** · 5 · <@&{role.id}> 7, <@&{other.id}> 8",
        "**Between two requests** · 5 seconds",
    ):
        assert line in words(result)
    await boss.slash(world.channel, "admin limits", role=role)
    held = await own(world)
    assert (held.per_role, held.per_day_per_role) == ({}, {other.id: 8})
    assert "which role" in words(await boss.slash(world.channel, "admin limits", role_per_day=4))


async def test_channels(world, boss):
    other = world.text_channel("other")
    await boss.slash(world.channel, "admin channels deny", channel=world.channel)
    result = await world.alice.slash(world.channel, "imagine", prompt="a red apple")
    assert "not allowed in this channel" in words(result)
    await boss.slash(world.channel, "admin channels allow", channel=other)
    held = await own(world)
    assert (held.channels_allowed, held.channels_denied) == ({other.id}, {world.channel.id})
    await boss.slash(world.channel, "admin channels everywhere")
    held = await own(world)
    assert (held.channels_allowed, held.channels_denied) == (frozenset(), frozenset())
    await world.ended(await world.imagine(world.alice, steps=1))


async def test_a_channel_that_is_allowed_is_denied_no_more_and_the_other_way_round(world, boss):
    await boss.slash(world.channel, "admin channels deny", channel=world.channel)
    await boss.slash(world.channel, "admin channels allow", channel=world.channel)
    held = await own(world)
    assert (held.channels_allowed, held.channels_denied) == ({world.channel.id}, frozenset())
    await world.ended(await world.imagine(world.alice, steps=1))
    await boss.slash(world.channel, "admin channels deny", channel=world.channel)
    held = await own(world)
    assert (held.channels_allowed, held.channels_denied) == (frozenset(), {world.channel.id})


async def test_blocked_words_and_people(world, boss):
    await boss.slash(world.channel, "admin block word", word="Weasel ")
    assert "word that is not allowed" in words(await world.alice.slash(world.channel, "imagine", prompt="a weasel"))
    await boss.slash(world.channel, "admin block word", word="weasel", lift=True)
    await boss.slash(world.channel, "admin block user", user=world.alice)
    assert "may not use" in words(await world.alice.slash(world.channel, "imagine", prompt="a cat"))
    await boss.slash(world.channel, "admin block user", user=world.alice, lift=True)
    held = await own(world)
    assert (held.blocked_words, held.blocked_users) == (frozenset(), frozenset())


async def test_defaults(world, boss):
    await boss.slash(world.channel, "admin default preset", preset="paper")
    await boss.slash(world.channel, "admin default size", size="48x32")
    await boss.slash(world.channel, "admin default model", model="embedded")
    job = await world.imagine(world.alice, steps=1)
    assert (job.spec.preset, job.spec.width, job.spec.height) == ("paper", 48, 32)
    await world.ended(job)
    assert "not available" in words(await boss.slash(world.channel, "admin default model", model="dalle"))
    shown = words(await boss.slash(world.channel, "admin show"))
    for piece in ("Usual size** · 48x32", "Limit of one person** · *8*", "Limits of roles** · none of their own"):
        assert piece in shown


async def test_what_is_set_is_shown_however_much_it_is(world, boss):
    many = range(10**17, 10**17 + 200)
    await world.bot.queue.change_guild(
        world.guild_id,
        blocked_words=frozenset(f"*{number}*" * 5 for number in many),
        blocked_users=frozenset(many),
        channels_allowed=frozenset({world.channel.id, *many}),
        channels_denied=frozenset(many),
        per_role=dict.fromkeys(many, 10_000),
        per_day_per_role=dict.fromkeys(many, 10_000),
    )
    answer = words(await boss.slash(world.channel, "admin show"))
    assert len(answer) <= 4000
    for what in ("Blocked words", "Blocked people", "Allowed channels", "Denied channels", "Limits of roles"):
        (line,) = [line for line in answer.splitlines() if line.startswith(f"**{what}**")]
        assert re.search(r", and \d+ more$", line)


async def test_a_default_is_taken_back_by_naming_none(world, boss):
    for what, value in (("preset", "paper"), ("size", "48x32"), ("model", "embedded")):
        await boss.slash(world.channel, f"admin default {what}", **{what: value})
        await boss.slash(world.channel, f"admin default {what}")
    held = await own(world)
    assert (held.preset, held.size, held.generator) == (None, None, None)


async def test_so_many_words_can_be_blocked_and_no_more(world, boss):
    words_there = frozenset(f"word{number}" for number in range(MOST_BLOCKED_WORDS - 1))
    await world.bot.queue.change_guild(world.guild_id, blocked_words=words_there)
    await boss.slash(world.channel, "admin block word", word="last")
    assert "lift one first" in words(await boss.slash(world.channel, "admin block word", word="more"))
    await boss.slash(world.channel, "admin block word", word="last")  # it is there already
    await boss.slash(world.channel, "admin block word", word="word0", lift=True)
    assert (await own(world)).blocked_words == words_there - {"word0"} | {"last"}


def test_what_holds_is_shown_and_whose_it_is():
    """In italics: as the bot's owner has set it, which no server can raise."""
    settings = Settings(limits=LimitSettings(per_user=5, per_guild=20, per_day=30, cooldown_seconds=10))
    listed = "\n".join(_lines(GuildSettings(per_user=9, per_guild=19, per_day=31, cooldown_seconds=9), settings))
    for line in ("person** · *5* ", "server** · 19\n", "24 hours** · *30*\n", "requests** · *10 seconds*\n"):
        assert line in listed
    listed = "\n".join(_lines(GuildSettings(per_user=4, per_day=30, cooldown_seconds=11), settings))
    for line in ("person** · 4 ", "server** · *20*\n", "24 hours** · 30\n", "requests** · 11 seconds\n"):
        assert line in listed
    free = Settings(limits=LimitSettings(per_day=None, cooldown_seconds=0))
    listed = "\n".join(_lines(GuildSettings(), free))
    assert "24 hours** · *no limit*\n" in listed
    assert "requests** · *no pause*\n" in listed
    listed = "\n".join(_lines(GuildSettings(per_day=7, preset="fine", size="64x64"), free))
    for line in ("24 hours** · 7\n", "preset** · fine\n", "size** · 64x64\n", "model** · *embedded*\n"):
        assert line in listed


def test_people_channels_and_words_are_shown_as_what_they_are():
    held = GuildSettings(
        channels_allowed=frozenset({2, 1}),
        channels_denied=frozenset({3}),
        blocked_users=frozenset({4}),
        blocked_words=frozenset({"b*d", "a"}),
    )
    listed = _lines(held, Settings())
    assert "**Allowed channels** · <#1>, <#2>" in listed
    assert "**Denied channels** · <#3>" in listed
    assert "**Blocked people** · <@4>" in listed
    assert "**Blocked words** · ||a||, ||b\\*d||" in listed
