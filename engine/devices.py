"""Where networks run and in which precision; how much memory is left there."""

import contextlib
import ctypes
import gc
import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

Precision = Literal["auto", "bf16", "fp32"]

_CGROUP = Path("/sys/fs/cgroup")
_FOR_CUTOUTS = {"cuda": 0.3, "cpu": 0.125}
"""Of the whole memory; the rest is for the networks, the decoder's activations and, on a CPU, everybody else."""


class BadDeviceError(ValueError):
    """A device that this machine does not have; its text is one sentence for people."""


@dataclass(frozen=True)
class Device:
    """Say where and in which precision the frozen networks run; latents and losses stay fp32 everywhere."""

    torch_device: torch.device
    dtype: torch.dtype
    name: str
    """The chip, for people."""
    records: bool = False
    """Whether a painting's step is recorded as one CUDA graph (`engine.recording`)."""

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.torch_device.type == "cuda"

    def adam(self, rate: float) -> dict[str, Any]:
        """Return the options of the fastest Adam; a GPU takes one launch and reads the rate from its own memory."""
        if not self.is_cuda:
            return {"lr": rate}
        return {"lr": torch.tensor(rate, device=self.torch_device), "fused": True, "capturable": True}

    def free_memory(self) -> int:
        """Return the bytes that this process could still take, counting what torch holds but does not use."""
        if self.is_cuda:
            free, _ = torch.cuda.mem_get_info(self.torch_device)
            cached = torch.cuda.memory_reserved(self.torch_device) - torch.cuda.memory_allocated(self.torch_device)
            return free + cached
        return _free_host_memory()

    def give_back(self) -> None:
        """Return to the system what torch and malloc keep for later."""
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()
        with contextlib.suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)

    def memory(self) -> int:
        """Return the bytes that there are in all, for everybody."""
        if self.is_cuda:
            return torch.cuda.get_device_properties(self.torch_device).total_memory
        return _host_memory()

    def fits(self, bytes_each: int) -> int:
        """Return how many cutouts are to be in memory together; at least one.

        A fixed share of the whole, not of what is free at the moment: sums over other chunks are rounded otherwise.
        """
        return max(1, int(_FOR_CUTOUTS[self.torch_device.type] * self.memory()) // max(1, bytes_each))

    def __str__(self) -> str:
        precision = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        return f"{self.torch_device} ({self.name}), {precision}"


def on_gpu(x: Tensor) -> bool:
    """Return whether to take the way that is fast on a GPU and not a CPU's."""
    return x.is_cuda


def is_recording() -> bool:
    """Return whether what is launched now is being recorded: then nothing can be tried again."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


def constant(values: Numbers, device: torch.device) -> Tensor:
    """Put fixed numbers on a device once, in fp32: a GPU that is handed them anew is waited for each time.

    They stay for good: a recorded step reads them where they are.
    """
    return _constant(values, device)


@cache
def _constant(values: Numbers, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)


def pick_device(name: str = "auto", precision: Precision = "auto", *, deterministic: bool = False) -> Device:
    """Choose a device ("auto", "cpu", "cuda", "cuda:1") and a precision; raise `BadDeviceError` for one not here.

    "auto" takes the first GPU, else the CPU, and bf16 where the chip multiplies in it. Also tunes malloc and threads
    for the CPU, which concerns the whole process.

    Equal specs paint equal pictures on a CPU with equal threads. On a GPU sums in the way back are in no fixed order,
    so that equal specs paint like pictures, not equal ones; `deterministic`, for the whole process, makes them equal on
    equal cards with equal versions, and slower.
    """
    if deterministic:
        _be_deterministic()
    if precision not in ("auto", "bf16", "fp32"):
        raise BadDeviceError(f"There is no precision '{precision}'; there are auto, bf16 and fp32.")
    device = _existing(name)
    if device.type == "cuda":
        fast_bf16 = torch.cuda.get_device_capability(device) >= (8, 0)
        chip = torch.cuda.get_device_name(device)
    else:
        fast_bf16 = _cpu_multiplies_bf16()
        chip = str(torch.cpu.get_capabilities().get("cpu_name", "CPU"))
        _tune_process()
    bf16 = fast_bf16 if precision == "auto" else precision == "bf16"
    # Recorded: measured 2.5 times as fast as launch by launch on an H100, at the same memory (bench/RESULTS.md).
    return Device(device, torch.bfloat16 if bf16 else torch.float32, chip, records=device.type == "cuda")


def _be_deterministic() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first product
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def _existing(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BadDeviceError(f"There is no device '{name}'; say auto, cpu, cuda or cuda:1.") from None
    if device.type not in ("cpu", "cuda"):
        raise BadDeviceError(f"Painting on '{name}' is not supported; say auto, cpu, cuda or cuda:1.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadDeviceError(f"This machine has no device '{name}' that torch can use; say auto or cpu.")
    return device


def _cpu_multiplies_bf16() -> bool:
    """Return whether the CPU has bf16 instructions: measured 1.7 times (AVX512_BF16) to 6 times (AMX) fp32's speed."""
    chip = torch.cpu.get_capabilities()
    return bool(chip.get("amx_bf16") or chip.get("avx512_bf16"))


@cache
def _tune_process() -> None:
    """Keep released activations for the next step, and take no more threads than the container may use."""
    torch.set_num_threads(min(torch.get_num_threads(), _usable_cores()))
    try:
        libc = ctypes.CDLL(None)
        # By default glibc returns blocks above 32 MiB to the system and asks for them anew: decoding 512 x 512 pixels
        # and back then spends a quarter of its time on page faults (measured; none with this, and 0.45 GiB more held).
        # M_ARENA_MAX, or the painting thread gets a heap of its own that cannot hold such blocks.
        for option, value in ((-8, 1), (-4, 0), (-1, 2**31 - 1)):  # M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD
            libc.mallopt(option, value)
    except (OSError, AttributeError):
        return  # not glibc: its malloc has no such option, and works as it is


def _usable_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2 here, or its quota is "max"
        return cores


def _host_memory() -> int:
    total = _meminfo("MemTotal")
    try:
        return min(total, int((_CGROUP / "memory.max").read_text()))
    except (OSError, ValueError):  # no cgroup v2 here, or its limit is "max"
        return total


def _meminfo(name: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _free_host_memory() -> int:
    available = _meminfo("MemAvailable")
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        return min(available, limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # no cgroup v2 here, or its limit is "max"
        return available
