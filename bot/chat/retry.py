"""Try again where discord.py gives up: Linux's connection reset (104), 503, 520 and cut connections."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import discord

log = logging.getLogger(__name__)
T = TypeVar("T")

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_VOID_INTERACTION, _TOO_LARGE = 50027, 40005

BROKEN = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)
"""What a call to Discord may end in. A server that hangs up is a ClientError and no OSError."""


def may_pass(error: Exception) -> bool:
    """Return whether the same call may succeed later: server faults, rate limits and broken connections."""
    if isinstance(error, discord.HTTPException):
        return error.status >= 500 or error.status == 429
    # ServerDisconnectedError and connection resets are ClientError and OSError; a slow answer is a TimeoutError.
    return isinstance(error, discord.RateLimited | aiohttp.ClientError | OSError | TimeoutError)


def token_refused(error: Exception) -> bool:
    """Return whether Discord does not know the bot's token any more; 50027 is about an interaction's."""
    return isinstance(error, discord.HTTPException) and error.status == 401 and error.code != _VOID_INTERACTION


def too_large(error: Exception) -> bool:
    """Return whether Discord found a file too large, whatever it says that it takes."""
    return isinstance(error, discord.HTTPException) and (error.status == 413 or error.code == _TOO_LARGE)


async def retried(call: Callable[[], Awaitable[T]], *, tries: int | None = 8, first_pause: float = _FIRST_PAUSE) -> T:
    """Await `call()` until it works; raise at once what will never pass, and the last error after `tries`, if any.

    A broken connection may have been an applied call, so `call` must be one that may happen twice:
    an edit, or a send with a nonce.
    """
    pause, tried = first_pause, 0
    while True:
        try:
            return await call()
        except Exception as error:
            tried += 1
            if tried == tries or not may_pass(error):
                raise
            wait = error.retry_after if isinstance(error, discord.RateLimited) else pause
            log.warning("Discord call failed (%s), trying again in %.0f s", type(error).__name__, wait)
            await asyncio.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)
