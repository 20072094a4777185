import re

import pytest

from bot.jobs import JobState
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


async def test_drain_takes_nothing_new(world, boss):
    await boss.slash(world.channel, "admin drain")
    result = await world.alice.slash(world.channel, "imagine", prompt="a red apple")
    assert result.ephemeral
    assert "No new paintings" in words(result)


async def test_limits_per_person_server_and_role(world, boss):
    role = world.role("patrons")
    await boss.slash(world.channel, "admin limits", per_user=1, per_guild=5, role=role, per_role=4)
    held = await own(world)
    assert (held.per_user, held.per_guild, held.per_role) == (1, 5, {role.id: 4})
    await boss.slash(world.channel, "admin limits", role=role)
    assert (await own(world)).per_role == {}
    result = await boss.slash(world.channel, "admin limits", per_role=4)
    assert "which role" in words(result)


async def test_channels(world, boss):
    other = world.text_channel("other")
    await boss.slash(world.channel, "admin channels deny", channel=world.channel)
    result = await world.alice.slash(world.channel, "imagine", prompt="a red apple")
    assert "not allowed in this channel" in words(result)
    await boss.slash(world.channel, "admin channels allow", channel=other)
    assert (await own(world)).channels_allowed == {other.id}
    await boss.slash(world.channel, "admin channels everywhere")
    assert (await own(world)).channels_denied == frozenset()
    await world.ended(await world.imagine(world.alice, steps=1))


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
    told = words(await boss.slash(world.channel, "admin show"))
    assert len(told) <= 4000
    for what in ("Blocked words", "Blocked people", "Allowed channels", "Denied channels", "Limits of roles"):
        (line,) = [line for line in told.splitlines() if line.startswith(f"**{what}**")]
        assert re.search(r", and \d+ more$", line)
