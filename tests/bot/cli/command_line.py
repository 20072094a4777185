"""The command line, run in this process or as one of its own, with the tiny networks."""

from pathlib import Path

from PIL import Image, ImageChops
from typer.testing import CliRunner, Result

from bot.cli.commands import app
from engine.pictures import read_picture
from tests.warm_processes import Program

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


def start(tiny_models: Path, *words: str, before: str = "") -> Program:
    return Program(before + WITH_TINY_MODELS, tiny_models, *words)
