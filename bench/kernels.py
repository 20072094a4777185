"""What one of our steps launches, longest first: kernels on a GPU, torch's operations on a CPU."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.architectures import RandomModels
from bench.setting import Setting
from engine.devices import Device, pick_device
from engine.painting import Painting

STEPS = 5
SHOWN = 45
_NAME = 110


def kernels(setting: Setting) -> Iterator[str]:
    """Profile some steps; yield the rows of a Markdown table."""
    device = pick_device()
    painting = Painting(setting.spec(), RandomModels(device))
    for _ in range(3):
        next(painting)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.is_cuda else [])]
    with profile(activities=activities) as profiler:
        wall = _seconds(device, painting)
    rows = sorted((row for event in profiler.key_averages() if (row := _row(event, device))), reverse=True)
    yield "| ms of a step | launches | what |"
    yield "| --- | --- | --- |"
    for milliseconds, launches, name in rows[:SHOWN]:
        yield f"| {milliseconds:.3f} | {launches:.0f} | `{name[:_NAME]}` |"
    milliseconds, launches = (sum(values) for values in zip(*((row[0], row[1]) for row in rows), strict=True))
    yield f"\nIn all {milliseconds:.2f} ms and {launches:.0f} launches; a profiled step took {wall * 1e3:.1f} ms."


def _row(event: Any, device: Device) -> tuple[float, float, str] | None:
    """Return milliseconds and launches of a step, and the name, of what ran on the device."""
    if str(event.device_type).endswith("CUDA") != device.is_cuda:
        return None
    microseconds = event.self_device_time_total if device.is_cuda else event.self_cpu_time_total
    return microseconds / 1e3 / STEPS, event.count / STEPS, event.key.replace("|", "¦")


def _seconds(device: Device, painting: Painting) -> float:
    began = time.perf_counter()
    for _ in range(STEPS):
        next(painting)
    if device.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / STEPS
