"""Waiting for what another process does, and less of it in the library."""

import asyncio
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something to become true; fail with `what` when it does not."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110, many things are waited for, few of them tell
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


class HurriedAsyncio:
    """`asyncio` as `discord.http` is given it: its pauses after 500, 502, 504 and 524 (25 s in all) take a fiftieth.

    They are whole numbers of seconds; what Discord asks for in a 429 is a fraction, and is waited for.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 50 if isinstance(seconds, int) else seconds)
