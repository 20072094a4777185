"""How long the event loop was away, without what the machine did to it.

Linux counts how long each thread waited for a core that something else had. What is left is ours: work on the loop, and
the interpreter held by another thread.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
LONGEST = 0.1
"""Seconds; promised to the people whose clicks wait on the same loop."""
_LOOK = 0.005
_TRIES = 3


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


async def free(act: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
    """Do something while which the loop shall never be away for long, and return its result.

    Where it was, it is done again: what the code does to the loop it does each time, what the machine does it does not.
    """
    seen: list[float] = []
    for _ in range(_TRIES):
        async with watched() as watch:
            result = await act(*arguments, **options)
        seen.append(max(watch.away))
        if seen[-1] < LONGEST:
            return result
    raise AssertionError(f"away for {seen} s each time: {act.__qualname__} {arguments!r:.500} {options!r:.500}")
