"""Measure speed, memory and quality. `make bench` runs `race` at the settings most people paint with."""

from pathlib import Path
from typing import Annotated

import typer

from bench.pictures import compare_quality, time_picture
from bench.race import race, report
from bench.stages import stages
from engine.presets import spec_from_preset
from engine.prompts import Prompt

app = typer.Typer(help=__doc__)

Size = Annotated[int, typer.Option(help="Side of the picture, in pixels.")]
Count = Annotated[int, typer.Option(help="Cutouts per step.")]
Generator = Annotated[str, typer.Option(help="Architecture of the VQGAN; random weights.")]
Perceptor = Annotated[str, typer.Option(help="Architecture of the CLIP; random weights.")]
Preset = Annotated[str, typer.Option(help="Preset to paint with.")]
Peers = Annotated[
    list[Path] | None, typer.Option(help="Checkouts of nerdyrodent/VQGAN-CLIP or rkhamilton/vqgan-clip-generator.")
]
Folder = Annotated[Path, typer.Option(help="Folder of fetched models.")]


@app.command("race")
def race_command(
    size: Size = 256,
    cutouts: Count = 32,
    generator: Generator = "imagenet-16384",
    perceptor: Perceptor = "ViT-B/32",
    preset: Preset = "nerdyrodent",
    steps: Annotated[int, typer.Option(help="Steps of each side.")] = 7,
    peer: Peers = None,
) -> None:
    """Take steps of ours, of the published loop and of its authors' own code in turn and compare them."""
    sides = ("ours", "reference", *map(str, peer or ()))
    what = {"size": size, "cutouts": cutouts, "generator": generator, "perceptor": perceptor, "preset": preset}
    print(report(race(steps, sides, **what)))


@app.command("stages")
def stages_command(
    size: Size = 256, cutouts: Count = 32, generator: Generator = "imagenet-16384", perceptor: Perceptor = "ViT-B/32"
) -> None:
    """Break one of our steps down, and compare it with what the chip can do."""
    print(stages(size, cutouts, generator, perceptor))


@app.command("picture")
def picture_command(
    prompt: str = "a red apple on a blue background",
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


if __name__ == "__main__":
    app()
