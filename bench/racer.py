"""One side of a race, in a process of its own: load, then take as many steps as each line on standard input says.

`python -m bench.racer JSON`: prints "ready", then, for each line, the seconds of one step, then, at the end of the
input, peak memory.
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

import torch

from bench import peers
from bench.architectures import RandomModels
from bench.reference import ReferenceLoop
from bench.setting import Setting
from engine import gpu_norms
from engine.devices import Device, pick_device
from engine.painting import Painting


class Turns:
    """Hold a loop until it may go on, and print how long its steps took."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._began: float | None = None
        # The first step pays for allocation and the choice of kernels; a recorded one is so from the third on.
        self._steps = self._left = 4 if device.is_cuda else 1

    def taken(self) -> None:
        """Count a step; after the last of a turn report, and wait for the next; end the process when there is none."""
        self._left -= 1
        if self._left:
            return
        if self._device.is_cuda:
            torch.cuda.synchronize()
        _print("ready" if self._began is None else (time.perf_counter() - self._began) / self._steps)
        line = sys.stdin.readline()
        if not line:
            _print(peak_memory(self._device))
            raise SystemExit
        self._steps = self._left = int(line)
        self._began = time.perf_counter()


def peak_memory(device: Device) -> int:
    """Return bytes: of the whole process on a CPU, of torch's allocations on a GPU."""
    if device.is_cuda:
        return torch.cuda.max_memory_allocated(device.torch_device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_of(side: str) -> Device:
    """Return a side's device, and make the changes that it names ("ours+launched+search") in this process.

    A precision; "launched": no recording; "libc": malloc as it comes; "torch": its kernels where ours would be;
    "search": cuDNN's fastest ways, found by trying all, where its first choice would be.
    """
    changes = side.split("+")[1:] if side.startswith("ours") else []
    if wrong := set(changes) - {"fp32", "libc", "torch", "search", "launched"}:
        raise ValueError(f"There is no {', '.join(sorted(wrong))} to race with.")
    if "libc" in changes:  # where `pick_device` has not tuned malloc
        return Device(torch.device("cpu"), torch.bfloat16, "CPU")
    if "torch" in changes:
        gpu_norms.HAS_TRITON = False
    torch.backends.cudnn.benchmark = "search" in changes
    device = pick_device(precision="fp32" if "fp32" in changes else "auto")
    return replace(device, records=False) if "launched" in changes else device


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
    return lambda: next(painting)


def _print(value: object) -> None:
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
