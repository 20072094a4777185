"""What every stage of the training shares: its command line, its loop, its checkpoints."""

import argparse
import hashlib
import io
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

PART = 15 * 2**20  # bytes: repositories and machines lent for minutes take files under 16 MiB

Figures = dict[str, float | torch.Tensor]
"""What a step reports; single numbers, on the device or off it: reading one would have the device waited for."""


class Trainer(ABC):
    """One run of a stage."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.at = 0
        """Steps taken, those of earlier processes included."""
        self.hurry = 0.0
        """The least progress that schedules go by."""

    @property
    def progress(self) -> float:
        """Return the share of the run that is done, 0 to 1: what schedules follow."""
        return min(1.0, max(self.at / self.steps, self.hurry))

    @abstractmethod
    def step(self) -> Figures:
        """Train once; return figures to report."""

    @abstractmethod
    def save(self) -> None:
        """Write a checkpoint, and what the stage makes."""

    @abstractmethod
    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""

    def reload(self) -> None:  # noqa: B027 - most stages have nothing to reload
        """Load what other stages may have made since; called after each save on the way."""


def repeatable(seed: int, device: str) -> None:
    """Have the same seed give the same run on the same device, at the price of some speed on a GPU."""
    torch.manual_seed(seed)
    if device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # of the two that cuBLAS repeats itself with
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def command_line(about: str | None, configs: Iterable[str]) -> argparse.ArgumentParser:
    """Return the options that all stages have."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--config", choices=tuple(configs), default="cpu")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; run again to go on")
    parser.add_argument("--finish", action="store_true", help="hurry schedules on, so that they end with the minutes")
    return parser


def train(trainer: Trainer, minutes: float, finish: bool, report_every: int, save_every: int) -> None:
    """Go on from the last checkpoint until all steps are done or the minutes are over; print the means of the figures.

    With `finish`, schedules are over when the minutes are, however few steps were taken.
    """
    trainer.resume()
    started, lately = time.monotonic(), list[Figures]()
    while trainer.at < trainer.steps and (share := (time.monotonic() - started) / max(60 * minutes, 1e-9)) < 1:
        trainer.hurry = share if finish else 0.0
        lately.append(trainer.step())
        if trainer.at % report_every == 0:
            means = {name: float(sum(figures[name] for figures in lately)) / len(lately) for name in lately[0]}
            line = " ".join(f"{name} {value:.4g}" for name, value in means.items())
            print(f"{trainer.at} {time.monotonic() - started:.0f}s {line}", flush=True)
            lately.clear()
        if trainer.at % save_every == 0:
            trainer.save()
            trainer.reload()
    trainer.save()


def keep(state: dict[str, Any], work: Path, name: str) -> None:
    """Write a checkpoint whole, or not at all, in files that travel: an index `NAME.json`, and parts beside it."""
    work.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    blob = buffer.getbuffer()
    mark = hashlib.sha256(blob).hexdigest()[:8]
    parts = []
    for at in range(0, len(blob), PART):
        parts.append(f"{name}-{mark}.{len(parts)}.part")
        (work / parts[-1]).write_bytes(blob[at : at + PART])
    index = work / f"{name}.tmp"
    index.write_text(json.dumps(parts))
    index.replace(work / f"{name}.json")
    for before in work.glob(f"{name}-*.part"):
        if before.name not in parts:
            before.unlink()


def kept(work: Path, name: str) -> dict[str, Any] | None:
    """Return the last checkpoint, or None."""
    index = work / f"{name}.json"
    if not index.exists():
        return None
    blob = b"".join((work / part).read_bytes() for part in json.loads(index.read_text()))
    return torch.load(io.BytesIO(blob), weights_only=True)
