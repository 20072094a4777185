"""The sweep's files: a table that reads back, a plot that is the same for the same points."""

import csv

import pytest

from bench import sweep
from bench.setting import Setting

POINTS = [
    sweep.Point(side, size, cutouts, seconds=size * cutouts / 1e4 * slower, gibibytes=slower)
    for side, slower in (("ours", 1.0), ("reference", 4.0))
    for size, cutouts in ((128, 32), (256, 32), (256, 8))
]


def test_points_are_written_and_drawn(tmp_path):
    usual = Setting(256, 32)
    drawn = []
    for _ in range(2):
        sweep.write(POINTS, usual, tmp_path)
        drawn.append((tmp_path / "sweep.svg").read_bytes())
    assert drawn[0] == drawn[1]
    assert b"</svg>" in drawn[0]
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["seconds"]) for row in rows] == pytest.approx([point.seconds for point in POINTS], rel=1e-3)
    assert rows[3]["side"] == "reference"


def test_one_setting_changes_at_a_time(monkeypatch):
    seen = []

    def race(steps, sides, setting):
        seen.append((steps, tuple(sides), setting.size, setting.cutouts))
        return []

    monkeypatch.setattr(sweep, "race", race)
    list(sweep.sweep(3, {"size": (128, 256), "cutouts": (8, 32)}, Setting(256, 32)))
    assert seen == [(3, sweep.SIDES, *setting) for setting in ((128, 32), (256, 32), (256, 8))]
