"""Where a step's time goes, and which share of the chip's matrix rate it reaches."""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.architectures import RandomModels
from bench.setting import Setting
from engine.cutouts import Cutter
from engine.devices import Device, pick_device
from engine.models import ModelStore
from engine.painting import Painting

ROUNDS = 5
MATRIX = {"cpu": 2048, "cuda": 8192}
HEAD_START = 40_000_000  # cycles of a GPU, some 25 ms


@dataclass(frozen=True)
class Stage:
    """One part of the step: medians in seconds, and the useful floating-point operations of its forward pass."""

    name: str
    forward: float
    backward: float
    flops: int


def timed(device: Device, run: Callable[[], object]) -> float:
    """Return the seconds of one run, the device's queue emptied before and after."""
    if device.is_cuda:
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def busy(device: Device, run: Callable[[], object]) -> float:
    """Return the seconds that a GPU is at work in one run, what the host takes to launch it left out."""
    if not device.is_cuda:
        return timed(device, run)
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(HEAD_START)  # while it waits, the host launches
    began.record()
    run()
    ended.record()
    torch.cuda.synchronize()
    return began.elapsed_time(ended) / 1e3


def stage(name: str, device: Device, forward: Callable[[Tensor], Tensor], given: Tensor) -> Stage:
    """Measure one differentiable part at some input."""
    given = given.detach().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        direction = torch.randn_like(forward(given))
    there, back = [], []
    for _ in range(ROUNDS):
        there.append(busy(device, lambda: forward(given)))
        back.append(busy(device, partial(torch.autograd.grad, forward(given), given, direction)))
    return Stage(name, statistics.median(there), statistics.median(back), counter.get_total_flops())


def matrix_rate(device: Device) -> float:
    """Measure the chip's bf16 matrix rate, in FLOP/s: the median of ten square products of random data."""
    side = MATRIX[device.torch_device.type]
    a, b = (torch.randn(side, side, device=device.torch_device, dtype=torch.bfloat16) for _ in range(2))
    torch.mm(a, b)
    return 2 * side**3 / statistics.median(busy(device, lambda: torch.mm(a, b)) for _ in range(10))


def stages(setting: Setting) -> str:
    """Measure every stage at one setting; return a Markdown table."""
    device = pick_device()
    models = RandomModels(device)
    vqgan, clip = models.generator(setting.generator), models.perceptor(setting.perceptor)
    spec, size = setting.spec(), setting.size
    cutter = Cutter(spec.cutouts, spec.augmentations, clip.size)
    rng = torch.Generator(device.torch_device).manual_seed(0)
    cells = size // vqgan.factor
    z = torch.randn(1, vqgan.channels, cells, cells, generator=rng, device=rng.device)
    picture = vqgan.decode(vqgan.quantise(z)).clamp(0, 1).detach()
    draw = cutter.draw(size, size, [rng])
    seen = cutter.cut(picture, draw)[0]
    parts = [
        stage("quantise", device, vqgan.quantise, z),
        stage("decode", device, vqgan.decode, vqgan.quantise(z)),
        stage("cutouts", device, lambda p: cutter.cut(p, cutter.draw(size, size, [rng])), picture),
        stage("perceptor", device, clip.encode_image, seen),
    ]
    whole = {"whole step": step_seconds(Painting(spec, with_recording(models, records=False)))}
    if device.is_cuda:
        whole["at work"] = statistics.median(busy(device, partial(next, Painting(spec, models))) for _ in range(ROUNDS))
        whole["recorded"] = step_seconds(Painting(spec, models))
    return _table(parts, whole, matrix_rate(device), device)


def with_recording(models: ModelStore, *, records: bool) -> ModelStore:
    """Return the same networks for paintings that record their step, or do not."""
    other = copy.copy(models)
    other.device = replace(models.device, records=records)
    return other


def step_seconds(painting: Painting) -> float:
    """Return the median seconds of a step; a GPU takes ten at a time, as a painting lets it."""
    device = painting._models.device
    at_once = 10 if device.is_cuda else 1

    def steps() -> None:
        for _ in range(at_once):
            next(painting)

    for _ in range(4):
        next(painting)
    return statistics.median(timed(device, steps) for _ in range(ROUNDS)) / at_once


def _table(parts: list[Stage], whole: dict[str, float], rate: float, device: Device) -> str:
    rows = ["| stage | forward, ms | backward, ms | GFLOP, both ways |", "| --- | --- | --- | --- |"]
    for part in parts:
        both = 2 if part.name != "quantise" else 1  # its gradient is handed through
        rows.append(
            f"| {part.name} | {part.forward * 1e3:.1f} | {part.backward * 1e3:.1f} | {both * part.flops / 1e9:.0f} |"
        )
    flops = sum(part.flops * (1 if part.name == "quantise" else 2) for part in parts)
    rows += [f"| {name} | {seconds * 1e3:.1f} | | {flops / 1e9:.0f} |" for name, seconds in whole.items()]
    share = flops / min(whole.values()) / rate
    rows.append(f"\n{device}: bf16 matrix rate {rate / 1e12:.2f} TFLOP/s measured; the step reaches {share:.0%} of it.")
    return "\n".join(rows)
