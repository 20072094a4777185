"""kill -9, at every border between two states and at random: each accepted job has one picture in the end."""

import asyncio
import contextlib
import os
import random
from collections import Counter

from local_discord.objects import Channel
from tests.end_to_end.bot_process import BotProcesses, final
from tests.end_to_end.loopback import Interaction, answer, hold, until

KILLS = int(os.environ.get("RANDOM_KILLS", "20"))


async def imagine(bots: BotProcesses, channel: Channel, user: str = "alice", **options) -> Interaction:
    return await bots.discord.slash(bots.discord.user(user), channel, "imagine", prompt="a red apple", **options)


def once_each(bots: BotProcesses, channel: Channel, jobs: int) -> None:
    """Every job in the ledger is delivered, and the channel shows one final picture of each, and of nothing else."""
    states = bots.states()
    assert len(states) == jobs
    assert set(states.values()) == {"delivered"}
    finals = bots.finals(channel)
    assert finals.keys() == states.keys()
    assert {job_id: len(shown) for job_id, shown in finals.items() if len(shown) != 1} == {}


async def test_killed_while_jobs_wait(bots):
    channel = bots.discord.channel("paintings")
    bot = await bots.start()
    asking = [await imagine(bots, channel, user=f"busy {number}", steps=80) for number in range(bots.painters)]
    await until(lambda: all(one.response for one in asking), 20, "an answer for each painter")
    asking += [await imagine(bots, channel, user=f"user {number}", steps=2) for number in range(4)]
    await until(lambda: all(one.response for one in asking), 20, "four answers")
    await bot.kill()
    assert list(bots.states().values()).count("queued") >= 3
    await bots.start()
    await bots.delivered(len(asking))
    once_each(bots, channel, len(asking))
    shown = bots.discord.messages(channel)
    assert len(shown) == len(asking)
    assert all(one.response in shown for one in asking)


async def test_killed_while_painting(bots):
    channel = bots.discord.channel("paintings")
    bot = await bots.start()
    asking = await imagine(bots, channel, steps=40)
    await bots.ledger_says("SELECT step > 0 FROM jobs", 1)  # there is a checkpoint
    await bot.kill()
    [(step,)] = bots.rows("SELECT step FROM jobs")
    assert set(bots.states().values()) == {"running"}
    bot = await bots.start()
    await bots.delivered(1)
    once_each(bots, channel, 1)
    assert bots.discord.messages(channel) == [asking.response]
    assert 0 < step < 40


async def test_killed_between_picture_and_ledger(bots):
    """The picture lies on the disk and the ledger says that it is being painted: it is not painted again."""
    channel = bots.discord.channel("paintings")
    opened = asyncio.Event()
    bots.discord.fault("edit", hold(opened, applied=False), where=final)
    bot = await bots.start()
    await imagine(bots, channel)
    await bots.ledger_says("SELECT state FROM jobs", "rendered")
    await bot.kill()
    [picture] = (bots.data / "pictures").iterdir()
    painted = picture.stat().st_mtime_ns
    bots.change("UPDATE jobs SET state = 'running', finished_at = NULL")
    opened.set()
    bots.discord.faults.clear()
    await bots.start()
    await bots.delivered(1)
    once_each(bots, channel, 1)
    assert picture.stat().st_mtime_ns == painted


async def test_killed_with_the_picture_on_disk_and_not_in_the_channel(bots):
    channel = bots.discord.channel("paintings")
    never = asyncio.Event()
    fault = bots.discord.fault("edit", answer(503), times=10_000, where=final)
    bot = await bots.start()
    asking = await imagine(bots, channel)
    await fault.seen()
    await bot.kill()
    assert set(bots.states().values()) == {"rendered"}
    assert bots.finals(channel) == {}
    bots.discord.faults.clear()
    await bots.start()
    await bots.delivered(1)
    once_each(bots, channel, 1)
    assert bots.discord.messages(channel) == [asking.response]
    never.set()


