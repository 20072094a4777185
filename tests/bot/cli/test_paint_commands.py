"""The commands that paint: what they make of their words, and what `show` tells of a picture."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from bot.cli.commands import app
from engine.pictures import read_picture, save_png, spec_of
from engine.prompts import Prompt
from engine.spec import Extend, PaintingSpec
from tests.bot.cli.command_line import SMALL, bot, picture, refused, same_pixels

pytestmark = pytest.mark.usefixtures("folder")


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


def test_show_of_a_strangers_picture_steers_no_terminal(folder):
    steering = "a red apple \x1b]0;title\x07 \x9b2J \u202e evil \r\n$ rm"
    spec = PaintingSpec(prompts=(Prompt(content="a red apple"),), edit_from=steering, init_image="\x9b31m.png")
    save_png(Image.new("RGB", (32, 32)), folder / "a.png", spec)
    shown = bot("show", "a.png")
    assert shown.exit_code == 0, shown.output
    assert not set(shown.output) & set("\x1b\x07\x9b\u202e\r")
    assert "evil" in shown.stdout
