"""Time and memory against size and cutouts, as a table and a plot."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from statistics import median

from bench.race import race
from bench.setting import Setting

SIDES = ("ours", "reference")
USUAL = Setting(preset="nerdyrodent")
VALUES = {"size": (128, 192, 256, 384, 512), "cutouts": (8, 16, 32, 64)}
LABELS = {"size": "side of the picture, pixels", "cutouts": "cutouts"}


@dataclass(frozen=True)
class Point:
    """One side at one setting."""

    side: str
    size: int
    cutouts: int
    seconds: float
    """Per step, median."""
    gibibytes: float
    """Peak: of the process on a CPU, of torch's allocations on a GPU."""


def sweep(steps: int, values: Mapping[str, Sequence[int]], usual: Setting) -> Iterator[Point]:
    """Race at every value of one setting while the other keeps its usual value."""
    settings = [replace(usual, **{name: value}) for name, all_values in values.items() for value in all_values]
    for setting in dict.fromkeys(settings):
        for racer in race(steps, SIDES, setting):
            gibibytes = racer.peak / 2**30
            yield Point(racer.side, setting.size, setting.cutouts, median(racer.seconds), gibibytes)


def write(points: Sequence[Point], usual: Setting, folder: Path) -> None:
    """Write sweep.csv and sweep.svg."""
    with (folder / "sweep.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(field.name for field in fields(Point))
        table.writerows([f"{value:.4g}" if isinstance(value, float) else value for value in astuple(p)] for p in points)
    plot(points, usual, folder / "sweep.svg")


def plot(points: Sequence[Point], usual: Setting, path: Path) -> None:
    """Draw time above memory, against size on the left and cutouts on the right."""
    import matplotlib as mpl  # only here: who races needs no plots

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "sweep"  # equal points, equal file
    from matplotlib import pyplot as plt

    figure, rows = plt.subplots(2, 2, figsize=(9, 6), sharex="col", sharey="row", layout="constrained")
    for column, (setting, other) in enumerate((("size", "cutouts"), ("cutouts", "size"))):
        shown = [point for point in points if getattr(point, other) == getattr(usual, other)]
        for axes, quantity in zip(rows[:, column], ("seconds", "gibibytes"), strict=True):
            for side in dict.fromkeys(point.side for point in points):
                mine = sorted((getattr(p, setting), getattr(p, quantity)) for p in shown if p.side == side)
                axes.plot(*zip(*mine, strict=True), marker="o", label=side)
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
        rows[1, column].set_xlabel(f"{LABELS[setting]} ({LABELS[other]}: {getattr(usual, other)})")
    rows[0, 0].set_ylabel("seconds per step")
    rows[1, 0].set_ylabel("peak memory, GiB")
    rows[0, 0].legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
