"""Everything to know about one machine, in one run: what `bench/RESULTS.md` shows of a GPU, as Markdown."""

import importlib.metadata
import importlib.util
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.architectures import RandomModels
from bench.kernels import kernels
from bench.memory import table as memory_table
from bench.race import Pace, race, report
from bench.racer import peak_memory
from bench.setting import Setting
from bench.stages import stages
from bench.together import both_pairs
from bench.ways import ways
from engine.devices import Device, pick_device
from engine.painting import Painting

SIDES = ("launched", "search", "torch", "fp32")
"""What ours is changed to on a GPU (`bench.racer.device_of`)."""
PARTS = ("race", "pictures", "stages", "kernels", "ways", "together", "memory")


@dataclass(frozen=True)
class Scale:
    """Say what is painted, and how long."""

    setting: Setting
    turns: int = 20
    """Of a race, ten steps each on a GPU."""
    picture: int = 400
    """Steps of the whole picture."""
    batches: tuple[int, ...] = (1, 2, 4)
    rounds: int = 10
    parts: tuple[str, ...] = PARTS
    sides: tuple[str, ...] = SIDES
    patience: float = 300
    """Seconds that a side of the race may take to its first step."""
    race: float = math.inf
    """Seconds after which the race takes no further turn."""


def everything(scale: Scale, peers: Sequence[Path]) -> Iterator[str]:
    """Measure it all; yield Markdown, each part as soon as it is there. What fails says so, and the rest goes on."""
    device = pick_device()
    yield f"{device}; {versions()}"
    setting, changed = scale.setting, scale.sides if device.is_cuda else ("fp32",)
    sides = ("ours", *(f"ours+{change}" for change in changed), "reference", *map(str, peers))
    pace = Pace(each=10, at_once=True, patience=scale.patience, most=scale.race) if device.is_cuda else Pace()
    parts: dict[str, tuple[str, Callable[[], Iterable[str]]]] = {
        "race": ("Race", lambda: [report(race(scale.turns, sides, setting, pace))]),
        "pictures": ("A whole picture, models warm", lambda: pictures(device, scale)),
        "stages": ("Stages", lambda: [stages(setting)]),
        "kernels": ("Kernels", lambda: kernels(setting)),
        "ways": ("Ways", lambda: ways(setting, scale.rounds)),
        "together": ("Several pictures as one batch", lambda: both_pairs(setting, scale.batches, scale.rounds)),
        "memory": ("Memory, counted", lambda: memory_table([setting])),
    }
    for name, measure in (parts[part] for part in scale.parts):
        yield f"\n### {name}\n"
        began = time.perf_counter()
        try:
            yield from measure()
        except Exception as error:  # the card may be lent for minutes: what can be measured, is
            yield f"failed: {type(error).__name__}: {error}"
        yield f"\n({time.perf_counter() - began:.0f} s)"


def pictures(device: Device, scale: Scale) -> Iterator[str]:
    """Time whole pictures, the first and the second of a process that has loaded its models."""
    yield "| | first preview, s | finished, s | steps / s | peak memory, GiB |"
    yield "| --- | --- | --- | --- | --- |"
    for records in (False, True) if device.is_cuda else (False,):
        models = RandomModels(replace(device, records=records))
        for turn in ("first", "next"):
            if device.is_cuda:
                torch.cuda.reset_peak_memory_stats()
            first, whole = paint(models, scale)
            peak = peak_memory(device) / 2**30
            numbers = f"{first:.2f} | {whole:.2f} | {scale.picture / whole:.1f} | {peak:.2f}"
            yield f"| {'recorded' if records else 'launched'}, {turn} picture | {numbers} |"


def paint(models: RandomModels, scale: Scale) -> tuple[float, float]:
    """Paint one picture; return the seconds to its first preview and to its end."""
    began = time.perf_counter()
    painting = Painting(scale.setting.spec(steps=scale.picture), models)
    next(painting).picture()
    first = time.perf_counter() - began
    for _ in painting:
        pass
    painting.picture()
    return first, time.perf_counter() - began


def versions() -> str:
    """Name what the figures depend on, besides the chip."""
    triton = importlib.metadata.version("triton") if importlib.util.find_spec("triton") else None
    cuda = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, driver {_driver()}"
    return f"torch {torch.__version__}, {cuda}, Triton {triton}, Python {sys.version.split()[0]}"


def _driver() -> Any:
    if not torch.cuda.is_available():
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
