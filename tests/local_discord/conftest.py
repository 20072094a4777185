"""The local Discord, and a bot that is nothing but requests."""

import io
import json
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from PIL import Image

from local_discord import TOKEN, Channel, LocalDiscord


def png(width: int = 48, height: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


class Requests:
    """REST v10 by hand: what a library would hide is seen."""

    def __init__(self, local: LocalDiscord, session: aiohttp.ClientSession) -> None:
        self._local = local
        self._session = session

    async def __call__(self, method: str, path: str, body: Any = None, files: dict[str, bytes] | None = None) -> Answer:
        address, headers = self._local.api_base + path, {"Authorization": f"Bot {TOKEN}"}
        if files:
            form = aiohttp.FormData(quote_fields=False)
            form.add_field("payload_json", json.dumps(body or {}), content_type="application/json")
            for number, (name, content) in enumerate(files.items()):
                form.add_field(f"files[{number}]", content, filename=name)
            request = self._session.request(method, address, data=form, headers=headers)
        else:
            request = self._session.request(method, address, json=body, headers=headers)
        async with request as response:
            text = await response.text()
            return Answer(response.status, json.loads(text) if text else None, response.headers)

    async def get(self, address: str, **headers: str) -> tuple[int, bytes]:
        async with self._session.get(address, headers=headers) as response:
            return response.status, await response.read()


@pytest.fixture
async def local(tmp_path):
    local = await LocalDiscord.start(tmp_path / "discord")
    local.rest.limits.routes.clear()
    yield local
    await local.close()


@pytest.fixture
async def rest(local):
    async with aiohttp.ClientSession() as session:
        yield Requests(local, session)


@pytest.fixture
def channel(local):
    return local.world.add_channel(Channel("paintings", local.world.guild_id))


@pytest.fixture
def alice(local):
    return local.world.user("alice")


@pytest.fixture
def received(local):
    """Everything that happens from now on, by name."""
    events = []
    local.world.subscribe(events.append)
    return events
