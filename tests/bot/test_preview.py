import asyncio
import contextlib
import functools
import os
import re
import signal
import urllib.error
import urllib.request

import pytest

from bot import preview
from engine.models import ModelStore


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


@pytest.fixture
async def page(settings, tiny_models, monkeypatch):
    """Run the local page; hand over its address, with the part after #."""
    monkeypatch.setattr("bot.worker.ModelStore", functools.partial(ModelStore, embedded=tiny_models))
    said: list[str] = []
    monkeypatch.setattr(preview, "_say", said.append)
    serving = asyncio.create_task(preview.serve(preview.local(settings), 0))
    while not said:
        assert not serving.done(), serving.exception()
        await asyncio.sleep(0.05)
    found = re.search(r"http://127\.0\.0\.1:\d+/#\S+", said[0])
    assert found is not None
    yield found[0]
    os.kill(os.getpid(), signal.SIGINT)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(serving, 30)


async def test_the_page_is_served_and_its_content_needs_the_key(page):
    base = page.split("#")[0]
    status, body = await asyncio.to_thread(fetch, base)
    assert status == 200
    assert "channel-composer" in body
    status, _ = await asyncio.to_thread(fetch, f"{base}api/state")
    assert status in (401, 403)


def test_the_page_has_a_data_folder_of_its_own_and_takes_its_own_uploads(settings):
    local = preview.local(settings)
    assert local.storage.folder == settings.storage.folder / "preview"
    assert local.discord.cdn_hosts[:-1] == settings.discord.cdn_hosts
    assert local.discord.guild_ids == ()
