"""Painters that are processes, and what stands for their children."""

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
