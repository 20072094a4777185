"""A bot at work on a simulated Discord, with the tiny networks."""

import functools

import pytest

from engine.models import ModelStore
from engine.presets import EMBEDDED
from tests.atelier import TINY, at_work, quick_settings
from tests.end_to_end.household import house, nursery  # noqa: F401, fixtures of the tests over real sockets


@pytest.fixture
def settings(tmp_path, tiny_models, monkeypatch):
    monkeypatch.setattr("bot.worker.ModelStore", functools.partial(ModelStore, embedded=tiny_models))
    monkeypatch.setitem(EMBEDDED, "draft", TINY)
    return quick_settings(tmp_path)


@pytest.fixture
async def world(settings):
    async with at_work(settings) as world:
        yield world
