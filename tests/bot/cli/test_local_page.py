import asyncio
import contextlib
import os
import re
import signal
import urllib.error
import urllib.request

import pytest
from simcord import Preview

from bot.cli import local_page
from bot.jobs import Request
from bot.queue.ledger import Ledger
from bot.queue.preferences import WHOLE_PROCESS
from bot.queue.service import PaintingQueue


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


@pytest.fixture
async def page(settings, quick_start, monkeypatch):
    """Run the local page; hand over its address, with the part after #."""
    said: list[str] = []
    monkeypatch.setattr(local_page, "_say", said.append)
    serving = asyncio.create_task(local_page.serve(local_page.local(settings), 0))
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
    local = local_page.local(settings)
    assert local.storage.folder == settings.storage.folder / "preview"
    assert local.discord.cdn_hosts[:-1] == settings.discord.cdn_hosts
    assert local.discord.guild_ids == ()


async def test_what_a_session_leaves_goes_on_in_the_next(settings, quick_start, monkeypatch, spec):
    local = local_page.local(settings)
    channels: list[int] = []
    said: list[str] = []
    monkeypatch.setattr(local_page, "_say", said.append)
    monkeypatch.setattr(local_page, "_look_after", lambda env, page, ending: note_channel(page, channels))
    await local_page.serve(local, 0)
    queue = PaintingQueue(local)
    await queue.start()
    await queue.change_guild(WHOLE_PROCESS, paused=True)
    job = await queue.submit(
        Request(
            interaction_id=-9,
            kind="imagine",
            spec=spec,
            prompt="a red apple",
            user_id=1,
            guild_id=None,
            channel_id=channels[0],
        )
    )
    await queue.close()
    await local_page.serve(local, 0)
    ledger = await Ledger.open(queue.files.ledger)
    shown = await ledger.job(job.id)
    await ledger.close()
    assert channels[0] == channels[1]
    assert shown is not None
    assert shown.message_id is not None


async def note_channel(page: Preview, channels: list[int]) -> None:
    channels.append(page.channel.id)
