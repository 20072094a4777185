"""kill -9 in the middle of a painting: it goes on, and there is one picture in the end."""

import asyncio
import os
import random
import signal

import pytest
from PIL import Image

from bot.jobs import ZOOMS, JobState, extended
from engine.pictures import spec_of
from engine.prompts import Prompt
from engine.spec import Looks, Motion, PaintingSpec
from tests.warm_processes import Program

PAINT = "from tests.bot.paint_until_killed import main; main()"


@pytest.fixture
def paint(tmp_path, tiny_models):
    """Start the process that paints what the ledger holds."""
    running = []

    def start(until=""):
        environment = {**os.environ, "KILL_AT_CHECKPOINT_OF": until}
        running.append(Program(PAINT, tmp_path, tiny_models, environment=environment))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


async def lines_until(process, wanted):
    """Read the process's lines up to the first that starts with `wanted`; all of them when it ends before."""
    lines = []
    while line := await asyncio.to_thread(process.stdout.readline):
        lines.append(line.split())
        if line.startswith(wanted):
            break
    return lines


async def test_a_killed_painting_goes_on_from_its_checkpoint(ledger, tmp_path, paint, ask, spec):
    job, _ = await ledger.add(ask(spec=spec.but(steps=120)))
    process = paint()
    checkpoint = (await lines_until(process, "Checkpointed"))[-1]
    process.kill()
    process.wait()
    [killed] = await ledger.in_state(JobState.RUNNING)
    assert killed.id == job.id
    lines = await lines_until(paint(), "nothing")
    [started] = [line for line in lines if line[0] == "Started"]
    assert int(started[2]) >= int(checkpoint[2]) > 0
    assert [line[0] for line in lines].count("Rendered") == 1
    [rendered] = await ledger.in_state(JobState.RENDERED)
    assert rendered.step == 120
    assert spec_of(tmp_path / "pictures" / f"{job.id}.png") == job.spec


_NAMES = ("looks", "motion", "extend", "steps", "seed", "width", "tile", "init_embedding")


def kinds_of(spec: PaintingSpec) -> dict[str, PaintingSpec]:
    """Make a job of each kind that people can ask for, long enough to be killed in the middle."""
    looks = Looks(palette=("#ff0000",), symmetry=1, edges="#ffffff")
    plain = spec.but(steps=20, looks=looks)
    blended = tuple(Prompt(kind="image", content=f"inputs/{name}.png") for name in ("a", "b"))
    motion = Motion(seconds=1, fps=10, begin=2, each=2)
    story = (Prompt(content="a seed", since=0), Prompt(content="a tree", since=0.5))
    spot = Prompt(content="a cat", where="inside")
    return {
        "edit": plain.but(
            init_image="inputs/a.png", mask="inputs/b.png", prompts=(*blended, spot), init_pixels=1, init_embedding=1
        ),
        "zoom": extended(plain, "inputs/a.png", ZOOMS["zoom-out"], seed=2, largest_side=512),
        "animate": spec.but(motion=motion, steps=motion.steps, prompts=story, tile=True),
    }


async def test_every_kind_of_job_goes_on_after_a_kill(ledger, tmp_path, paint, ask, spec):
    (tmp_path / "inputs").mkdir()
    for name, colour in (("a", "red"), ("b", "white")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / "inputs" / f"{name}.png")
    jobs = [(await ledger.add(ask(kind=kind, spec=made)))[0] for kind, made in kinds_of(spec).items()]
    for job in jobs:
        process = paint(until=job.id)
        await lines_until(process, "nothing")
        assert process.wait() == -signal.SIGKILL
        [killed] = await ledger.in_state(JobState.RUNNING)
        assert (killed.id, 0 < killed.step < job.spec.steps) == (job.id, True)
    await lines_until(paint(), "nothing")
    for job in await ledger.in_state(JobState.RENDERED):
        assert (job.step, job.attempts) == (job.spec.steps, 2)
        saved = spec_of(tmp_path / "pictures" / f"{job.id}.png")
        assert [getattr(saved, name) for name in _NAMES] == [getattr(job.spec, name) for name in _NAMES]
    assert len(await ledger.in_state(JobState.RENDERED)) == len(jobs)
    frames = sorted((tmp_path / "frames" / jobs[-1].id).glob("*.jpg"))
    assert len(frames) == 10, "no frame of the film is missing, and none is there twice"


async def test_random_kills_lose_nothing_and_paint_nothing_twice(ledger, tmp_path, paint, ask, spec):
    jobs = [(await ledger.add(ask(user_id=user, spec=spec.but(steps=25))))[0] for user in (1, 1, 2, 3)]
    chance, rendered = random.Random(4), []
    for _ in range(3):
        process = paint()
        await lines_until(process, "Started")
        await asyncio.sleep(chance.uniform(0, 0.8))
        process.kill()
        rendered += [line[1] for line in await lines_until(process, "nothing") if line[0] == "Rendered"]
        process.wait()
    rendered += [line[1] for line in await lines_until(paint(), "nothing") if line[0] == "Rendered"]
    assert len(rendered) == len(set(rendered))
    done = await ledger.in_state(JobState.RENDERED)
    assert {job.id for job in done} == {job.id for job in jobs}
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {job.id for job in jobs}
    assert not list((tmp_path / "checkpoints").iterdir())
