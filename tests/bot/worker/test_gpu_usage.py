"""What a GPU is doing, by NVIDIA's management library where there is one; a stand-in for it here."""

import sys
from types import SimpleNamespace

import pytest
import torch

from bot.worker.events import GpuUsage
from bot.worker.gpu_usage import GpuMonitor
from engine.devices import Device, pick_device


class NVMLError(Exception):
    pass


@pytest.fixture
def library(monkeypatch):
    """The functions of pynvml that are used, for one GPU, which is asked for by its identity."""
    fake = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda identity: {"GPU-1234": "the second"}[identity],
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=73),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=5 * 2**30),
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1234"))
    return fake


def gpu() -> Device:
    return Device(torch.device("cuda", 0), torch.float32, "a GPU")


def test_load_and_memory_are_reported(library):
    assert GpuMonitor(gpu()).usage() == GpuUsage(load=0.73, memory=5 * 2**30)


def test_a_cpu_has_neither_and_a_driver_that_does_not_answer_stops_nothing(library, monkeypatch):
    assert GpuMonitor(pick_device("cpu", "fp32")).usage() is None
    monitor = GpuMonitor(gpu())

    def lost(handle):
        raise NVMLError

    library.nvmlDeviceGetUtilizationRates = lost
    assert monitor.usage() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert GpuMonitor(gpu()).usage() is None
