"""Devices: named, refused in one sentence, and sized to memory."""

import os
import re
from types import SimpleNamespace

import pytest
import torch

from engine import devices
from engine.devices import BadDeviceError, Device, pick_device
from engine.memory import even_chunks
from tests.warm_processes import run


def test_cpu_in_either_precision():
    assert pick_device("cpu", "fp32").dtype == torch.float32
    assert pick_device("cpu", "bf16").dtype == torch.bfloat16
    assert re.fullmatch(r"cpu \(.+\), fp32", str(pick_device("cpu", "fp32")))


def test_auto_finds_something_that_computes():
    device = pick_device()
    assert torch.ones(2, device=device.torch_device, dtype=device.dtype).sum() == 2


@pytest.mark.parametrize("name", ["toaster", "meta", "cuda:99", ""])
def test_a_device_that_is_not_here_is_one_sentence(name):
    with pytest.raises(BadDeviceError, match=r"^[^\n]+\.$"):
        pick_device(name)


def test_unknown_precision_is_refused():
    with pytest.raises(BadDeviceError, match="fp8"):
        pick_device("cpu", "fp8")  # type: ignore[arg-type]


def test_free_memory_is_within_the_machine():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < pick_device("cpu").free_memory() <= total


class _Small(Device):
    def memory(self) -> int:
        return 5000


def test_chunks_are_even_and_fit():
    device = _Small(torch.device("cpu"), torch.float32, "small")
    assert even_chunks(32, device.fits(bytes_each=1)) == [slice(0, 32)]
    assert even_chunks(32, device.fits(bytes_each=25)) == [slice(0, 16), slice(16, 32)]  # 24 would leave a ragged rest
    assert len(even_chunks(32, device.fits(bytes_each=10_000))) == 32


def test_chunks_do_not_depend_on_what_is_free_at_the_moment(monkeypatch):
    device = pick_device("cpu")
    before = device.fits(2**20)
    monkeypatch.setattr(Device, "free_memory", lambda _: 2**21)
    assert device.fits(2**20) == before > 2


DETERMINISTIC = """
import sys, torch
from pathlib import Path
from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Painting
from engine.spec import PaintingSpec
device = pick_device(sys.argv[2], deterministic=True)
assert torch.are_deterministic_algorithms_enabled()
store = ModelStore(Path(sys.argv[1]), device, embedded=Path(sys.argv[1]))
side = 256 if device.is_cuda else 64  # what a GPU adds up in any order grows with the size
for method in ("crops", "pooled"):
    spec = PaintingSpec.from_json('{"prompts":[{"content":"a red apple"}],"width":%d,"height":%d,"steps":5,'
        '"cutouts":{"count":16,"method":"%s"},"perceptors":["embedded"]}' % (side, side, method))
    pictures = []
    for _ in range(2):
        painting = Painting(spec, store)
        list(painting)
        pictures.append(painting.picture().tobytes())
    print(pictures[0] == pictures[1])
"""


@pytest.mark.parametrize(
    "name",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
    ],
)
def test_deterministic_paints_equal_pictures(tiny_models, name):
    assert run(DETERMINISTIC, tiny_models, name).split() == ["True", "True"]


GIB = 2**30


@pytest.fixture
def cgroup(monkeypatch, tmp_path):
    """A container's limits, as files; none at first."""
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)

    def limit(**files):
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(text)

    return limit


