"""A bot at work on a simulated Discord, with the networks that ship."""

import pytest

from tests.end_to_end.bot_process import bots  # noqa: F401, a fixture of the tests over real sockets
from tests.simulated import quick_settings, running_bot


@pytest.fixture
def settings(tmp_path, quick_start):
    return quick_settings(tmp_path)


@pytest.fixture
async def world(settings):
    async with running_bot(settings) as world:
        yield world
