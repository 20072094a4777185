"""One request of REST v10, read, and how it is answered."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local_discord.ids import Json
from local_discord.posting import NewFile


@dataclass(eq=False)
class Call:
    """One request, read."""

    request: web.Request
    body: Any
    files: list[NewFile]
    name: str
    """The route's name."""
    channel_id: int | None = None

    def number(self, name: str) -> int:
        """Return an id from the path."""
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


async def read(request: web.Request, name: str) -> Call:
    """Read a JSON or a multipart body; raise ValueError, ConnectionError."""
    if request.content_type == "multipart/form-data":
        fields = await request.post()
        payload = fields["payload_json"]
        if isinstance(payload, web.FileField):
            raise ValueError("payload_json is no file")
        names = sorted((name for name in fields if name.startswith("files[")), key=lambda name: int(name[6:-1]))
        uploads = [fields[name] for name in names]
        files = [NewFile(file.filename, file.file.read()) for file in uploads if isinstance(file, web.FileField)]
        return Call(request, json.loads(payload), files, name)
    content = await request.read()
    body: Json = json.loads(content) if content else {}
    return Call(request, body, [], name)
