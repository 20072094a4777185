"""One side of a race, in a process of its own: load, then take one step for every line on standard input.

`python -m bench.racer JSON`: prints "ready", then the seconds of each step, then, at the end of the input, peak memory.
"""

import json
import resource
import sys
import time
from collections.abc import Callable

import torch

from bench.architectures import RandomModels
from bench.reference import ReferenceLoop
from engine.devices import Device, pick_device
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt


def stepper(side: str, what: dict[str, str | int]) -> tuple[Device, Callable[[], object]]:
    """Return the device and a function that takes one step of `side`, "ours" or "reference"."""
    device = pick_device("auto", "auto")
    generator, perceptor = str(what["generator"]), str(what["perceptor"])
    size, cutouts = int(what["size"]), int(what["cutouts"])
    if side == "reference":
        return device, ReferenceLoop(generator, perceptor, size, cutouts, device.torch_device).step
    spec = spec_from_preset((Prompt(content="a red apple"),), str(what["preset"]), generator, steps=10_000)
    spec = spec.but(width=size, height=size, perceptors=[perceptor], start="noise", coarse=0)
    spec = spec.but(cutouts=spec.cutouts.model_copy(update={"count": cutouts}).model_dump())
    painting = Painting(spec, RandomModels(device))
    return device, lambda: next(painting).loss


def main() -> None:
    """Race on command."""
    what = json.loads(sys.argv[1])
    device, step = stepper(what["side"], what)
    step()  # the first step pays for allocation and kernel choice
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        step()
        if device.is_cuda:
            torch.cuda.synchronize()
        print(time.perf_counter() - began, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(torch.cuda.max_memory_allocated() if device.is_cuda else peak, flush=True)


if __name__ == "__main__":
    main()
