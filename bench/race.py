"""Ours against the published loops: processes take steps in turn, so that a drifting machine slows all alike."""

import json
import math
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.setting import Setting


@dataclass
class Racer:
    """Drive one `bench.racer` process."""

    side: str
    """ "ours", "ours+fp32" and the like (`bench.racer.device_of`), "reference", or the path of a peer's checkout."""
    seconds: list[float] = field(default_factory=list)
    peak: int = 0
    """Bytes: of the process on a CPU, of torch's allocations on a GPU."""
    first: float = 0.0
    """Seconds from the start of the process to the end of its first step: imports, networks, compiler."""
    failure: str = ""
    """Why it is out of the race."""

    @property
    def name(self) -> str:
        """Return what a table calls it."""
        return Path(self.side).name

    def launch(self, setting: Setting) -> None:
        """Begin to load the networks and to take the first step."""
        command = [sys.executable, "-m", "bench.racer", json.dumps({"side": self.side, **asdict(setting)})]
        self._began = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait(self, patience: float) -> None:
        """Wait for the end of the first step, at most so many seconds after the launch."""
        self._read("ready", max(1.0, self._began + patience - time.perf_counter()))
        self.first = time.perf_counter() - self._began

    def turn(self, steps: int) -> None:
        """Take some steps and note the time of one."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        self.seconds.append(float(self._read()))

    def finish(self) -> None:
        """End the process and note its peak memory."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.peak = int(self._read())
        self.process.wait()

    def _read(self, wanted: str | None = None, patience: float = 600) -> str:
        assert self.process.stdout is not None
        answers, _, _ = select.select([self.process.stdout], [], [], patience)
        if not answers:
            self.process.kill()
            raise RuntimeError(f"{self.name} stopped: nothing for {patience:.0f} s")
        line = self.process.stdout.readline().strip()
        if not line or (wanted is not None and line != wanted):
            raise RuntimeError(f"{self.name} stopped: {line or 'no answer'}")
        return line


@dataclass(frozen=True)
class Pace:
    """Say how a race is run."""

    each: int = 1
    """Steps of a turn: a GPU is asked for many at a time, as a painting asks it."""
    at_once: bool = False
    """Whether all sides load at the same time: quick, where there are cores and memory for it."""
    patience: float = 600
    """Seconds after which a side that has not taken its first step is out."""
    most: float = math.inf
    """Seconds after which no second turn, or third, begins."""


def race(turns: int, sides: Sequence[str], setting: Setting, pace: Pace = Pace()) -> list[Racer]:
    """Run several sides in turn, at one setting; the first is what the others are compared with.

    A side that fails is out, and the race goes on; raise `RuntimeError` when none is left.
    """
    racers, began = [Racer(side) for side in sides], time.perf_counter()

    def everyone(act: Callable[[Racer], None], among: Callable[[Racer], bool] = lambda _: True) -> None:
        for racer in (racer for racer in racers if not racer.failure and among(racer)):
            try:
                act(racer)
            except (RuntimeError, OSError) as error:
                racer.failure = str(error)
                if all(racer.failure for racer in racers):
                    raise

    def load(racer: Racer) -> None:
        racer.launch(setting)
        racer.wait(pace.patience)

    def searches(racer: Racer) -> bool:
        return "+search" in racer.side  # times cuDNN's ways while it loads, so that it has to be alone

    if pace.at_once:
        everyone(lambda racer: racer.launch(setting), lambda racer: not searches(racer))
        everyone(lambda racer: racer.wait(pace.patience), lambda racer: not searches(racer))
    everyone(load, lambda racer: searches(racer) or not pace.at_once)
    for turn in range(turns):
        if turn == 0 or time.perf_counter() - began < pace.most:
            everyone(lambda racer: racer.turn(pace.each))
    everyone(Racer.finish)
    return racers


def report(racers: Sequence[Racer]) -> str:
    """Write a Markdown table of all sides, each with its ratio to the first, min / median / max."""
    leader = next(racer for racer in racers if not racer.failure)
    rows = [
        f"| | s / step, min / median / max | times {leader.name}'s time | first step after, s | peak memory, GiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for racer in racers:
        if racer.failure:
            rows.append(f"| {racer.name} | {racer.failure} | | | |")
            continue
        ratios = [theirs / mine for mine, theirs in zip(leader.seconds, racer.seconds, strict=True)]
        times = "" if racer is leader else spread(ratios)
        rows.append(
            f"| {racer.name} | {spread(racer.seconds)} | {times} | {racer.first:.1f} | {racer.peak / 2**30:.2f} |"
        )
    return "\n".join(rows)


def spread(values: Sequence[float]) -> str:
    """Write min / median / max."""
    return " / ".join(f"{value:.3g}" for value in (min(values), statistics.median(values), max(values)))
