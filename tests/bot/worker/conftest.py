"""Painters that are processes, and what stands for their children and for a cluster."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.worker import process, ray_pool
from tests.bot.worker.children import NotedChild


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let painters start stand-ins; return those that were started."""
    monkeypatch.setattr(NotedChild, "all", [])
    for module in (process, ray_pool):
        monkeypatch.setattr(module, "ChildProcess", NotedChild)
    return NotedChild.all


@pytest.fixture
def told() -> list[Any]:
    """What a painter's callbacks were told."""
    return []


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """What there is of Ray."""
    from tests.bot.worker.noted_actors import Cluster  # loads Ray

    yield Cluster(monkeypatch)
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:  # until all have noticed: a `wait_for` that is just done does not pass it on
            task.cancel()
        await asyncio.sleep(0.01)
