import asyncio

import discord
import pytest

from bot.chat.people import Person
from bot.chat.rate_limit import RateLimit
from bot.jobs import JobState, Requester
from tests.simulated import ENDLESS, shown


@pytest.fixture
async def done(world):
    return await world.ended(await world.imagine(world.alice))


async def react(world, who, job, emoji):
    await who.react(world.message(job.message_id), emoji)


@pytest.mark.parametrize(
    ("emoji", "kind"), [("🔁", "rerun"), ("🔂", "rerun"), ("🎲", "vary"), ("⬆️", "refine"), ("🎞️", "timelapse")]
)
async def test_each_emoji_makes_its_job_in_a_reply(world, done, emoji, kind):
    await react(world, world.bob, done, emoji)
    job = (await world.children(done, kind))[0]
    ended = await world.ended(job)
    assert (ended.state, ended.user_id) == (JobState.DELIVERED, world.bob.id)
    assert (ended.spec.seed == done.spec.seed) == (emoji not in ("🔁", "🎲"))
    message = world.message(ended.message_id)
    assert message.reference is not None
    assert message.reference["message_id"] == str(done.message_id)


async def test_the_variation_selector_does_not_matter(world, done):
    await react(world, world.bob, done, "⬆")
    assert len(await world.children(done, "refine")) == 1


async def test_pressing_twice_makes_one_job(world, done):
    message = world.message(done.message_id)
    for _ in range(3):
        await world.bob.react(message, "🔁")
        await world.bob.unreact(message, "🔁")
    jobs = await world.children(done, "rerun")
    assert len(jobs) == 1
    await world.ended(jobs[0])


async def test_the_letter_sends_picture_and_settings_in_private(world, done):
    await react(world, world.bob, done, "✉️")
    sent = world.messages(world.direct(world.bob))
    assert len(sent) == 1
    assert sent[0].files == [f"painting-{done.id}.png"]
    assert "seed 1" in sent[0].text


async def test_the_cross_deletes_a_finished_picture_of_ones_own(world, done):
    await react(world, world.bob, done, "❌")
    assert [message.id for message in world.messages()] == [done.message_id]
    await react(world, world.alice, done, "❌")
    assert world.messages() == []


async def test_the_cross_stops_a_running_painting(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    await react(world, world.alice, job, "❌")
    ended = await world.ended(job)
    assert ended.state is JobState.DELIVERED
    assert "Stopped at step" in shown(world.message(job.message_id))


async def test_a_refusal_comes_in_private(world, done):
    await world.bot.queue.change_guild(world.guild_id, per_user=0)
    await react(world, world.bob, done, "🔁")
    sent = world.messages(world.direct(world.bob))
    assert sent[0].content == "You may not paint here: ask a moderator of this server."
    assert await world.children(done, "rerun") == []


async def test_reactions_on_anything_else_are_ignored(world, done):
    chat = await world.alice.send(world.channel, "nice")
    await world.bob.react(chat, "🔁")
    await react(world, world.bob, done, "🦄")
    assert len(await world.ledger.history(world.bob.id)) == 0


async def test_a_storm_is_capped(world, done):
    await world.bot.queue.change_guild(world.guild_id, paused=True, per_user=1000)
    jobs = [done]
    for emoji in ("🔁", "🔂", "🎲", "⬆️"):
        await react(world, world.bob, jobs[0], emoji)
    fakes = [await world.alice.send(world.channel, "x") for _ in range(6)]
    for fake in fakes:
        await world.ledger.attach_message(done.id, world.channel.id, fake.id, current=False)
        await world.bob.react(fake, "🔁")
    assert len(await world.ledger.history(world.bob.id, 50)) == 6


async def test_the_gate_opens_again_after_a_minute():
    now = [0.0]
    limit = RateLimit(2, lambda: now[0])
    assert [limit.allows(1) for _ in range(3)] == [True, True, False]
    assert limit.allows(2)
    now[0] = 60.0
    assert limit.allows(1)


async def test_two_at_the_same_moment_are_one_job(world, done):
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    person = Person(Requester(world.bob.id, world.guild_id, world.channel.id), discord.Permissions.none(), missing=())
    actions, intake = world.bot.actions, world.bot.intake
    requests = [await actions.follow_up(person, "rerun", done, -5) for _ in range(2)]
    await asyncio.gather(*(intake.take_by_reply(request, done.message_id) for request in requests))
    jobs = await world.children(done, "rerun")
    assert len(jobs) == 1
    assert len(world.messages()) == 2
