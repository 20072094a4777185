"""Measure speed, memory and quality. `make bench` runs `race` at the settings most people paint with."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from bench import equal_quality
from bench.features import features
from bench.gpu import PARTS, SIDES, Scale, everything, versions
from bench.kernels import kernels
from bench.memory import table
from bench.mixed_starts import mixed_starts
from bench.perceptor_files import FILES, perceptor_files
from bench.pictures import compare_quality, time_picture
from bench.race import Pace, race, report
from bench.setting import PROMPT, Setting
from bench.stages import stages
from bench.sweep import USUAL, VALUES, sweep, write
from bench.together import both_pairs
from bench.ways import ways
from engine.devices import pick_device
from engine.models import ModelStore
from engine.presets import spec_from_preset
from engine.prompts import Prompt

app = typer.Typer(help=__doc__)

Size = Annotated[int, typer.Option(help="Side of the picture, in pixels.")]
Count = Annotated[int, typer.Option(help="Cutouts per step.")]
Generator = Annotated[str, typer.Option(help="Architecture of the VQGAN; random weights.")]
Perceptor = Annotated[str, typer.Option(help="Architecture of the CLIP; random weights.")]
Preset = Annotated[str, typer.Option(help="Preset to paint with.")]
Peers = Annotated[
    list[Path] | None, typer.Option(help="A checkout of nerdyrodent/VQGAN-CLIP or rkhamilton/vqgan-clip-generator.")
]
Folder = Annotated[Path, typer.Option(help="Folder of fetched models.")]
_USUAL = Setting()


@app.command("race")
def race_command(
    size: Size = _USUAL.size,
    cutouts: Count = _USUAL.cutouts,
    generator: Generator = _USUAL.generator,
    perceptor: Perceptor = _USUAL.perceptor,
    preset: Preset = "nerdyrodent",
    steps: Annotated[int, typer.Option(help="Turns of each side.")] = 7,
    each: Annotated[int, typer.Option(help="Steps of a turn; a GPU is kept busy from ten on.")] = 1,
    also: Annotated[list[str] | None, typer.Option(help="One more side: ours+fp32, ours+launched, ours+libc.")] = None,
    peer: Peers = None,
) -> None:
    """Take steps of ours, of the published loop and of its authors' own code in turn and compare them."""
    sides = ("ours", *(also or ()), "reference", *map(str, peer or ()))
    setting = Setting(size, cutouts, generator, perceptor, preset)
    print(f"{pick_device()}; {versions()}\n\n{report(race(steps, sides, setting, Pace(each=each)))}")


@app.command("stages")
def stages_command(
    size: Size = _USUAL.size,
    cutouts: Count = _USUAL.cutouts,
    generator: Generator = _USUAL.generator,
    perceptor: Perceptor = _USUAL.perceptor,
) -> None:
    """Break one of our steps down, and compare it with what the chip can do."""
    print(stages(Setting(size, cutouts, generator, perceptor)))


@app.command("kernels")
def kernels_command(size: Size = _USUAL.size, cutouts: Count = _USUAL.cutouts) -> None:
    """List what a step launches, longest first."""
    _print(kernels(Setting(size, cutouts)))


@app.command("ways")
def ways_command(size: Size = _USUAL.size, cutouts: Count = _USUAL.cutouts, rounds: int = 5) -> None:
    """Measure everything that made the step faster, each against what stood there before."""
    _print(ways(Setting(size, cutouts), rounds))


@app.command("together")
def together_command(size: Size = _USUAL.size, cutouts: Count = _USUAL.cutouts, rounds: int = 3) -> None:
    """Measure several pictures as one batch against one at a time."""
    _print(both_pairs(Setting(size, cutouts), (1, 2, 4), rounds))


@app.command("memory")
def memory_command(size: Annotated[list[int] | None, typer.Option()] = None, cutouts: Count = _USUAL.cutouts) -> None:
    """Count a GPU's memory without a GPU."""
    _print(table([Setting(side, cutouts) for side in size or (256, 512)]))


@app.command("sweep")
def sweep_command(steps: int = 3, folder: Annotated[Path, typer.Option()] = Path("bench")) -> None:
    """Measure time and memory against size and cutouts; write sweep.csv and sweep.svg."""
    write(list(sweep(steps, VALUES, USUAL)), USUAL, folder)


