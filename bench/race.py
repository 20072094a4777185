"""Ours against the published loops: processes take steps in turn, so that a drifting machine slows all alike."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from bench.setting import Setting


@dataclass
class Racer:
    """Drive one `bench.racer` process."""

    side: str
    """ "ours", "ours+kernels" and the like (`bench.racer.device_of`), "reference", or the path of a peer's checkout."""
    seconds: list[float] = field(default_factory=list)
    peak: int = 0
    """Bytes: of the process on a CPU, of torch's allocations on a GPU."""
    first: float = 0.0
    """Seconds from the start of the process to the end of its first step: imports, networks, compiler."""

    @property
    def name(self) -> str:
        """Return what a table calls it."""
        return Path(self.side).name

    def start(self, setting: Setting) -> Self:
        """Load the networks and take the first step."""
        command = [sys.executable, "-m", "bench.racer", json.dumps({"side": self.side, **asdict(setting)})]
        began = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read("ready")
        self.first = time.perf_counter() - began
        return self

    def step(self) -> None:
        """Take one step and note its time."""
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        self.seconds.append(float(self._read()))

    def finish(self) -> Self:
        """End the process and note its peak memory."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.peak = int(self._read())
        self.process.wait()
        return self

    def _read(self, wanted: str | None = None) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line or (wanted is not None and line != wanted):
            raise RuntimeError(f"{self.name} stopped: {line or 'no answer'}")
        return line


def race(steps: int, sides: Sequence[str], setting: Setting) -> list[Racer]:
    """Run several sides for some steps in turn, at one setting; the first is what the others are compared with."""
    racers = [Racer(side).start(setting) for side in sides]
    for _ in range(steps):
        for racer in racers:
            racer.step()
    return [racer.finish() for racer in racers]


def report(racers: Sequence[Racer]) -> str:
    """Write a Markdown table of all sides, each with its ratio to the first, min / median / max."""
    leader = racers[0]
    rows = [
        f"| | s / step, min / median / max | times {leader.name}'s time | first step after, s | peak memory, GiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for racer in racers:
        ratios = [theirs / mine for mine, theirs in zip(leader.seconds, racer.seconds, strict=True)]
        times = "" if racer is leader else spread(ratios)
        rows.append(
            f"| {racer.name} | {spread(racer.seconds)} | {times} | {racer.first:.1f} | {racer.peak / 2**30:.2f} |"
        )
    return "\n".join(rows)


def spread(values: Sequence[float]) -> str:
    """Write min / median / max."""
    return " / ".join(f"{value:.3g}" for value in (min(values), statistics.median(values), max(values)))
