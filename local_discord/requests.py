"""One request of REST v10, read; and the limits it is held to."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from local_discord.world import Fail, Json


@dataclass(eq=False)
class Call:
    """One request, read."""

    request: web.Request
    body: Json
    files: list[tuple[str, bytes]]

    name: str
    """The route's name; see `Rest.routes`."""
    channel_id: int | None = None

    def number(self, name: str) -> int:
        return int(self.request.match_info[name])


Handle = Callable[[], Awaitable[web.StreamResponse]]
Around = Callable[[Call, Handle], Awaitable[web.StreamResponse]]
"""What stands around the handling of each request: it may look, wait, or answer in its place."""


async def plainly(call: Call, handle: Handle) -> web.StreamResponse:
    """Handle a request as it is."""
    return await handle()


def as_json(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer in JSON; discord.py takes it as such only without a charset."""
    return web.Response(
        body=json.dumps(value).encode(), status=status, headers={"Content-Type": "application/json", **(headers or {})}
    )


@dataclass(eq=False)
class Window:
    """Five seconds of a channel's edits."""

    began: float = field(default_factory=time.monotonic)
    used: int = 0

    @property
    def left(self) -> float:
        return self.began + 5 - time.monotonic()


class Limited(Fail):
    def __init__(self, seconds: float) -> None:
        super().__init__(429, 0, "You are being rate limited.")
        self.seconds = seconds


async def read(request: web.Request, name: str) -> Call:
    """Read a JSON or a multipart body."""
    if request.content_type == "multipart/form-data":
        fields = await request.post()
        payload = fields["payload_json"]
        names = sorted((name for name in fields if name.startswith("files[")), key=lambda name: int(name[6:-1]))
        uploads = [fields[name] for name in names]
        files = [(file.filename, file.file.read()) for file in uploads if isinstance(file, web.FileField)]
        return Call(request, json.loads(payload if isinstance(payload, str) else ""), files, name)
    content = await request.read()
    return Call(request, json.loads(content) if content else {}, [], name)