async def test_killed_after_the_edit_and_before_the_ledger_knew(bots):
    channel = bots.discord.channel("paintings")
    never = asyncio.Event()
    fault = bots.discord.fault("edit", hold(never, applied=True), where=final)
    bot = await bots.start()
    asking = await imagine(bots, channel)
    await fault.seen()
    await until(lambda: bool(bots.finals(channel)), 20, "the picture is in the channel")
    await bot.kill()
    assert set(bots.states().values()) == {"rendered"}
    assert asking.response is not None
    edits = asking.response.edits
    await bots.start()
    await bots.delivered(1)
    once_each(bots, channel, 1)
    assert asking.response.edits == edits, "it was found, and not posted again"
    never.set()


async def test_killed_after_a_reply_and_before_the_ledger_knew(bots):
    """The job's message is gone and the nonce has run out: only a look into the channel can show it."""
    channel = bots.discord.channel("paintings")
    never = asyncio.Event()
    bots.discord.fault("edit", answer(404, 10008, "Unknown Message"), times=10_000)
    fault = bots.discord.fault("send", hold(never, applied=True), where=final)
    bot = await bots.start()
    asking = await imagine(bots, channel)
    await fault.seen()
    await until(lambda: bool(bots.finals(channel)), 20, "the picture is in the channel")
    assert asking.response is not None
    asking.response.deleted = True
    await bot.kill()
    bots.discord.rest.messages.forget_nonces()
    await bots.start()
    await bots.delivered(1)
    once_each(bots, channel, 1)
    never.set()


async def test_killed_between_the_answer_and_its_note(bots):
    """The command was answered, and the process died before it knew under which id."""
    channel = bots.discord.channel("paintings")
    never = asyncio.Event()
    fault = bots.discord.fault("answer", hold(never, applied=True))
    bot = await bots.start()
    await imagine(bots, channel)
    await fault.seen()
    await until(lambda: bool(bots.discord.messages(channel)), 20, "an answer")
    await bot.kill()
    await bots.start()
    await bots.delivered(1)
    once_each(bots, channel, 1)
    assert len(bots.discord.messages(channel)) == 1, "the answer was found"
    never.set()


async def test_a_job_that_kills_the_process_again_and_again_is_given_up(bots):
    channel = bots.discord.channel("paintings")
    await bots.start(worker__checkpoint_seconds=1000, worker__attempts=2)
    asking = await imagine(bots, channel, steps=500)
    await bots.ledger_says("SELECT message_id IS NOT NULL FROM jobs", 1)
    for attempt in (1, 2):
        await bots.ledger_says("SELECT attempts FROM jobs", attempt)
        await bots.started[-1].kill()
        await bots.start(worker__checkpoint_seconds=1000, worker__attempts=2)
    await bots.ledger_says("SELECT state FROM jobs", "failed")
    assert asking.response is not None
    message = asking.response
    await until(lambda: "given up" in message.text, 20, "the requester is told")
    await imagine(bots, channel, user="bob")
    await bots.delivered(1)


async def test_random_kills_lose_nothing_and_show_nothing_twice(bots):
    """People ask all the time, and the process is killed all the time, at moments that nobody chose."""
    chance = random.Random(5)
    channel = bots.discord.channel("paintings")
    asked: list[Interaction] = []
    for kill in range(KILLS):
        bot = await bots.start(worker__attempts=1000)
        now = [
            await imagine(bots, channel, user=f"user {kill} {number}", steps=chance.choice((2, 2, 2, 8)))
            for number in range(chance.choice((0, 1, 1, 2)))
        ]
        asked += now
        # Between two requests of the bot, whichever they are; after a while in any case.
        requests = len(bots.discord.records) + chance.randint(1, 12)
        with contextlib.suppress(AssertionError):
            await until(lambda: len(bots.discord.records) >= requests, chance.uniform(0, 2), "requests")  # noqa: B023
        await bot.kill()
        if chance.random() < 0.2:
            bots.discord.rest.messages.forget_nonces()
    bot = await bots.start(worker__attempts=1000)
    states = list(bots.states().values())
    print(f"{KILLS} kills, {len(asked)} commands, jobs before the last start: {Counter(states)}")
    accepted = {one.id for one in asked if one.kind is not None}
    known = {interaction_id for (interaction_id,) in bots.rows("SELECT interaction_id FROM jobs")}
    assert accepted <= known
    await bots.delivered(len(known), seconds=120)
    once_each(bots, channel, len(known))
    assert "Traceback" not in bot.log
