"""What can go wrong with a request, and for how many of them."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from local_discord.ids import Json
from local_discord.rest.requests import Handle, as_json
from tests.end_to_end.loopback.patience import until

Effect = Callable[[web.Request, Handle], Awaitable[web.StreamResponse]]


@dataclass(eq=False)
class Fault:
    """Befall the next `times` requests named `name` (of which `where` is true, given their JSON body)."""

    name: str
    effect: Effect
    times: int
    where: Callable[[Json], bool]
    channel_id: int | None = None
    """Befall only requests about this channel."""
    hits: int = 0

    def befalls(self, name: str, channel_id: int | None, body: Json) -> bool:
        there = self.channel_id in (None, channel_id)
        return name == self.name and there and self.hits < self.times and self.where(body)

    async def seen(self, hits: int = 1, seconds: float = 60.0) -> None:
        """Wait until it has struck that often."""
        await until(lambda: self.hits >= hits, seconds, f"the fault of {self.name} strikes {hits} times")


def answer(status: int, code: int = 0, message: str = "", *, retry_after: float = 0.0, via: bool = True) -> Effect:
    """Answer with an error; a 429 without `via` is what Cloudflare sends, not Discord."""

    async def effect(request: web.Request, handle: Handle) -> web.StreamResponse:
        if status == 429 and not via:
            headers = {"Retry-After": f"{retry_after:g}"}
            return web.Response(status=429, text="error code: 1015", headers=headers)
        headers = {"Via": "1.1 google"}
        if status == 429:
            body = {"message": "You are being rate limited.", "retry_after": retry_after, "global": False}
            return as_json(body, status=429, headers=headers | {"Retry-After": f"{retry_after:g}"})
        if code:
            return as_json({"code": code, "message": message}, status=status, headers=headers)
        return web.Response(status=status, text=f"<html>{status}</html>", content_type="text/html")

    return effect


def applied(effect: Effect) -> Effect:
    """Do what is asked, and then let `effect` answer as if it had not been done."""

    async def done_first(request: web.Request, handle: Handle) -> web.StreamResponse:
        await handle()
        return await effect(request, handle)

    return done_first


def reset(*, applied: bool = False) -> Effect:
    """Reset the connection (RST); `applied`: after having done what was asked."""

    async def effect(request: web.Request, handle: Handle) -> web.StreamResponse:
        if applied:
            await handle()
        return _cut(request, hard=True)

    return effect


def disconnect(*, applied: bool = False) -> Effect:
    """Close the connection without an answer; `applied`: after having done what was asked."""

    async def effect(request: web.Request, handle: Handle) -> web.StreamResponse:
        if applied:
            await handle()
        return _cut(request, hard=False)

    return effect


def late(seconds: float) -> Effect:
    """Do what is asked, and answer only after a while."""

    async def effect(request: web.Request, handle: Handle) -> web.StreamResponse:
        response = await handle()
        await asyncio.sleep(seconds)
        return response

    return effect


def hold(opened: asyncio.Event, *, applied: bool) -> Effect:
    """Keep the request until `opened` is set: after having done what was asked, or before."""

    async def effect(request: web.Request, handle: Handle) -> web.StreamResponse:
        response = await handle() if applied else None
        await opened.wait()
        return response or await handle()

    return effect


def _cut(request: web.Request, *, hard: bool) -> web.StreamResponse:
    assert request.transport is not None
    if hard:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
    return web.Response()
