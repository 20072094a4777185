"""Ours against the reference: two processes take steps in turn, so that a drifting machine slows both alike."""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Racer:
    """Drive one `bench.racer` process."""

    side: str
    seconds: list[float] = field(default_factory=list)
    peak: int = 0
    """Bytes: of the process on a CPU, of torch's allocations on a GPU."""

    def start(self, what: dict[str, str | int]) -> Self:
        """Load the networks and take the first step."""
        command = [sys.executable, "-m", "bench.racer", json.dumps({"side": self.side, **what})]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read("ready")
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
            raise RuntimeError(f"the {self.side} side stopped: {line or 'no answer'}")
        return line


def race(steps: int, **what: str | int) -> tuple[Racer, Racer]:
    """Run both sides for some steps in turn, on equal settings; return (ours, reference)."""
    ours, reference = Racer("ours").start(what), Racer("reference").start(what)
    for _ in range(steps):
        ours.step()
        reference.step()
    return ours.finish(), reference.finish()


def report(ours: Racer, reference: Racer) -> str:
    """Write a Markdown table of both sides and their ratio, min / median / max."""
    ratios = [theirs / mine for mine, theirs in zip(ours.seconds, reference.seconds, strict=True)]
    rows = ["| | s / step, min / median / max | peak memory |", "| --- | --- | --- |"]
    rows += [
        f"| {racer.side} | {_spread(racer.seconds)} | {racer.peak / 2**30:.2f} GiB |" for racer in (ours, reference)
    ]
    rows.append(f"| reference / ours | {_spread(ratios)} | {reference.peak / ours.peak:.2f} |")
    return "\n".join(rows)


def _spread(values: list[float]) -> str:
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"
