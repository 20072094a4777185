import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bot.cli.commands import app
from bot.cli.doctor import Finding, examine
from bot.cli.program import program
from engine.models import ModelStore

ROOT = Path(__file__).parents[3]


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
        "Embedded",
        "Paints with",
        "Sandbox",
        "Models",
        "Data folder",
        "Model folder",
        "Token",
    ]
    assert not any(line.startswith("bad") for line in lines)
    assert torch.__version__ in lines[2]
    assert "GiB free" in lines[4]
    assert str(folder / "data") in lines[9]


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
    assert set(bad) == {"Device", "Memory", "Embedded", "Data folder"}
    assert "There is no device 'toaster'" in bad["Device"]
    assert "embedded-generator.safetensors" in bad["Embedded"]
    assert "choose another in config.yaml" in bad["Data folder"]
    assert all("\n" not in finding.says for finding in findings.values())
    result = CliRunner().invoke(app, ["--config", str(config), "doctor"])
    assert result.exit_code == 1


def test_bad_settings_are_reported_and_nothing_else_is_examined(folder: Path) -> None:
    config = folder / "my.yaml"
    config.write_text("worker: {device: [1]}\n")
    findings = found(config)
    assert list(findings) == ["Python", "Settings"]
    assert findings["Settings"].says.startswith("worker.device: expected")


def test_it_says_what_confines_the_process_that_decodes_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found()["Sandbox"].mark == "ok"
    assert "seccomp" in found()["Sandbox"].says
    monkeypatch.setattr("bot.cli.doctor.sys.executable", "/bin/false")  # nothing is said
    assert found()["Sandbox"].mark == "note"
    assert "are refused" in found()["Sandbox"].says


def test_the_commands_that_it_names_can_be_pasted(folder: Path) -> None:
    models = folder / "data" / "models"
    named = [found()["Models"].says]
    models.mkdir(parents=True, exist_ok=True)
    (models / "ViT-B-32.pt").write_bytes(b"<html>404</html>")
    named.append(found()["Models"].says)
    commands = [command for says in named for command in re.findall(r"`([^`]+)`", says)]
    assert [command.partition(" models ")[2] for command in commands] == ["fetch published", "fetch ViT-B/32"]
    for command in commands:
        subprocess.run(
            f"{command} --help", shell=True, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )


def test_fetched_models_are_verified(folder: Path) -> None:
    models = folder / "data" / "models"
    models.mkdir(parents=True)
    (models / "ViT-B-32.pt").write_bytes(b"<html>404</html>")
    finding = found()["Models"]
    assert finding.mark == "bad"
    assert finding.says == f"ViT-B/32: ViT-B-32.pt not whole; run `{program()} models fetch ViT-B/32`"
    # No hash is known of this one, so that any file of the right form, once trusted, counts as it.
    (models / "ViT-B-32.pt").unlink()
    (models / "imagenet-1024.yaml").write_text("model: {}\n")
    with zipfile.ZipFile(models / "imagenet-1024.ckpt", "w") as file:
        file.writestr("a", "b")
    assert found()["Models"] == Finding("ok", "Models", "imagenet-1024 is here and verified")
