"""What holds with one painting thread holds with two painting processes: kills, faults and load, in small."""

import os
import random
import re
import signal

import pytest

from tests.end_to_end.bot_process import BotProcesses, final
from tests.end_to_end.loopback import answer, until
from tests.end_to_end.test_kills import imagine, once_each
from tests.end_to_end.test_load import fair

PATIENCE = 240.0
KILLS = int(os.environ.get("TWO_PAINTERS_KILLS", "3"))
PEOPLE, JOBS = 6, 2


@pytest.fixture
def two(bots: BotProcesses) -> BotProcesses:
    """A Discord on which each bot has two painters, in processes of their own."""
    bots.settings = {
        "worker__isolation": "process",
        "worker__painters": ["cpu", "cpu"],
        "worker__attempts": 1000,
        "worker__checkpoint_seconds": 0.05,
        "limits__per_user": 100,
    }
    return bots


async def test_killed_with_two_paintings_under_way_both_go_on(two):
    channel = two.discord.channel("paintings")
    bot = await two.start()
    for user in ("alice", "bob"):
        await imagine(two, channel, user, steps=40, seed=3)
    await two.ledger_says("SELECT count(*) FROM jobs WHERE step > 0 AND state = 'running'", 2, PATIENCE)
    await bot.kill()
    bot = await two.start()
    await two.delivered(2, PATIENCE)
    once_each(two, channel, 2)
    assert all(attempts == 2 for (attempts,) in two.rows("SELECT attempts FROM jobs"))
    pictures = [path.read_bytes() for path in (two.data / "pictures").iterdir()]
    assert pictures[0] == pictures[1], "equal specs paint equal pictures, wherever they were interrupted"


async def test_a_painter_that_is_killed_costs_its_job_a_resume_and_nobody_else(two):
    channel = two.discord.channel("paintings")
    bot = await two.start()
    for user in ("alice", "bob"):
        await imagine(two, channel, user, steps=40)
    await two.ledger_says("SELECT count(*) FROM jobs WHERE step > 0 AND state = 'running'", 2, PATIENCE)
    first = int(re.findall(r"Painting on .*, in process (\d+)", bot.log)[0])
    os.kill(first, signal.SIGKILL)
    await two.delivered(2, PATIENCE)
    once_each(two, channel, 2)
    assert sorted(attempts for (attempts,) in two.rows("SELECT attempts FROM jobs")) == [1, 2]
    await bot.end()


async def test_killed_again_and_again_while_people_ask_and_discord_fails(two):
    chance = random.Random(7)
    channel = two.discord.channel("paintings")
    asked = 0
    for kill in range(KILLS):
        bot = await two.start()
        two.discord.fault("edit", answer(503), times=2, where=final)
        for number in range(3):
            one = await imagine(two, channel, f"user {kill} {number}", steps=chance.choice((2, 15)))
            await until(lambda one=one: one.response is not None, 60, "an answer")
            asked += 1
        requests = len(two.discord.records) + chance.randint(1, 12)
        await until(lambda least=requests: len(two.discord.records) >= least, PATIENCE, "requests")
        await bot.kill()
    await two.start()
    await two.delivered(asked, PATIENCE)
    once_each(two, channel, asked)


async def test_everybody_in_turn_under_load(two):
    channel = two.discord.channel("paintings")
    bot = await two.start(worker__frames=0, worker__checkpoint_seconds=1000, reactions__seeded="[]")
    for _ in range(JOBS):
        for number in range(PEOPLE):
            await imagine(two, channel, f"user {number}", steps=4)
    await two.delivered(PEOPLE * JOBS, PATIENCE)
    once_each(two, channel, PEOPLE * JOBS)
    fair(two)
    assert "Traceback" not in bot.log
