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
    """The functions of pynvml that are used, for one of two GPUs, which is asked for by its identity."""
    begun = []

    def of_identity(identity):
        if not begun:
            raise NVMLError
        return {"GPU-1234": "the second"}[identity]

    fake = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: begun.append(True),
        nvmlDeviceGetHandleByUUID=of_identity,
        nvmlDeviceGetUtilizationRates=lambda handle: {"the second": SimpleNamespace(gpu=73)}[handle],
        nvmlDeviceGetMemoryInfo=lambda handle: {"the second": SimpleNamespace(used=5 * 2**30)}[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    properties = {torch.device("cuda", 1): SimpleNamespace(uuid="1234")}
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
    return fake


def gpu() -> Device:
    return Device(torch.device("cuda", 1), torch.float32, "a GPU")


def test_load_and_memory_are_reported(library):
    assert GpuMonitor(gpu()).usage() == GpuUsage(load=0.73, memory=5 * 2**30)


def test_a_cpu_has_neither_and_a_driver_that_does_not_answer_stops_nothing(library, monkeypatch):
    assert GpuMonitor(pick_device("cpu", "fp32")).usage() is None
    monitor = GpuMonitor(gpu())

    def lost(handle):
        raise NVMLError

    with monkeypatch.context() as busy:
        busy.setattr(library, "nvmlDeviceGetUtilizationRates", lost)
        assert monitor.usage() is None
    assert monitor.usage() is not None, "it is asked again"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert GpuMonitor(gpu()).usage() is None
