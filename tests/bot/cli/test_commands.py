import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat
from typer.testing import CliRunner, Result

from bot.cli.commands import app
from bot.cli.paint_commands import _film_of
from bot.cli.unfinished import Unfinished
from engine.catalog import Model
from engine.models import ModelStore
from engine.pictures import read_picture, save_png, spec_of
from engine.prompts import Prompt
from engine.spec import Extend, PaintingSpec

ROOT = Path(__file__).parents[3]
SMALL = ["--size=64x32", "--steps=4", "--start=noise", '--set=cutouts={"count": 4}', "--set=coarse=0"]
WITH_TINY_MODELS = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts the tests with & has it ignored
from engine.models import ModelStore
ModelStore.__init__.__defaults__ = (Path(sys.argv.pop(1)),)
from bot.cli.commands import main
main()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, no token, the tiny pair in place of the embedded one, pictures saved as they are painted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    monkeypatch.setattr(ModelStore.__init__, "__defaults__", (tiny_models,))
    (tmp_path / "config.yaml").write_text("delivery: {enlarge_to: 0}\n")
    return tmp_path


def bot(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def refused(*words: str) -> str:
    """Run what must fail as bad input; return what it says, which is short and no traceback."""
    result = bot(*words)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


def same_pixels(a: Path, b: Path) -> bool:
    return ImageChops.difference(read_picture(a), read_picture(b)).getbbox() is None


def picture(folder: Path, colour: str = "red") -> Path:
    path = folder / f"{colour}.png"
    Image.new("RGB", (96, 48), colour).save(path)
    return path


def test_a_look_is_in_the_picture_and_in_the_command_that_repaints_it(folder: Path) -> None:
    colours = picture(folder, "teal")
    result = bot(
        "imagine", "a cat --edges white", f"--palette={colours}", "--tile", "--seed=5", *SMALL, "-o", "cat.png"
    )
    assert result.exit_code == 0, result.output
    spec = spec_of(folder / "cat.png")
    assert (spec.looks.palette, spec.looks.edges, spec.tile) == (("#008080",), "#ffffff", True)
    printed = bot("show", "cat.png", "--tiled", "four.png").stdout
    with Image.open(folder / "four.png") as tiled, Image.open(folder / "cat.png") as one:
        assert tiled.size == (2 * one.width, 2 * one.height)
    again = shlex.split(printed.strip().splitlines()[-1])[3:]
    assert bot(*again).exit_code == 0
    assert same_pixels(folder / "cat.png", folder / "cat-again.png")
    assert "no colour that I know" in refused("imagine", "a cat", "--palette=mauvish")


def test_blend_pulls_towards_its_pictures(folder: Path) -> None:
    red, blue = str(picture(folder)), str(picture(folder, "blue"))
    rest = [option for option in SMALL if not option.startswith("--start")]
    assert bot("blend", red, blue, "--weights=2 1", "--seed=5", *rest, "-o", "blend.png").exit_code == 0
    spec = spec_of(folder / "blend.png")
    assert [(Path(p.content).name, p.weight) for p in spec.prompts] == [("red.png", 2.0), ("blue.png", 1.0)]
    again = shlex.split(bot("show", "blend.png").stdout.strip().splitlines()[-1])[3:]
    assert bot(*again).exit_code == 0
    assert same_pixels(folder / "blend.png", folder / "blend-again.png")
    assert "two to four" in refused("blend", red)


def test_batch_paints_a_file_of_prompts_and_goes_on_where_it_was_interrupted(folder: Path) -> None:
    (folder / "prompts.txt").write_text("# three of them\na {red, green} cat --ar 2:1\n\na dog --seed 7\n")
    command = ("batch", "prompts.txt", "--steps=2", "--seed=5", "--preset=paper", "--size=64x32", "-o", "all")
    result = bot(*command)
    assert result.exit_code == 0, result.output
    names = ["001-a-red-cat.png", "002-a-green-cat.png", "003-a-dog.png"]
    assert sorted(path.name for path in (folder / "all").iterdir()) == names
    assert spec_of(folder / "all" / names[2]).seed == 7
    before = (folder / "all" / names[0]).stat().st_mtime_ns
    (folder / "all" / names[1]).unlink()
    assert "is there already" in bot(*command).stderr
    assert sorted(path.name for path in (folder / "all").iterdir()) == names
    assert (folder / "all" / names[0]).stat().st_mtime_ns == before
    (folder / "prompts.txt").write_text("a cat\na dog --stylize 3\n")
    assert "--stylize" in refused("batch", "prompts.txt")


def test_choices_are_asked_about_at_a_terminal_and_painted_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("imagine", "a {red, green} cat", "--seed=5", *SMALL)
    assert bot(*command).exit_code == 0, "nobody is asked where there is no terminal"
    assert sorted(path.name for path in folder.glob("*.png")) == ["a-green-cat.png", "a-red-cat.png"]
    painted: list[str] = []
    monkeypatch.setattr("bot.cli.console.at_terminal", lambda: True)
    monkeypatch.setattr("bot.cli.paint_commands._paint_spec", lambda spec, *_: painted.append(spec.prompts[0].content))
    (folder / "prompts.txt").write_text("a {red, green} cat\n")
    for words in (command, ("batch", "prompts.txt")):
        refused_first = CliRunner().invoke(app, words, input="n\n")
        assert (refused_first.exit_code, painted) == (130, [])
        assert "2 paintings?" in refused_first.stderr
        assert CliRunner().invoke(app, words, input="y\n").exit_code == 0
        assert "2 paintings?" not in (told := CliRunner().invoke(app, [*words, "--yes"], input="")).stderr
        assert told.exit_code == 0
        assert painted == ["a red cat", "a green cat"] * 2
        painted.clear()
    assert CliRunner().invoke(app, ["imagine", "a cat", *SMALL], input="").exit_code == 0, "one is never asked about"


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


def test_outpaint_goes_on_around_a_picture(folder: Path) -> None:
    path = str(picture(folder))
    assert bot("outpaint", path, "a cat", "--zoom=1.5", "--steps=2", "--seed=5", "-o", "out.png").exit_code == 0
    spec = spec_of(folder / "out.png")
    assert (spec.width, spec.height, spec.extend) == (144, 64, Extend(left=0.25, up=0.25, right=0.25, down=0.25))
    again = shlex.split(bot("show", "out.png").stdout.strip().splitlines()[-1])[3:]
    assert bot(*again).exit_code == 0
    assert same_pixels(folder / "out.png", folder / "out-again.png")
    assert "--zoom 1.5" in refused("outpaint", path, "a cat")


def test_animate_writes_a_film_and_its_last_picture(folder: Path) -> None:
    small = ("--size=64x32", "--preset=paper", "--steps=2", "--seconds=1", "--fps=4", "--each=1", "--seed=5")
    assert bot("animate", "a seed @0 | a tree @0.5", *small, "-o", "film.gif").exit_code == 0
    with Image.open(folder / "film.gif") as film:
        assert getattr(film, "n_frames", 1) == 4
    spec = spec_of(folder / "film.png")
    assert (spec.steps, [prompt.since for prompt in spec.prompts]) == (5, [0, 0.5])
    assert bot("show", "film.png").exit_code == 0
    assert "MP4 or GIF" in refused("animate", "a cat", "-o", "film.png")


def test_imagine_paints_a_png_that_carries_its_spec(folder: Path) -> None:
    result = bot("imagine", "a red apple | grey:0.5 --no fog", "--seed=5", *SMALL, "-o", "new/apple.png")
    assert (result.exit_code, result.stdout) == (0, "new/apple.png\n")
    assert "seed 5" in result.stderr
    assert "4/4 loss" in result.stderr
    assert "it/s" in result.stderr
    spec = spec_of(folder / "new/apple.png")
    assert [(p.content, p.weight) for p in spec.prompts] == [("a red apple", 1), ("grey", 0.5), ("fog", -0.5)]
    assert read_picture(folder / "new/apple.png").size == (64, 32)
    assert [file.name for file in (folder / "new").iterdir()] == ["apple.png"]


def test_a_small_picture_is_saved_enlarged_and_says_so(folder: Path) -> None:
    (folder / "config.yaml").unlink()
    result = bot("imagine", "a red apple", *SMALL, "-o", "apple.png")
    assert read_picture(folder / "apple.png").size == (512, 256)
    assert (spec_of(folder / "apple.png").width, spec_of(folder / "apple.png").height) == (64, 32)
    assert "Saved at 512x256" in result.stderr


def test_the_picture_is_named_after_its_prompt_and_saved_on_the_way(folder: Path) -> None:
    for _ in range(2):
        assert bot("imagine", "A red apple!", *SMALL, "--save-every=2").exit_code == 0
    assert sorted(file.name for file in folder.glob("*.png")) == [
        "a-red-apple-00002.png",
        "a-red-apple-2-00002.png",
        "a-red-apple-2.png",
        "a-red-apple.png",
    ]
    assert spec_of(folder / "a-red-apple.png").seed != spec_of(folder / "a-red-apple-2.png").seed


def test_several_pictures_are_saved_each_with_the_spec_that_paints_it_alone(folder: Path) -> None:
    (folder / "two-2.png").write_bytes(b"somebody's")
    done = bot("imagine", "a red apple", *SMALL, "--seed=5", "--count=2", "-o", "two.png")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == ["two-1.png", "two-2-2.png"]
    assert "seeds 5, 6" in done.stderr
    assert (folder / "two-2.png").read_bytes() == b"somebody's"
    specs = [spec_of(folder / name) for name in done.stdout.split()]
    assert [(spec.seed, spec.count) for spec in specs] == [(5, 1), (6, 1)]
    with Image.open(folder / "two-1.png") as one, Image.open(folder / "two-2-2.png") as other:
        assert one.size == other.size
        assert one.tobytes() != other.tobytes()


def test_words_that_the_model_does_not_read_are_named(folder: Path) -> None:
    result = bot("imagine", "a red apple on grey " * 4 + "[bold]lighthouse", *SMALL)
    assert result.exit_code == 0
    assert result.stderr.index("[bold]lighthouse") < result.stderr.index("Painting 64x32")


def repainted(original: Path) -> Path:
    """Run the command that `show` prints."""
    shown = bot("show", str(original))
    assert shown.exit_code == 0
    command = shlex.split(shown.stdout.splitlines()[-1])
    assert command[1:3] == ["-m", "bot"]
    assert Path(shutil.which(command[0]) or "").samefile(sys.executable)
    again = bot(*command[3:])
    assert again.exit_code == 0, again.stderr
    return Path(again.stdout.strip())


def test_show_prints_the_command_that_paints_the_same_picture(folder: Path) -> None:
    apple = folder / "apple.png"
    bot("imagine", "a red apple", "--negative=grey", *SMALL, f"--image-prompt={picture(folder)}:0.3", "-o", str(apple))
    again = repainted(apple)
    assert spec_of(again) == spec_of(apple)
    assert again.read_bytes() == apple.read_bytes()


def test_an_edit_is_repainted_too_and_black_stays(folder: Path) -> None:
    mask = Image.new("L", (96, 48), 0)
    mask.paste(255, (0, 0, 48, 48))
    mask.save("mask.png")
    edit = ["edit", str(picture(folder)), "a grey apple", "--from=a red apple", "--mask=mask.png", "--strength=1"]
    assert bot(*edit, *[word for word in SMALL if "start" not in word], "-o", "edited.png").exit_code == 0
    edited = folder / "edited.png"
    assert same_pixels(repainted(edited), edited)
    image = read_picture(edited)
    assert image.getpixel((60, 16)) == (255, 0, 0)
    assert image.getpixel((8, 16)) != (255, 0, 0)


def test_show_prints_every_number_and_names_what_is_missing(folder: Path) -> None:
    red = picture(folder)
    bot("imagine", "a red apple", *SMALL, f"--image-prompt={red}", "-o", "a.png")
    red.unlink()
    shown = bot("show", "a.png").stdout
    assert 'cutouts: {"method": "crops", "count": 4' in shown
    assert "seed: " in shown
    assert f"\n{red.name} is missing" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["imagine", ""], "Write what the picture should show."),
        (["imagine", ":0.5"], "The weight ':0.5' needs words before it."),
        (["imagine", "a:1e309"], "The weight '1e309' must be from -100 to 100."),
        (["imagine", "a", "--no-such-option"], "No such option"),
        (["imagine"], "Missing argument"),
        (["imagine", "a", "--steps=many"], "valid integer"),
        (["imagine", "a", "--steps=0"], "steps must be at least 1, not 0."),
        (["imagine", "a", "--size=huge"], "Write the size as width x height in pixels, such as 512x384"),
        (["imagine", "a", "--size=8x8"], "Each side is from 32 to 4096 pixels"),
        (["imagine", "a", "--size=100000x100000"], "Each side is from 32 to 4096 pixels"),
        (["imagine", "a", "--seed=12345678901234567890"], "seed must be at most 4294967295"),
        (["imagine", "a", "--save-every=0"], "save-every"),
        (["imagine", "a", "--preset=best"], "There is no preset 'best'"),
        (["imagine", "a", "--start=noise", "--perceptor=CLIP"], "There is no perceptor 'CLIP'"),
        (["imagine", "a", "--start=noise", "--generator=DALL-E"], "There is no generator 'DALL-E'"),
        (["imagine", "a", "--image-prompt=none.png"], "There is no file"),
        (["imagine", "a", "-o", "a.jpg"], "call it a.png"),
        (["imagine", "a", "-o", "/proc/none/a.png"], "/proc/none"),
        (["edit", "none.png", "a"], "There is no file none.png."),
        (["edit", "red.png", "a", "--mask=m.png", "--mask-text=sky"], "not both"),
        (["edit", "red.png", "a", "--mask=none.png"], "There is no file"),
        (["edit", "red.png", "a", "--mask=black.png"], "The mask is black everywhere: paint white what may change."),
        (["edit", "https://example.com/a.png", "a"], "Addresses are not fetched: save the picture"),
        (["imagine", "a", "--image-prompt=https://example.com/a.png"], "Addresses are not fetched"),
        (["edit", "caf\udce9.png", "a"], "bytes that are no UTF-8"),
        (["imagine", "a", "-o", "a" * 250 + ".png"], "cannot be written: File name too long"),
        (["edit", "torn.png", "a"], "damaged or cut short"),
        (["edit", "line.png", "a"], "1x20000 pixels"),
        (["show", "none.png"], "There is no file none.png."),
        (["show", "red.png"], "carries no painting"),
        (["--config=none.yaml", "imagine", "a"], "none.yaml: expected a readable text file."),
        (["--config=bad.yaml", "run"], "glitter: there is no such setting"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(words: list[str], sentence: str, folder: Path) -> None:
    picture(folder)
    Image.new("RGB", (1, 20000)).save("line.png")
    Image.new("L", (96, 48)).save("black.png")
    picture(folder).rename(folder / "caf\udce9.png")
    picture(folder)
    Image.effect_noise((64, 64), 50).save("torn.png")
    (folder / "torn.png").write_bytes((folder / "torn.png").read_bytes()[:900])
    (folder / "bad.yaml").write_text("glitter: 1\n")
    before = sorted(folder.iterdir())
    assert sentence in refused(*words)
    assert sorted(folder.iterdir()) == before


def test_a_token_file_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN_FILE", "/none")
    assert refused("run") == "DISCORD_TOKEN_FILE: expected a readable text file, found /none.\n"


def test_numbers_that_grow_without_bound_are_an_error(folder: Path) -> None:
    words = ["imagine", "a red apple", *SMALL, "--steps=30", "--set=clamp_latent=false", "--set=learning_rate=10"]
    penalty = '--set=penalties=[{"weight": 1e60}]'
    result = bot(*words, penalty, "-o", "a.png")
    assert result.exit_code == 1
    assert "The painting was lost" in result.stderr
    assert not (folder / "a.png").exists()


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


def start(tiny_models: Path, *words: str, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", before + WITH_TINY_MODELS, str(tiny_models), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


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


def test_show_of_a_strangers_picture_steers_no_terminal(folder):
    steering = "a red apple \x1b]0;title\x07 \x9b2J \u202e evil \r\n$ rm"
    spec = PaintingSpec(prompts=(Prompt(content="a red apple"),), edit_from=steering, init_image="\x9b31m.png")
    save_png(Image.new("RGB", (32, 32)), folder / "a.png", spec)
    shown = bot("show", "a.png")
    assert shown.exit_code == 0, shown.output
    assert not set(shown.output) & set("\x1b\x07\x9b\u202e\r")
    assert "evil" in shown.stdout
