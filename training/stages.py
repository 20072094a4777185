"""What every stage of the training shares: its command line, its loop, its checkpoints."""

import argparse
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch

PART = 15 * 2**20  # bytes: repositories and machines lent for minutes take files under 16 MiB


class Trainer(Protocol):
    """One run of a stage; `at` counts its steps, those of earlier processes included."""

    at: int

    def step(self) -> dict[str, float]:
        """Train once; return figures to tell."""
        ...

    def save(self) -> None:
        """Write a checkpoint, and what the stage makes."""
        ...

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        ...


def command_line(about: str | None, configs: Iterable[str]) -> argparse.ArgumentParser:
    """Return the options that all stages have."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--config", choices=tuple(configs), default="cpu")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; run again to go on")
    return parser


def train(
    trainer: Trainer,
    steps: int,
    minutes: float,
    tell_every: int,
    save_every: int,
    look_again: Callable[[], None] = lambda: None,
) -> None:
    """Go on from the last checkpoint until `steps` are done or `minutes` are over; tell the means of the figures.

    `look_again` is called after each save on the way: another stage may have made more to learn from.
    """
    trainer.resume()
    started, lately = time.monotonic(), list[dict[str, float]]()
    while trainer.at < steps and time.monotonic() - started < 60 * minutes:
        lately.append(trainer.step())
        if trainer.at % tell_every == 0:
            means = {name: sum(figures[name] for figures in lately) / len(lately) for name in lately[0]}
            line = " ".join(f"{name} {value:.4g}" for name, value in means.items())
            print(f"{trainer.at} {time.monotonic() - started:.0f}s {line}", flush=True)
            lately.clear()
        if trainer.at % save_every == 0:
            trainer.save()
            look_again()
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
