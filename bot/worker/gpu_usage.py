"""How busy a GPU is, by NVIDIA's management library, where its bindings (nvidia-ml-py) are installed."""

import contextlib
import importlib
from typing import Any

import torch

from bot.worker.events import GpuUsage
from engine.devices import Device


class GpuMonitor:
    """Ask for the usage of one device; it answers None for a CPU, and where the library is not there."""

    def __init__(self, device: Device) -> None:
        self._library: Any = None
        if not device.is_cuda:
            return
        with contextlib.suppress(Exception):  # not installed, or without a driver: errors of a dozen kinds
            library = importlib.import_module("pynvml")
            library.nvmlInit()
            # By its identity: the library counts all GPUs, torch those that this process may use.
            identity = torch.cuda.get_device_properties(device.torch_device).uuid
            self._handle = library.nvmlDeviceGetHandleByUUID(f"GPU-{identity}")
            self._library = library

    def usage(self) -> GpuUsage | None:
        """Return what the device is doing now."""
        if self._library is None:
            return None
        with contextlib.suppress(self._library.NVMLError):
            load = self._library.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100
            return GpuUsage(load, self._library.nvmlDeviceGetMemoryInfo(self._handle).used)
        return None
