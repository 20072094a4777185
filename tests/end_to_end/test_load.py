"""Many people with five requests each, a thousand in a minute: everybody in turn, no memory lost, every job ends."""

import asyncio
import os
import statistics
import time
from collections import Counter

from local_discord.objects import Channel
from tests.end_to_end.bot_process import BotProcesses
from tests.end_to_end.loopback import Interaction, until

USERS = int(os.environ.get("LOAD_USERS", "20"))
JOBS = 5
CHANNELS = 20
SECONDS = 0.3 * USERS
"""A thousand jobs in a minute."""
GENEROUS = {"limits__per_user": JOBS, "limits__per_guild": 10_000, "limits__total": 10_000}
QUIET = {"worker__frames": 0, "worker__checkpoint_seconds": 1000, "reactions__seeded": "[]"}


PATIENCE = 3.0
"""Seconds that Discord waits for an answer."""


async def slowness(over: asyncio.Event) -> float:
    """Return by how much other work slows this machine down: what a fixed piece of work takes usually, and at best."""
    took = []
    while not over.is_set():
        began = time.perf_counter()
        sum(range(200_000))
        took.append(time.perf_counter() - began)
        await asyncio.sleep(1)
    return statistics.median(took) / min(took)


async def ask_evenly(bots: BotProcesses, channels: list[Channel]) -> list[Interaction]:
    """Let everybody ask for all of theirs, one round after the other, evenly."""
    began, asked = time.monotonic(), []
    for number in range(USERS * JOBS):
        user = bots.discord.user(f"user {number % USERS}")
        channel = channels[number % USERS % len(channels)]
        asked.append(await bots.discord.slash(user, channel, "imagine", prompt="a red apple", size="32x32", steps=1))
        await asyncio.sleep(max(0.0, began + SECONDS * number / (USERS * JOBS) - time.monotonic()))
    return asked


async def test_a_thousand_jobs_a_minute(bots):
    channels = [bots.discord.channel(f"paintings-{number}") for number in range(CHANNELS)]
    # Late answers are counted here, and not turned into other faults.
    bots.discord.rest.interactions.answer_seconds = 60
    bot = await bots.start(**GENEROUS, **QUIET)
    await bots.discord.slash(bots.discord.user("first"), channels[0], "imagine", prompt="a red apple")
    await bots.delivered(1)
    before = bot.memory
    over = asyncio.Event()
    measured = asyncio.create_task(slowness(over))
    asked = await ask_evenly(bots, channels)
    await until(lambda: all(one.kind is not None for one in asked), 60, "every command is answered")
    over.set()
    patience = PATIENCE * await measured
    busy = bot.memory
    await bots.delivered(1 + USERS * JOBS, seconds=240)
    after = bot.memory

    answers = sorted(one.answered for one in asked if one.answered is not None)
    middle, slow = statistics.median(answers), answers[int(len(answers) * 0.95) - 1]
    print(f"answers: median {middle:.3f} s, 95 % {slow:.3f} s of {patience:.1f}; "
          f"memory {before:.0f} MiB, {busy:.0f} busy, {after:.0f} after")  # fmt: skip
    assert all(one.kind == 4 for one in asked)
    assert middle <= slow < patience
    shown = Counter(len(messages) for channel in channels for messages in bots.finals(channel).values())
    assert shown == {1: 1 + USERS * JOBS}
    assert sum(len(bots.discord.messages(channel)) for channel in channels) == 1 + USERS * JOBS
    fair(bots)
    assert after - before < 60, "nothing is kept of a job that has ended"
    assert "Traceback" not in bot.log


def fair(bots: BotProcesses) -> None:
    """Nobody is served twice while somebody waits who was served less recently: replay the queue as it went."""
    jobs = bots.rows("SELECT user_id, created_at, started_at FROM jobs ORDER BY started_at")
    last_turn: dict[int, int] = {}
    skipped = 0
    for turn, (user, _, started) in enumerate(jobs):
        waiting = {
            other for other, created, other_started in jobs if created < started - 0.5 and other_started > started
        }
        longer = [other for other in waiting if last_turn.get(other, -1) < last_turn.get(user, -1)]
        skipped += bool(longer)
        last_turn[user] = turn
    assert skipped == 0, f"{skipped} times somebody went before others whose turn was longer ago"
