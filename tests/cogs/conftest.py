"""A bot at work on a simulated Discord, with the networks that ship; and one that is not connected."""

from typing import Any

import pytest

from bot.chat.client import COGS, PaintingBot
from tests.bot.chat.fake_discord import FakeDiscord
from tests.bot.conftest import ask, spec  # noqa: F401
from tests.cogs.direct import Uploads
from tests.simulated import quick_settings, running_bot


@pytest.fixture
def settings(tmp_path, quick_start):
    return quick_settings(tmp_path)


@pytest.fixture
async def world(settings):
    async with running_bot(settings) as world:
        yield world


@pytest.fixture
async def bot(settings, idle):
    """A bot with all its commands that is not connected, and whose queue paints nothing."""
    bot = PaintingBot(settings)
    bot.intake._client = FakeDiscord()  # pyright: ignore[reportAttributeAccessIssue]  # for what is no answer
    await bot.queue.start()
    for name in COGS:
        await bot.load_extension(f"cogs.{name}")
    yield bot
    await bot.close()


@pytest.fixture
def uploads(bot) -> Any:
    """What people attach, in the place of what fetches it."""
    bot.uploads = uploads = Uploads()
    return uploads
