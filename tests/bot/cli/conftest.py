"""A folder to work in."""

from pathlib import Path

import pytest

from engine.models import ModelStore


@pytest.fixture
def folder(tmp_path: Path, tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, no token, the tiny pair in place of the embedded one, pictures saved as they are painted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    monkeypatch.setattr(ModelStore.__init__, "__defaults__", (tiny_models,))
    (tmp_path / "config.yaml").write_text("delivery: {enlarge_to: 0}\n")
    return tmp_path
