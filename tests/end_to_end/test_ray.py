"""A real Ray cluster paints, and whatever can go wrong does: each job has one picture, and it is the same as without.

RAY_ROUND says how many jobs are asked for before each mishap; with 8 there are 48 of 8 people, which take some minutes.
"""

import os
import re
import signal
from collections.abc import Callable

import pytest

from local_discord.objects import Channel
from tests.bot.worker.clusters import add_machine, free_port, ray_cluster
from tests.end_to_end.bot_process import BotProcesses
from tests.end_to_end.loopback import until
from tests.end_to_end.test_kills import once_each
from tests.end_to_end.test_load import fair

ROUND = int(os.environ.get("RAY_ROUND", "2"))
ROUNDS, PEOPLE = 6, 8
JOBS = ROUND * ROUNDS
STEPS = 45
PATIENCE = 240.0
HANG_SECONDS = 10.0


def painters(bots: BotProcesses) -> list[int]:
    """Return the process ids of the actors that have been ready, in that order."""
    log = bots.started[-1].log
    return [int(pid) for pid in re.findall(r"Painting on .*, in process (\d+)", log)]


async def more_painters(bots: BotProcesses, than: int, why: str) -> None:
    await until(lambda: len(painters(bots)) > than, PATIENCE, f"{why}; its log:\n{bots.started[-1].log[-3000:]}")


async def at_work(bots: BotProcesses) -> None:
    """Wait for a painting that has come some way since now."""
    before = dict(bots.rows("SELECT id, step FROM jobs WHERE state = 'running'"))

    def goes_on() -> bool:
        rows = bots.rows("SELECT id, step FROM jobs WHERE state = 'running'")
        return any(step > before.get(job_id, 0) for job_id, step in rows) or not bots.rows(
            "SELECT 1 FROM jobs WHERE state IN ('queued', 'running')"
        )

    await until(goes_on, PATIENCE, f"something is painted; its log:\n{bots.started[-1].log[-3000:]}")


async def replaced(bots: BotProcesses, harm: Callable[[], object], why: str) -> None:
    """Do harm to a painter that is at work, and wait for another in its place."""
    await at_work(bots)
    ready = len(painters(bots))
    harm()
    await more_painters(bots, ready, why)


async def ask(bots: BotProcesses, channel: Channel) -> None:
    """Ask for the jobs of one round, of one person after the other."""
    asked = []
    for number in range(ROUND):
        user = bots.discord.user(f"user {(len(bots.states()) + number) % PEOPLE}")
        options = {"prompt": "a red apple", "seed": 3, "steps": STEPS}
        asked.append(await bots.discord.slash(user, channel, "imagine", **options))
    await until(lambda: all(one.response for one in asked), 60, "every command is answered")


@pytest.mark.timeout(1500)  # some two minutes where nothing else runs
async def test_jobs_survive_whatever_happens_to_the_cluster(bots):
    port = free_port()
    bots.settings = {
        "worker__isolation": "ray",
        "worker__hang_seconds": HANG_SECONDS,
        "worker__attempts": 100,
        "ray__address": f"127.0.0.1:{port}",
        "ray__painters": 2,
        "limits__per_user": 100,
    }
    channel = bots.discord.channel("paintings")
    with ray_cluster(machines=2, port=port) as first:
        await bots.start()
        await more_painters(bots, 1, "two painters")
        await ask(bots, channel)
        await replaced(bots, lambda: os.kill(painters(bots)[-1], signal.SIGKILL), "a killed actor is replaced")
        await ask(bots, channel)
        await replaced(bots, lambda: os.kill(painters(bots)[-1], signal.SIGSTOP), "a stopped actor is replaced")
        await ask(bots, channel)
        await at_work(bots)
        ready = len(painters(bots))
        first.remove_node(first.list_all_nodes()[-1], allow_graceful=False)
        add_machine(first)
        await more_painters(bots, ready, "the new machine paints")
        await ask(bots, channel)
        await at_work(bots)
        first.remove_node(first.head_node, allow_graceful=False)  # kill -9; its machines end when they miss it
    ready = len(painters(bots))
    with ray_cluster(machines=2, port=port):  # the head is another one, at the same address
        await ask(bots, channel)  # while there is nobody who paints
        await more_painters(bots, ready, "the bot finds the new head")
        await ask(bots, channel)
        await at_work(bots)
        await bots.started[-1].kill()
        bot = await bots.start()
        await bots.delivered(JOBS, seconds=600)
        await bot.end()
    once_each(bots, channel, JOBS)
    pictures = {(bots.data / "pictures" / f"{job_id}.png").read_bytes() for job_id in bots.states()}
    assert len(pictures) == 1, "interrupted or not, equal specs are equal pictures"
    starts = [attempts for (attempts,) in bots.rows("SELECT attempts FROM jobs")]
    print(f"starts of {JOBS} jobs: {sorted(starts, reverse=True)}")
    assert max(starts) > 1
    fair(bots)
