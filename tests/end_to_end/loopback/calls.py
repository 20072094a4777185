"""One request of REST v10, read; and the limits it is held to."""

import json
import time
from dataclasses import dataclass, field

from aiohttp import web

from tests.end_to_end.loopback.world import Fail, Json


@dataclass(eq=False)
class Call:
    """One request, read."""

    request: web.Request
    body: Json
    files: list[tuple[str, bytes]]

    def number(self, name: str) -> int:
        return int(self.request.match_info[name])


@dataclass(frozen=True)
class Record:
    """One request as it was answered; status 0: the connection was cut."""

    name: str
    status: int
    at: float
    channel_id: int | None


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


async def read(request: web.Request) -> Call:
    """Read a JSON or a multipart body."""
    if request.content_type == "multipart/form-data":
        fields = await request.post()
        payload = fields["payload_json"]
        names = sorted((name for name in fields if name.startswith("files[")), key=lambda name: int(name[6:-1]))
        uploads = [fields[name] for name in names]
        files = [(file.filename, file.file.read()) for file in uploads if isinstance(file, web.FileField)]
        return Call(request, json.loads(payload if isinstance(payload, str) else ""), files)
    content = await request.read()
    return Call(request, json.loads(content) if content else {}, [])
