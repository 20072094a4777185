"""The commands that do not paint, and how all of them start."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import ImageStat

from engine.catalog import Model
from engine.pictures import read_picture, spec_of
from tests.bot.cli.command_line import ROOT, SMALL, bot, refused, start

pytestmark = pytest.mark.usefixtures("folder")


def test_a_token_file_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN_FILE", "/none")
    assert refused("run") == "DISCORD_TOKEN_FILE: expected a readable text file, found /none.\n"


def test_models_are_listed_with_what_is_here(folder: Path) -> None:
    (folder / "data/models").mkdir(parents=True)
    (folder / "data/models/RN50.safetensors").touch()
    lines = bot("models", "list").stdout.splitlines()
    assert {"embedded", "imagenet-16384", "openimages-8192", "ViT-B/32"} <= {line.split()[0] for line in lines}
    assert [line.split()[0] for line in lines if " yes " in line] == ["embedded", "RN50"]
    assert lines[-1] == "When nobody says otherwise: embedded."


def test_fetching_without_a_network_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There is no model 'DALL-E'; there are embedded, imagenet-16384" in refused("models", "fetch", "DALL-E")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("engine.catalog._PAUSE", 0)
    result = bot("models", "fetch", "RN50")
    assert result.exit_code == 1
    assert "the server cannot be reached" in result.stderr
    assert "as RN50.pt into data/models" in result.stderr
    assert "data/models" in refused("imagine", "a red apple", *SMALL, "--perceptor=RN50")


def test_the_published_pair_is_fetched_by_one_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(model: Model, models: Path, console: object) -> None:
        models.mkdir(parents=True, exist_ok=True)
        model.converted(models).touch()

    monkeypatch.setattr("bot.cli.commands.fetch", fetch)
    printed = bot("models", "fetch", "published").stderr
    assert printed.startswith("imagenet-16384 and ViT-B/32 are in data/models, whole.")
    assert "When nobody says otherwise: imagenet-16384, seen by ViT-B/32." in printed


def test_run_without_a_token_opens_the_local_page(folder: Path, tiny_models: Path) -> None:
    process = start(tiny_models, "run", before="import os; os.environ.update(PAINTER__LOCAL__PORT='0')")
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        address = lines[1].split()[1]
        assert b"main.js" in urllib.request.urlopen(address, timeout=10).read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address.rsplit("/", 2)[0] + "/", timeout=10)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert lines[2] == "Type  /imagine a red apple\n"
    assert "Traceback" not in err
    for word in ("token", "invit", "logged in", "logging in"):
        assert word not in err.lower(), err


def test_help_and_show_need_no_torch(folder: Path) -> None:
    bot("imagine", "a red apple", *SMALL, "-o", "a.png")
    for words in (["--help"], ["imagine", "--help"], ["show", "a.png"]):
        code = (
            "import sys; from bot.cli.commands import app; app(standalone_mode=False); sys.exit('torch' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr


def test_a_fresh_checkout_paints_with_what_it_ships(folder: Path) -> None:
    words = ["imagine", "a red apple", "--steps=2", "--seed=1", "-o", "apple.png"]
    done = subprocess.run(
        [sys.executable, "-m", "bot", *words],
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "apple.png\n"), done.stderr
    spec = spec_of(folder / "apple.png")
    assert (spec.generator, spec.start) == ("embedded", "prior")
    red, green, blue = ImageStat.Stat(read_picture(folder / "apple.png")).mean
    assert red > green
    assert red > blue


def test_the_module_is_the_command(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot", "imagine", ""],
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "Write what the picture should show.\n")