def test_memory_is_what_the_container_may_take(cgroup, cpu):
    whole = cpu.memory()
    assert whole == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cgroup(memory_max="max\n")
    assert cpu.memory() == whole
    cgroup(memory_max=f"{10**15}\n")
    assert cpu.memory() == whole
    cgroup(memory_max=f"{GIB}\n")
    assert cpu.memory() == GIB
    assert cpu.fits(GIB // 80) == 10, "an eighth of it"


def test_free_memory_is_what_the_container_has_left(cgroup, cpu):
    free = cpu.free_memory()
    cgroup(memory_max=f"{GIB}\n", memory_current=f"{GIB // 4}\n")
    assert cpu.free_memory() == 3 * GIB // 4 < free
    cgroup(memory_max="max\n")
    assert cpu.free_memory() > GIB


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("50000 100000", 1), ("250000 100000", 3), ("200000 100000", 2), ("9000000 100000", 8)],
)
def test_cores_are_those_of_the_container(cgroup, monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert devices._usable_cores() == 8
    cgroup(cpu_max=quota)
    assert devices._usable_cores() == cores


@pytest.mark.parametrize(("bytes_each", "fit"), [(1, 625), (25, 25), (624, 1), (625, 1), (10**9, 1), (0, 625)])
def test_at_least_one_cutout_fits(bytes_each, fit):
    assert _Small(torch.device("cpu"), torch.float32, "small").fits(bytes_each) == fit


@pytest.fixture
def two_gpus(monkeypatch):
    """What torch says where there are two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"A Chip {device.index}")
    capability = {0: (7, 5), 1: (8, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability[device.index])


@pytest.mark.parametrize(
    ("name", "precision", "described"),
    [
        ("auto", "auto", "cuda:1 (A Chip 1), bf16"),
        ("cuda:0", "auto", "cuda:0 (A Chip 0), fp32"),
        ("cuda:0", "bf16", "cuda:0 (A Chip 0), bf16"),
        ("cuda:1", "fp32", "cuda:1 (A Chip 1), fp32"),
    ],
)
def test_a_gpu_computes_in_bf16_where_it_multiplies_in_it(two_gpus, name, precision, described):
    device = pick_device(name, precision)
    assert (str(device), device.is_cuda, device.records) == (described, True, True)


def test_the_only_gpu_needs_no_number(two_gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A Chip")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert str(pick_device("cuda")) == "cuda (A Chip), bf16"
    with pytest.raises(BadDeviceError, match="no device 'cuda:1'"):
        pick_device("cuda:1")


def test_memory_is_that_of_the_gpu_that_is_asked_for(two_gpus, monkeypatch):
    """Free is what nobody holds, and what torch holds without using it."""
    for name, bytes_of in {"memory_reserved": (30, 300), "memory_allocated": (10, 100)}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, held=bytes_of: held[device.index])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: ((1000, 10_000)[device.index], 50_000))
    whole = {0: SimpleNamespace(total_memory=40_000), 1: SimpleNamespace(total_memory=80_000)}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: whole[device.index])
    for name, free, memory in (("cuda:0", 1020, 40_000), ("cuda:1", 10_200, 80_000)):
        device = pick_device(name)
        assert (device.free_memory(), device.memory()) == (free, memory)
        assert device.fits(100) == 3 * memory // 1000


@pytest.mark.parametrize("name", ["cuda:2", "cuda:9"])
def test_a_gpu_beyond_the_last_is_not_there(two_gpus, name):
    with pytest.raises(BadDeviceError, match=f"no device '{name}'"):
        pick_device(name)


@pytest.mark.parametrize(("chip", "fast"), [({}, False), ({"amx_bf16": True}, True), ({"avx512_bf16": True}, True)])
def test_a_cpu_computes_in_bf16_where_it_multiplies_in_it(monkeypatch, chip, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "A Chip", **chip})
    device = pick_device("cpu")
    assert str(device) == f"cpu (A Chip), {'bf16' if fast else 'fp32'}"
    assert not device.records
    assert device.adam(0.1) == {"lr": 0.1}


def test_a_cpu_without_a_name_is_called_what_it_is(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert str(pick_device("cpu")) == "cpu (CPU), fp32"


def test_nothing_becomes_deterministic_unasked(cpu):
    pick_device("cpu")
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_constant_is_made_once():
    one = devices.constant((1.0, 2.0), torch.device("cpu"))
    assert one is devices.constant((1.0, 2.0), torch.device("cpu"))
    assert (one.tolist(), one.dtype) == ([1, 2], torch.float32)
