"""Measure how late the event loop is."""

import asyncio
from collections.abc import Callable

PERIOD = 0.25
"""Seconds between two looks."""


async def watch_lag(report: Callable[[float], object], period: float = PERIOD) -> None:
    """Report, until cancelled, by how many seconds each wake-up of the loop was late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + period
        await asyncio.sleep(period)
        report(max(0.0, loop.time() - due))
