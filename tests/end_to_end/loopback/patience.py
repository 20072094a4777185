"""Waiting for what another process does."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something to become true; fail with `what` when it does not."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110, many things are waited for, few of them tell
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None
