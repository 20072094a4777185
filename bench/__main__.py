"""`python -m bench`: measure. `make bench` runs `race` at the settings most people paint with."""

from typing import Annotated

import typer

from bench.race import race, report

app = typer.Typer(help=__doc__, no_args_is_help=False)


@app.command("race")
def race_command(
    size: Annotated[int, typer.Option(help="Side of the picture, in pixels.")] = 256,
    cutouts: Annotated[int, typer.Option(help="Cutouts per step.")] = 32,
    generator: Annotated[str, typer.Option(help="Architecture of the VQGAN.")] = "imagenet-16384",
    perceptor: Annotated[str, typer.Option(help="Architecture of the CLIP.")] = "ViT-B/32",
    preset: Annotated[str, typer.Option(help="Our preset; the reference always runs nerdyrodent's.")] = "nerdyrodent",
    steps: Annotated[int, typer.Option(help="Steps of each side.")] = 7,
) -> None:
    """Take steps of ours and of the reference in turn and compare them."""
    sides = race(steps, size=size, cutouts=cutouts, generator=generator, perceptor=perceptor, preset=preset)
    print(report(*sides))


if __name__ == "__main__":
    app()
