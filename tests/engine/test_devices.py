"""Devices: named, refused in one sentence, and sized to memory."""

import os
import re
import subprocess
import sys

import pytest
import torch

from engine.devices import BadDeviceError, Device, pick_device
from engine.memory import even_chunks


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
for method in ("crops", "pooled"):
    spec = PaintingSpec.from_json('{"prompts":[{"content":"a red apple"}],"width":64,"height":64,"steps":4,'
        '"cutouts":{"count":8,"method":"%s"},"perceptors":["embedded"]}' % method)
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
    words = [sys.executable, "-c", DETERMINISTIC, str(tiny_models), name]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
