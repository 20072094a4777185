"""One painting in the terminal: Ctrl-C, no room, no memory, names that are taken."""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from engine.pictures import read_picture, spec_of
from tests.bot.cli.command_line import SMALL, bot, start

pytestmark = pytest.mark.usefixtures("folder")


def test_numbers_that_grow_without_bound_are_an_error(folder: Path) -> None:
    words = ["imagine", "a red apple", *SMALL, "--steps=30", "--set=clamp_latent=false", "--set=learning_rate=10"]
    penalty = '--set=penalties=[{"weight": 1e60}]'
    result = bot(*words, penalty, "-o", "a.png")
    assert result.exit_code == 1
    assert "The painting was lost" in result.stderr
    assert not (folder / "a.png").exists()


WITH_LITTLE_MEMORY = """
import resource
import engine.painting
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 300 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
"""


def test_too_large_a_picture_is_an_error(tiny_models: Path) -> None:
    words = ["imagine", "a red apple", *SMALL, "--size=2048x2048"]
    process = start(tiny_models, *words, before=WITH_LITTLE_MEMORY)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "There is not enough memory for 2048x2048 pixels." in err
    assert "Traceback" not in err


def test_ctrl_c_keeps_the_picture_so_far(folder: Path, tiny_models: Path) -> None:
    words = ["imagine", "a red apple", *SMALL, "--steps=10000", "--save-every=1", "-o", "a.png"]
    process = start(tiny_models, *words)
    deadline = time.monotonic() + 60
    while not (folder / "a-00003.png").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "a.png\n")
    assert "the picture so far is saved" in err
    assert "Traceback" not in err
    assert spec_of(folder / "a.png").steps == 10000
    assert read_picture(folder / "a.png").size == (64, 32)


def test_ctrl_c_before_the_first_step_saves_nothing(folder: Path, tiny_models: Path) -> None:
    fifo = folder / "slow.yaml"
    os.mkfifo(fifo)  # the settings never come, so that this is still the time before the first step
    process = start(tiny_models, "--config=slow.yaml", "imagine", "a red apple", *SMALL)
    with fifo.open("w"):
        time.sleep(0.5)  # it reads by now: a signal between opening and reading would leave it reading
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped; nothing was saved." in err
    assert "Traceback" not in err


ONE_STEP = ("imagine", "a red apple", "--start=noise", "--preset=paper", "--steps=1")


def test_nothing_is_written_over(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"somebody's")
    result = bot(
        "imagine", "a red apple", "--start=noise", "--preset=paper", "--steps=1", "--size=32x32", "-o", "a.png"
    )
    assert result.stdout.strip() == "a-2.png"
    assert "a.png is there already: this one becomes a-2.png." in result.stderr
    assert (folder / "a.png").read_bytes() == b"somebody's"


def test_a_picture_is_never_lost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the folder goes away while it is painted."""

    def gone(*_: object) -> None:
        shutil.rmtree(folder / "out")
        (folder / "out").touch()

    monkeypatch.setattr("bot.cli.painting._numbers", lambda iterate: gone() or "")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    result = bot(
        "imagine", "a red apple", "--start=noise", "--preset=paper", "--steps=1", "--size=32x32", "-o", "out/a.png"
    )
    assert result.exit_code == 0, result.output
    assert read_picture(Path(result.stdout.strip())).size == (32, 32)
    assert "cannot be written" in result.stderr


def test_it_says_what_it_paints(folder: Path) -> None:
    result = bot(*ONE_STEP, "--size=50x35", "-o", "a.png")
    assert "Painting 48x32 with seed" in result.stderr
    assert read_picture(folder / "a.png").size == (48, 32)
