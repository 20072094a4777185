"""A real Ray cluster paints, and whatever can go wrong does: each job has one picture, and it is the same as without.

RAY_JOBS and RAY_PEOPLE say how many jobs of how many people; 40 of 8 take some minutes.
"""

import os
import re
import signal
from collections.abc import Callable

from tests.bot.worker.clusters import add_machine, free_port, ray_cluster
from tests.end_to_end.bot_process import BotProcesses
from tests.end_to_end.loopback import Interaction, until
from tests.end_to_end.test_kills import once_each
from tests.end_to_end.test_load import fair

JOBS = int(os.environ.get("RAY_JOBS", "10"))
PEOPLE = int(os.environ.get("RAY_PEOPLE", "5"))
STEPS = 60
PATIENCE = 240.0
HANG_SECONDS = 4.0


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


async def test_jobs_survive_whatever_happens_to_the_cluster(bots):
    port = free_port()
    cluster = {
        "worker__isolation": "ray",
        "worker__hang_seconds": HANG_SECONDS,
        "worker__attempts": 100,
        "ray__address": f"127.0.0.1:{port}",
        "ray__painters": 2,
        "limits__per_user": JOBS,
    }
    channel = bots.discord.channel("paintings")
    with ray_cluster(machines=2, port=port) as first:
        await bots.start(**cluster)
        await more_painters(bots, 1, "two painters")
        asked: list[Interaction] = []
        for number in range(JOBS):
            user = bots.discord.user(f"user {number % PEOPLE}")
            options = {"prompt": "a red apple", "seed": 3, "steps": STEPS}
            asked.append(await bots.discord.slash(user, channel, "imagine", **options))
        await until(lambda: all(one.response for one in asked), 60, "every command is answered")

        await replaced(bots, lambda: os.kill(painters(bots)[-1], signal.SIGKILL), "a killed actor is replaced")
        await replaced(bots, lambda: os.kill(painters(bots)[-1], signal.SIGSTOP), "a stopped actor is replaced")
        await at_work(bots)
        ready = len(painters(bots))
        first.remove_node(first.list_all_nodes()[-1], allow_graceful=False)
        add_machine(first)
        await more_painters(bots, ready, "the new machine paints")
        await at_work(bots)
    assert "queued" in bots.states().values() or "running" in bots.states().values()
    with ray_cluster(machines=2, port=port):  # the head is another one, at the same address
        ready = len(painters(bots))
        await more_painters(bots, ready, "the bot finds the new head")
        await at_work(bots)
        bot = bots.started[-1]
        await bot.kill()
        assert bot.exit_code is None
        bot = await bots.start(**cluster)
        await bots.delivered(JOBS, seconds=600)
        await bot.end()
    once_each(bots, channel, JOBS)
    pictures = {(bots.data / "pictures" / f"{job_id}.png").read_bytes() for job_id in bots.states()}
    assert len(pictures) == 1, "interrupted or not, equal specs are equal pictures"
    starts = [attempts for (attempts,) in bots.rows("SELECT attempts FROM jobs")]
    print(f"starts of {JOBS} jobs: {sorted(starts, reverse=True)}")
    assert max(starts) > 1
    fair(bots)
    assert "Traceback" not in bot.log
