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
from pathlib import Path

import torch

from bench import peers
from bench.architectures import RandomModels
from bench.reference import ReferenceLoop
from engine.devices import Device, pick_device
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt


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


def run(side: str, what: dict[str, str | int], device: Device, taken: Callable[[], None]) -> None:
    """Step `side` ("ours", "reference", or the path of a peer's checkout) for ever, calling `taken` after each step."""
    if side not in ("ours", "reference"):
        peers.run(Path(side), what, device.torch_device, taken)
    step = _reference(what, device) if side == "reference" else _ours(what, device)
    while True:
        step()
        taken()


def _ours(what: dict[str, str | int], device: Device) -> Callable[[], object]:
    spec = spec_from_preset((Prompt(content="a red apple"),), str(what["preset"]), str(what["generator"]), steps=10_000)
    spec = spec.but(width=what["size"], height=what["size"], perceptors=[what["perceptor"]], start="noise", coarse=0)
    spec = spec.but(cutouts={**spec.cutouts.model_dump(), "count": what["cutouts"]})
    painting = Painting(spec, RandomModels(device))
    return lambda: next(painting).loss


def _reference(what: dict[str, str | int], device: Device) -> Callable[[], object]:
    names = str(what["generator"]), str(what["perceptor"])
    return ReferenceLoop(*names, int(what["size"]), int(what["cutouts"]), device.torch_device).step


def _tell(value: object) -> None:
    print(value, file=sys.__stdout__, flush=True)


def main() -> None:
    """Race on command."""
    what = json.loads(sys.argv[1])
    with contextlib.redirect_stdout(io.StringIO()):  # peers talk
        device = pick_device()
        run(what["side"], what, device, Turns(device).taken)


if __name__ == "__main__":
    main()
