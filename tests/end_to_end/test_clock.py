"""A clock that jumps, by an hour or a day and back, while jobs wait, are painted and are delivered."""

import asyncio

import pytest

from local_discord.objects import Channel
from tests.end_to_end.bot_process import BotProcesses, final
from tests.end_to_end.loopback import hold, until

HOUR, DAY = 3600.0, 86400.0


async def imagine(bots: BotProcesses, channel: Channel, user: str, **options):
    return await bots.discord.slash(bots.discord.user(user), channel, "imagine", prompt="a red apple", **options)


@pytest.mark.parametrize("jump", [-DAY, -HOUR, HOUR, DAY])
async def test_turns_and_pictures_do_not_depend_on_the_clock(bots, jump):
    channel = bots.discord.channel("paintings")
    bot = await bots.start(limits__per_user=5)
    long = [await imagine(bots, channel, "alice", steps=30) for _ in range(bots.painters)]
    under_way = "SELECT count(*) FROM jobs WHERE state = 'running' AND message_id IS NOT NULL"
    await bots.ledger_says(under_way, bots.painters)
    before = [await imagine(bots, channel, name) for name in ("alice", "alice", "bob")]
    await until(lambda: all(asked.response for asked in before), 20, "answers")
    bots.set_clock(jump)
    after = [await imagine(bots, channel, name) for name in ("carol", "bob")]
    jobs = len((*long, *before, *after))
    await bots.delivered(jobs)
    assert [len(shown) for shown in bots.finals(channel).values()] == [1] * jobs
    # The one whose turn was longest ago comes first, and among equals who has waited longest, whatever the stamps say.
    turns = dict(bots.rows("SELECT user_id, turn FROM served"))
    names = {bots.discord.user(name).id: name for name in ("alice", "bob", "carol")}
    assert [names[user] for user in sorted(turns, key=lambda user: turns[user])] == ["carol", "bob", "alice"]
    replies = [message for message in bots.discord.messages(channel) if message.reference is not None]
    assert bool(replies) is (jump > 0), "a message that seems older than an hour is answered, any other is edited"
    assert all(asked.response for asked in long)
    pictures = list((bots.data / "pictures").iterdir())
    assert len(pictures) == jobs, "a day is not enough to clear pictures away"
    assert all(asked.response for asked in after)
    assert "Traceback" not in bot.log


@pytest.mark.parametrize("wrong", [-DAY, DAY])
async def test_a_picture_that_was_posted_under_a_wrong_clock_is_found_again(bots, wrong):
    """The process dies after posting and before noting it; the next one looks into the channel, by Discord's clock."""
    bots.set_clock(wrong)
    channel = bots.discord.channel("paintings")
    never = asyncio.Event()
    fault = bots.discord.fault("send", hold(never, applied=True), where=final)
    bot = await bots.start(discord__edit_age_seconds=0.001)
    await imagine(bots, channel, "alice")
    await fault.seen()
    await until(lambda: bool(bots.finals(channel)), 20, "the picture is in the channel")
    await bot.kill()
    bots.discord.rest.messages.forget_nonces()
    await bots.start()
    await bots.delivered(1)
    assert [len(shown) for shown in bots.finals(channel).values()] == [1]
    never.set()


async def test_reactions_are_taken_after_the_clock_went_back(bots):
    channel = bots.discord.channel("paintings")
    await bots.start(limits__per_user=50)
    asked = await imagine(bots, channel, "alice")
    await bots.delivered(1)
    assert asked.response is not None
    await bots.discord.react(bots.discord.user("bob"), asked.response, "🔁")
    await bots.delivered(2)
    bots.set_clock(-DAY)
    await bots.discord.react(bots.discord.user("bob"), asked.response, "🎲")
    await bots.delivered(3)
