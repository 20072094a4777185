"""The loop stays free while jobs are taken, painted with the shipped pair, shown and delivered.

How long the loop was away is told from what the machine did to it: Linux counts how long each thread waited for a core
that something else had. What is left is ours: work on the loop, and the interpreter held by another thread.
Seen on two cores of a Xeon: 18 ms at most in a process's first job, 2 ms later, at 128 and 256 pixels alike; a full
garbage collection took 150 ms until what lives as long as the process was taken out of it.
"""

import asyncio
import contextlib
import gc
import io
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LONGEST = 0.1
"""Seconds; promised to the people whose clicks wait on the same loop."""
_LOOK = 0.005


@pytest.fixture(autouse=True)
def nothing_frozen() -> None:
    """Let the bot of each test take out of garbage collection what is there now, as a process's first bot does."""
    gc.unfreeze()


def waited(threads: list[threading.Thread]) -> float:
    """Return how many seconds the threads have waited for a core, all together; 0 where nobody counts."""
    total = 0.0
    for thread in threads:
        with contextlib.suppress(OSError):  # it has ended, or this is no Linux
            total += int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()[1]) / 1e9
    return total


class Watch:
    """Look at the loop every few milliseconds, and note how long it was away by its own fault."""

    def __init__(self) -> None:
        self.away: list[float] = []
        self._loop = threading.current_thread()

    async def run(self) -> None:
        while True:
            others = [thread for thread in threading.enumerate() if thread is not self._loop]
            before = time.perf_counter(), time.thread_time(), waited([self._loop]), waited(others)
            await asyncio.sleep(_LOOK)
            after = time.perf_counter(), time.thread_time(), waited([self._loop]), waited(others)
            passed, worked, stood, others_stood = (then - now for then, now in zip(after, before, strict=True))
            held = (
                passed - _LOOK - worked - stood
            )  # neither working nor waiting for a core: somebody had the interpreter
            self.away.append(worked + max(0.0, held - others_stood))


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Watch]:
    watch = Watch()
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(_LOOK)
    try:
        yield watch
        await asyncio.sleep(2 * _LOOK)
    finally:
        task.cancel()


def picture(width: int, height: int) -> bytes:
    """Make a PNG of noise: three bytes a pixel."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.mark.parametrize(("size", "preset", "steps"), [("128x128", "normal", 20), ("256x256", "fine", 5)])
async def test_the_loop_is_free_during_a_job(world, size, preset, steps):
    async with watched() as watch:
        await world.ended(await world.imagine(world.alice, size=size, preset=preset, steps=steps))
    assert len(watch.away) > 50
    assert max(watch.away) < LONGEST


async def test_the_loop_is_free_whatever_people_do(world):
    done = await world.ended(await world.imagine(world.alice, size="256x256", steps=2))
    photo = picture(1600, 1200)

    async def pressed(label: str) -> None:
        result = await world.alice.click(world.message(done.message_id), label=label)
        await world.ended(await world.ledger.by_message(result.response.id))

    async with watched() as watch:
        result = await world.alice.slash(
            world.channel, "edit", image=("photo.png", photo), prompt="a red apple", steps=2
        )
        await world.ended(await world.ledger.by_message(result.response.id))
        for label in ("Timelapse", "Vary"):
            await pressed(label)
        for command in ("history", "queue", "models", "info"):
            await world.alice.slash(world.channel, command)
    assert max(watch.away) < LONGEST


async def test_a_full_garbage_collection_does_not_hold_up_the_loop(world):
    async with watched() as watch:
        for _ in range(3):
            await asyncio.to_thread(gc.collect)
            gc.collect()
            await asyncio.sleep(2 * _LOOK)
    assert max(watch.away) < LONGEST


async def on_the_loop() -> None:
    end = time.thread_time() + 2 * LONGEST
    while time.thread_time() < end:
        pass


async def asleep() -> None:
    time.sleep(2 * LONGEST)  # noqa: ASYNC251, this is what must be noticed


async def in_a_thread_with_the_interpreter_held() -> None:
    numbers = list(np.random.default_rng(0).random(400_000))
    await asyncio.to_thread(numbers.sort)


@pytest.mark.parametrize("hold_up", [on_the_loop, asleep, in_a_thread_with_the_interpreter_held])
async def test_whatever_holds_up_the_loop_is_seen(hold_up: Callable[[], Awaitable[None]]):
    async with watched() as watch:
        await hold_up()
    assert max(watch.away) > LONGEST
