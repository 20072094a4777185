"""A bot at work on a simulated Discord, with the networks that ship."""

import pytest

from tests.atelier import at_work, quick_settings


@pytest.fixture
def settings(tmp_path, quick_start):
    return quick_settings(tmp_path)


@pytest.fixture
async def world(settings):
    async with at_work(settings) as world:
        yield world
