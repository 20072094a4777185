"""One side of a race, in a process of its own: load, then take one step for every line on standard input.

`python -m bench.racer JSON`: prints "ready", then the seconds of each step, then, at the end of the input, peak memory.
"""

import contextlib
import io
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch

from bench import peers
from bench.architectures import RandomModels
from bench.reference import ReferenceLoop
from bench.setting import Setting
from engine.devices import Compiler, Device, pick_device
from engine.painting import Painting


class Turns:
    """Let a loop go on only when it is told to, and tell how long each of its steps took."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._began: float | None = None

    def taken(self) -> None:
        """Report the step that has just been taken, then wait for the next turn; end the process when there is none."""
        if self._device.is_cuda:
            torch.cuda.synchronize()
        # The first step pays for allocation and the choice of kernels.
        _tell("ready" if self._began is None else time.perf_counter() - self._began)
        if not sys.stdin.readline():
            _tell(peak_memory(self._device))
            raise SystemExit
        self._began = time.perf_counter()


def peak_memory(device: Device) -> int:
    """Return bytes: of the whole process on a CPU, of torch's allocations on a GPU."""
    if device.is_cuda:
        return torch.cuda.max_memory_allocated(device.torch_device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_of(side: str) -> Device:
    """Return a side's device: "ours+fp32" has another precision, "ours+kernels" a compiler, "ours+libc" no tuning."""
    _, _, change = side.partition("+")
    if change == "libc":  # where `pick_device` has not tuned malloc
        return Device(torch.device("cpu"), torch.bfloat16, "CPU")
    device = pick_device(precision="fp32" if change == "fp32" else "auto")
    return replace(device, compiler=change) if change in get_args(Compiler) else device


def run(side: str, setting: Setting, device: Device, taken: Callable[[], None]) -> None:
    """Step `side` ("ours", "reference", or the path of a peer's checkout) for ever, calling `taken` after each step."""
    if not side.startswith("ours") and side != "reference":
        peers.run(Path(side), setting, device.torch_device, taken)
    step = ReferenceLoop(setting, device.torch_device).step if side == "reference" else _ours(setting, device)
    while True:
        step()
        taken()


def _ours(setting: Setting, device: Device) -> Callable[[], object]:
    painting = Painting(setting.spec(), RandomModels(device))
    return lambda: next(painting).loss


def _tell(value: object) -> None:
    print(value, file=sys.__stdout__, flush=True)


def main() -> None:
    """Race on command."""
    what = json.loads(sys.argv[1])
    side = what.pop("side")
    with contextlib.redirect_stdout(io.StringIO()):  # peers talk
        device = device_of(side)
        run(side, Setting(**what), device, Turns(device).taken)


if __name__ == "__main__":
    main()
