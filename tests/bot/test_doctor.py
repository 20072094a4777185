from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bot.cli import app
from bot.doctor import Finding, examine
from engine.models import ModelStore


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, no token, and the tiny pair in place of the embedded one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    monkeypatch.setattr(ModelStore.__init__, "__defaults__", (tiny_models,))
    return tmp_path


def found(config: Path | None = None) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(config)}


def test_a_healthy_machine_has_one_line_for_each_thing(folder: Path) -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line[5:18].strip() for line in lines] == [
        "Python",
        "Settings",
        "Torch",
        "Device",
        "Memory",
        "Models",
        "Data folder",
        "Model folder",
        "Token",
    ]
    assert not any(line.startswith("bad") for line in lines)
    assert torch.__version__ in lines[2]
    assert "GiB free" in lines[4]
    assert str(folder / "data") in lines[6]


def test_a_token_is_noticed_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found()["Token"].mark == "note"
    monkeypatch.setenv("DISCORD_TOKEN", "very-secret")
    assert found()["Token"] == Finding("ok", "Token", "there")
    monkeypatch.setenv("DISCORD_TOKEN_FILE", "/none")
    assert found()["Token"].mark == "bad"


def test_what_is_broken_is_bad_and_the_rest_is_still_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a file").touch()
    config = folder / "my.yaml"
    config.write_text("storage: {folder: a file/data}\nworker: {device: toaster}\n")
    monkeypatch.setattr(ModelStore.__init__, "__defaults__", (folder,))
    findings = found(config)
    bad = {subject: finding.says for subject, finding in findings.items() if finding.mark == "bad"}
    assert set(bad) == {"Device", "Memory", "Models", "Data folder"}
    assert "There is no device 'toaster'" in bad["Device"]
    assert "embedded-generator.safetensors" in bad["Models"]
    assert "choose another in config.yaml" in bad["Data folder"]
    assert all("\n" not in finding.says for finding in findings.values())
    result = CliRunner().invoke(app, ["--config", str(config), "doctor"])
    assert result.exit_code == 1


def test_bad_settings_are_told_and_end_the_visit(folder: Path) -> None:
    config = folder / "my.yaml"
    config.write_text("worker: {device: [1]}\n")
    findings = found(config)
    assert list(findings) == ["Python", "Settings"]
    assert findings["Settings"].says.startswith("worker.device: expected")
