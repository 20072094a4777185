"""The bot paints in threads as it does in channels, and in private ones for their members only."""

from bot.jobs import JobState
from local_discord import threads
from tests.simulated import ENDLESS, words


async def test_a_thread_is_painted_in_as_its_channel_is(world):
    thread = world.thread(world.alice)
    result = await world.alice.slash(thread, "imagine", prompt="a red apple", steps=4)
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.state, job.channel_id, job.message_id) == (JobState.DELIVERED, thread.id, result.response.id)
    message = world.message(job.message_id)
    assert message.files == [f"painting-{job.id}.png"]
    again = await world.bob.click(message, label="Rerun")
    assert (await world.ended(await world.ledger.by_message(again.response.id))).parent_id == job.id
    await world.alice.react(message, "🎲")
    [varied] = await world.children(job, "vary")
    assert (await world.ended(varied)).state is JobState.DELIVERED
    assert world.message(varied.message_id).channel is thread


async def test_what_is_denied_in_a_channel_is_denied_in_its_threads(world):
    thread = world.thread(world.alice)
    await world.bot.queue.change_guild(world.guild_id, channels_denied=frozenset({world.channel.id}))
    result = await world.alice.slash(thread, "imagine", prompt="a red apple")
    assert result.ephemeral
    assert await world.ledger.history(world.alice.id) == []


async def test_a_private_thread_without_the_bot_is_refused_until_somebody_brings_it_in(world):
    thread = world.thread(world.alice, private=True)
    result = await world.alice.slash(thread, "imagine", prompt="a red apple", steps=2)
    assert result.ephemeral
    assert "see this channel" in words(result)
    bot = world.discord.world.bot
    await world.alice.send(thread, f"<@{bot.id}>")
    result = await world.alice.slash(thread, "imagine", prompt="a red apple", steps=2)
    assert not result.ephemeral, words(result)
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert world.message(job.message_id).files == [f"painting-{job.id}.png"]


async def test_a_bot_that_is_taken_out_of_a_thread_writes_to_the_requester(world):
    bot = world.discord.world.bot
    thread = world.thread(world.alice, bot, private=True)
    result = await world.alice.slash(thread, "imagine", prompt="a red apple", steps=ENDLESS)
    job = await world.ledger.by_message(result.response.id)
    await world.until(lambda: result.response.files)  # something is painted
    threads.remove(world.discord.world, thread, bot)
    await world.bot.queue.stop(job.id)
    ended = await world.ended(job)
    [message] = world.messages(world.direct(world.alice))
    assert (ended.message_id, message.files) == (message.id, [f"painting-{job.id}.png"])


async def test_a_thread_that_is_locked_in_the_middle(world):
    """Neither an edit nor a reply is possible; who manages threads opens it again, and new jobs are painted there."""
    thread = world.thread(world.alice, world.discord.world.bot)
    result = await world.alice.slash(thread, "imagine", prompt="a red apple", steps=ENDLESS)
    job = await world.ledger.by_message(result.response.id)
    await world.until(lambda: result.response.files)  # something is painted
    threads.change(world.discord.world, world.discord.world.owner, thread, locked=True)
    await world.bot.queue.stop(job.id)
    await world.ended(job)
    [message] = world.messages(world.direct(world.alice))
    assert message.files == [f"painting-{job.id}.png"]
    threads.change(world.discord.world, world.discord.world.owner, thread, locked=False)
    again = await world.alice.slash(thread, "imagine", prompt="a red apple", steps=2)
    assert (await world.ended(await world.ledger.by_message(again.response.id))).message_id == again.response.id
