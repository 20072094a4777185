"""Films and batches that were killed or stopped, and go on."""

import os
import signal
from pathlib import Path

import pytest

from bot.cli.paint_commands import _film_of
from bot.cli.unfinished import Unfinished
from engine.prompts import Prompt
from engine.spec import PaintingSpec
from tests.bot.cli.command_line import bot, start

pytestmark = pytest.mark.usefixtures("folder")


KILLED_AT = """
import itertools
import os
import signal
from bot.cli import painting
kept, count = painting._checkpoint, itertools.count(1)
def checkpoint(*given):
    kept(*given)
    if next(count) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
painting._checkpoint = checkpoint
"""
"""The process kills itself after its third checkpoint, of which there is one after each step."""


def test_a_killed_film_goes_on_to_the_same_bytes(folder: Path, tiny_models: Path) -> None:
    (folder / "config.yaml").write_text("{delivery: {enlarge_to: 0}, worker: {checkpoint_seconds: 1.0e-9}}\n")
    small = ("--size=64x32", "--preset=paper", "--steps=2", "--seconds=1", "--fps=4", "--each=1")
    story = ("animate", "a seed @0 | a tree @0.5", *small, "-o", "film.gif")
    killed = start(tiny_models, *story, before=KILLED_AT)
    assert killed.wait(60) == -signal.SIGKILL
    begun = folder / "film.gif.unfinished"
    assert sorted(path.name for path in (begun / "frames").iterdir()) == ["000002.png", "000003.png"]
    seed = PaintingSpec.from_json((begun / "spec.json").read_bytes()).seed
    result = bot(*story)
    assert "Going on from step 3 of 5." in result.stderr
    assert result.stdout == "film.gif\n"
    assert not begun.exists()
    whole = bot(*story[:-1], "whole.gif", f"--seed={seed}")
    assert whole.exit_code == 0, whole.output
    assert (folder / "film.gif").read_bytes() == (folder / "whole.gif").read_bytes()
    assert (folder / "film.png").read_bytes() == (folder / "whole.png").read_bytes()


def test_a_film_that_somebody_else_began_is_left_alone(folder: Path) -> None:
    spec = PaintingSpec(prompts=(Prompt(content="a seed"),), seed=7)
    film = Path("film.gif")
    assert _film_of(film, spec, any_seed=True)[0].path == film
    Unfinished(film).begin(spec)
    again, begun = _film_of(film, spec.but(seed=8), any_seed=True)
    assert (again.path, begun.seed) == (film, 7)
    for other in (spec.but(seed=8), spec.but(steps=9)):
        another, same = _film_of(film, other, any_seed=False)
        assert (another.path, same) == (Path("film-2.gif"), other)
    (folder / "film-2.png").touch()
    assert _film_of(film, spec.but(steps=9), any_seed=True)[0].path == Path("film-3.gif")


def test_a_killed_batch_goes_on_inside_its_picture(folder: Path, tiny_models: Path) -> None:
    (folder / "config.yaml").write_text("{delivery: {enlarge_to: 0}, worker: {checkpoint_seconds: 1.0e-9}}\n")
    (folder / "prompts.txt").write_text("a cat\na dog --seed 7\n")
    command = ("batch", "prompts.txt", "--steps=6", "--preset=paper", "--size=64x32", "-o", "all")
    killed = start(tiny_models, *command, before=KILLED_AT)
    assert killed.wait(60) == -signal.SIGKILL
    begun = folder / "all" / "001-a-cat.png.unfinished"
    seed = PaintingSpec.from_json((begun / "spec.json").read_bytes()).seed
    result = bot(*command)
    assert "Going on from step 3 of 6." in result.stderr
    assert sorted(path.name for path in (folder / "all").iterdir()) == ["001-a-cat.png", "002-a-dog.png"]
    whole = bot("imagine", "a cat", *command[2:-1], "cat.png", f"--seed={seed}")
    assert whole.exit_code == 0, whole.output
    assert (folder / "all" / "001-a-cat.png").read_bytes() == (folder / "cat.png").read_bytes()


def test_a_batch_stopped_by_ctrl_c_keeps_a_checkpoint_and_a_torn_one_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "prompts.txt").write_text("a cat\n")
    command = ("batch", "prompts.txt", "--steps=6", "--preset=paper", "--size=64x32", "-o", "all")
    with monkeypatch.context() as patch:
        patch.setattr("bot.cli.painting._numbers", lambda _: os.kill(os.getpid(), signal.SIGINT) or "")
        patch.setattr("bot.cli.painting._LOOK_SECONDS", 0)
        stopped = bot(*command)
    assert stopped.exit_code == 130
    assert "Stopped at step 1 of 6; the same command goes on from there." in stopped.stderr
    assert not list((folder / "all").glob("*.png"))
    state = folder / "all" / "001-a-cat.png.unfinished" / "state.pt"
    state.write_bytes(state.read_bytes()[:-100])
    assert "it begins anew" in bot(*command).stderr
    assert [path.name for path in (folder / "all").iterdir()] == ["001-a-cat.png"]