@app.command("gpu")
def gpu_command(
    size: Size = 512,
    cutouts: Count = _USUAL.cutouts,
    generator: Generator = _USUAL.generator,
    perceptor: Perceptor = _USUAL.perceptor,
    picture: Annotated[int, typer.Option(help="Steps of the whole picture.")] = 400,
    turns: Annotated[int, typer.Option(help="Turns of each side of the race, ten steps each on a GPU.")] = 20,
    rounds: Annotated[int, typer.Option(help="Turns of every other comparison.")] = 10,
    part: Annotated[list[str] | None, typer.Option(help=f"Measure this alone; of {', '.join(PARTS)}.")] = None,
    side: Annotated[list[str] | None, typer.Option(help=f"Race ours with this; of {', '.join(SIDES)}.")] = None,
    patience: Annotated[float, typer.Option(help="Seconds that a side of the race may load.")] = Scale.patience,
    most: Annotated[float, typer.Option(help="Seconds after which the race takes no further turn.")] = Scale.race,
    batch: Annotated[list[int] | None, typer.Option(help="Paint so many pictures as one batch, at most 4.")] = None,
    peer: Peers = None,
) -> None:
    """Measure everything there is to know about this machine, as Markdown for bench/RESULTS.md."""
    setting = Setting(size, cutouts, generator, perceptor)
    which = {"parts": tuple(part or PARTS), "sides": tuple(side or SIDES)}
    scale = Scale(setting, turns, picture, tuple(batch or Scale.batches), rounds, **which, patience=patience, race=most)
    _print(everything(scale, peer or ()))


@app.command("picture")
def picture_command(
    prompt: str = PROMPT,
    preset: Preset = "normal",
    generator: Annotated[str, typer.Option(help="Generator and perceptor to paint with.")] = "embedded",
    folder: Folder = Path("data/models"),
) -> None:
    """Time one whole picture with real models."""
    timing = time_picture(spec_from_preset((Prompt(content=prompt),), preset, generator), folder)
    print(f"load {timing.load:.2f} s, first picture {timing.first:.2f} s, finished {timing.finished:.2f} s")


@app.command("quality")
def quality_command(
    seeds: int = 20, preset: Preset = "normal", generator: str = "embedded", folder: Folder = Path("data/models")
) -> None:
    """Compare the fast path's pictures with the plain path's, as the perceptor scores them."""
    print(compare_quality(seeds, preset, generator, folder))


@app.command("equal")
def equal_command(
    prompts: Annotated[int, typer.Option(help="How many of the ten prompts.")] = 10,
    seeds: Annotated[int, typer.Option(help="Paintings of each on each side.")] = 5,
    jobs: Annotated[int, typer.Option(help="Processes, one thread each.")] = 2,
    folder: Annotated[Path | None, typer.Option(help="Keep the pictures and the courses here.")] = None,
) -> None:
    """Measure after how many steps ours scores what the published loop scores after 500; continue a folder."""
    painted = list(equal_quality.courses(equal_quality.PROMPTS[:prompts], seeds, jobs, folder))
    print(equal_quality.report(painted))
    print(equal_quality.in_seconds(painted, equal_quality.step_seconds(ModelStore(Path(), pick_device("cpu")))))


@app.command("starts")
def starts_command(prompts: int = 10, seeds: int = 2) -> None:
    """Compare the best of 32 starts with mixtures of the best few, as the perceptor scores what comes of them."""
    _print(mixed_starts(prompts, seeds))


@app.command("perceptors")
def perceptors_command(
    name: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(FILES)}; may be repeated.")] = None,
) -> None:
    """Read perceptors from files of open_clip's formats at their real sizes, and compare them with the networks."""
    _print(perceptor_files(tuple(name or FILES)))


@app.command("features")
def features_command(preset: Preset = "normal", sheet: Path = Path("docs/features.jpg")) -> None:
    """Paint the README's sheet of features with the pair that ships."""
    with tempfile.TemporaryDirectory() as folder:
        features(Path(folder), preset).save(sheet, quality=88)


def _print(rows: Iterable[str]) -> None:
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    app()
