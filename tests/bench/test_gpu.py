"""The one command for a machine lent for minutes: all but its race, which has its own test, on networks of no size."""

import functools

import pytest
import torch

from bench import memory, stages
from bench.gpu import PARTS, Scale, everything
from bench.setting import Setting
from bench.ways import in_turn, of_gpu

HEADINGS = ("A whole picture", "Stages", "Kernels", "Ways", "Several pictures", "Memory")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """What has a size of its own is small here too."""
    monkeypatch.setattr("bench.together.SHIPPED", Setting(32, 2, "embedded", "embedded", "draft"))
    monkeypatch.setitem(stages.MATRIX, "cpu", 64)
    count = memory.count
    once = functools.cache(lambda setting, like: count(setting, like, torch.float32))
    monkeypatch.setattr("bench.memory.count", lambda setting, like, *_: once(setting, like))  # of six in the table


def test_every_part_measures_something():
    scale = Scale(Setting(32, 2, "tiny", "tiny"), picture=2, batches=(2,), rounds=1, parts=PARTS[1:])
    text = "\n".join(everything(scale, peers=[]))
    assert "failed" not in text
    sections = text.split("\n### ")[1:]
    assert [section.startswith(part) for section, part in zip(sections, HEADINGS, strict=True)] == [True] * len(
        HEADINGS
    )
    assert all(section.count("\n|") >= 3 for section in sections)  # a head, a rule and at least one row


def test_a_part_that_fails_says_so_and_the_rest_goes_on(monkeypatch):
    def broken(*_):
        raise RuntimeError("no such kernel")

    for name in ("race", "stages", "kernels", "ways", "both_pairs"):
        monkeypatch.setattr(f"bench.gpu.{name}", broken)
    scale = Scale(Setting(32, 2, "tiny", "tiny"), picture=1, parts=PARTS[:-1])
    text = "\n".join(everything(scale, peers=[]))
    assert text.count("failed: RuntimeError: no such kernel") == 5
    assert "| launched, next picture |" in text


def test_what_only_a_gpu_is_asked_runs_everywhere(cpu):
    ways = list(of_gpu(cpu, Setting(64, 2, "tiny", "tiny")))
    assert len(ways) >= 8
    assert all(min(in_turn(cpu, way, rounds=1)) > 0 for way in ways)
