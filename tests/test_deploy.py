"""What lies in deploy/, the Dockerfile and compose.yaml speak of things that exist."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from bot.operations.health import Health
from bot.settings import PREFIX, Settings, load_settings

ROOT = Path(__file__).parent.parent
DASHBOARD = ROOT / "deploy/grafana/painter.json"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
UNIT = ROOT / "deploy/vqgan-clip-bot.service"


def instructions():
    """List the Dockerfile's instructions, each with its words."""
    text = "\n".join(line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    return [line.split(maxsplit=1) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture
async def metrics():
    health = Health()
    return (await health.metrics.text(None, 0, await health.problems())).decode()


@pytest.mark.parametrize("path", [DASHBOARD, ALERTS])
async def test_every_metric_that_is_looked_at_exists(metrics, path):
    known = set(re.findall(r"^# TYPE (\w+) ", metrics, re.MULTILINE))
    used = set(re.findall(r"\b(?:painter|process)_\w+", path.read_text()))
    assert len(used) >= 4
    for name in used:
        assert name in known or re.sub(r"_(bucket|count|sum)$", "", name) in known, name


def test_the_dashboard_shows_what_the_owner_asks_for():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    for name in ("jobs", "queue_wait", "step", "previews_dropped", "discord_errors", "loop_lag", "gpu_memory"):
        assert f"painter_{name}" in shown
    cells = [
        (p["gridPos"]["x"] + dx, p["gridPos"]["y"] + dy)
        for p in panels
        for dx in range(p["gridPos"]["w"])
        for dy in range(p["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize(
    "path", ["Dockerfile", "deploy/service.env", "compose.yaml", "deploy/compose.ray.yaml", "deploy/RAY.md"]
)
def test_every_setting_given_in_the_environment_exists(path):
    for name in re.findall(rf"\b({PREFIX}\w+)", (ROOT / path).read_text()):
        section, key = name.removeprefix(PREFIX).lower().split("__")
        assert key in type(getattr(Settings(), section)).model_fields, name


def test_the_image_holds_what_the_bot_imports_and_no_more():
    copied = [
        word
        for name, words in instructions()
        if name == "COPY" and "--from" not in words
        for word in words.split()[:-1]
    ]
    assert all((ROOT / name).exists() for name in copied)
    assert {"bot", "cogs", "engine", "models", "config.yaml", "requirements.txt"} <= set(copied)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed


def test_the_image_runs_as_nobody_special_and_has_a_health_check():
    names = dict(instructions())
    assert names["USER"].isdigit()
    assert int(names["USER"]) > 0
    assert f":{Settings().health.port}/healthz" in names["HEALTHCHECK"]
    assert names["VOLUME"] == "/data"
    assert "PAINTER__STORAGE__FOLDER=/data" in (ROOT / "Dockerfile").read_text()


def test_compose_starts_one_healthy_bot_and_keeps_the_token_out():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = compose["services"]
    assert [name for name, service in services.items() if "profiles" not in service] == ["painter"]
    for name in ("painter", "painter-gpu"):
        service = services[name]
        assert service["environment"] == {"DISCORD_TOKEN_FILE": "/run/secrets/discord_token"}
        assert service["secrets"] == ["discord_token"]
        assert service["mem_limit"] == service["memswap_limit"]
        assert "data:/data" in service["volumes"]
        assert service["cap_drop"] == ["ALL"]
        assert "ports" not in service
    assert services["painter"]["build"]["args"] == {"TORCH": "cpu"}
    assert services["painter-gpu"]["build"]["args"] == {"TORCH": "cuda"}
    mounted = [volume.split(":")[0] for service in services.values() for volume in service["volumes"]]
    assert all((ROOT / path).is_file() for path in mounted if path.startswith("./"))
    assert {path for path in mounted if not path.startswith("./")} == set(compose["volumes"])


def test_images_come_by_digest():
    bases = [words.split()[0] for name, words in instructions() if name == "FROM"]
    (default,) = [words.partition("=")[2] for name, words in instructions() if name == "ARG" and words[:7] == "PYTHON="]
    assert set(bases) == {"${PYTHON}"}
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    pulled = [service["image"] for service in compose["services"].values() if "build" not in service]
    for image in (default, *pulled):
        assert re.search(r"@sha256:[0-9a-f]{64}$", image), image


def test_the_unit_keeps_to_itself_what_it_can_and_lets_the_bot_confine_its_decoder():
    unit = UNIT.read_text()
    for line in (
        "UMask=0077",
        "StateDirectoryMode=0700",
        "ProtectProc=invisible",
        "RestrictNamespaces=true",
        "PrivateUsers=true",
    ):
        assert f"\n{line}\n" in unit
    assert "MemoryMax=" in unit
    (calls,) = re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE)
    assert {"seccomp", "landlock_create_ruleset", "landlock_restrict_self"} <= set(calls.split())


def test_the_unit_gives_up_on_bad_settings_and_leaves_time_to_save():
    unit = UNIT.read_text()
    assert "RestartPreventExitStatus=2" in unit
    assert [int(seconds) > 10 for seconds in re.findall(r"TimeoutStopSec=(\d+)", unit)] == [True]
    assert "DISCORD_TOKEN_FILE=%d/token" in unit
    assert "-m bot run" in unit


def test_the_cluster_has_room_a_token_and_one_image():
    compose = yaml.safe_load((ROOT / "deploy/compose.ray.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        assert service["image"] == "vqgan-clip-bot:ray"
        assert service["build"]["args"]["CLUSTER"]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert "ray_token" in service["secrets"]
        assert service["pids_limit"] >= 1024
        assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])
        assert service["cap_drop"] == ["ALL"]
        assert "shm_size" in service or service["ipc"].startswith("service:"), name
        assert "ports" not in service
    ports = {word for name in ("head", "worker") for word in services[name]["command"] if "-port=" in word}
    page = (ROOT / "deploy/RAY.md").read_text().replace("–", " ")
    for port in ports:
        assert port.partition("=")[2] in page
    mounted = [volume.split(":")[0] for service in services.values() for volume in service["volumes"]]
    assert {path for path in mounted if not path.startswith(".")} == set(compose["volumes"])
    files = [secret["file"] for secret in compose["secrets"].values()]
    assert files == ["../token.txt", "../ray_token.txt"]


def test_commands_by_hand_find_what_the_service_keeps(tmp_path, monkeypatch):
    """One file says where it lies, to the unit and to `deploy/painter`; here `sudo` only says what it was asked for."""
    unit = UNIT.read_text()
    assert "EnvironmentFile=/opt/vqgan-clip-bot/deploy/service.env" in unit
    assert PREFIX not in unit, "no second place says where"
    (tmp_path / "sudo").write_text('#!/bin/sh\npwd\nfor word; do echo "$word"; done\n')
    (tmp_path / "sudo").chmod(0o755)
    command = [ROOT / "deploy/painter", "backup", "/two words"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    folder, *words = done.stdout.splitlines()
    assert Path(folder) == ROOT, "where config.yaml lies, as for the service"
    user, settings = words[:3], [word for word in words if "=" in word]
    assert user == ["-u", *re.findall("^User=(.*)$", unit, re.MULTILINE), "env"]
    assert words[3 + len(settings) :] == [".venv/bin/python", "-m", "bot", "backup", "/two words"]
    for setting in settings:
        monkeypatch.setenv(*setting.split("=", 1))
    [state] = re.findall("^StateDirectory=(.*)$", unit, re.MULTILINE)
    found = load_settings(None)
    assert found.storage.folder == Path("/var/lib") / state
    assert found.models.folder.is_relative_to(found.storage.folder)
