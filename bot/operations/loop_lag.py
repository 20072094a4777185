"""How late the event loop is: a note that should come every so often, and by how much it comes late."""

import asyncio
from collections.abc import Callable

PERIOD = 0.25
"""Seconds between two looks."""


async def watch_lag(tell: Callable[[float], object], period: float = PERIOD) -> None:
    """Tell, until cancelled, how many seconds the loop was late: whatever held it up held up everybody."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + period
        await asyncio.sleep(period)
        tell(max(0.0, loop.time() - due))
