"""Which painters there are."""

import pytest

from bot.settings import WorkerSettings
from bot.worker.painters import devices, make_pool
from bot.worker.pool import PoolCallbacks
from bot.worker.process import ProcessPainter
from bot.worker.thread import ThreadPainter


@pytest.mark.parametrize(
    ("worker", "gpus", "wanted"),
    [
        ({}, 0, ["auto"]),
        ({}, 1, ["auto"]),
        ({}, 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ({"device": "cuda"}, 2, ["cuda:0", "cuda:1"]),
        ({"device": "cuda:1"}, 2, ["cuda:1"]),
        ({"device": "cpu"}, 2, ["cpu"]),
        ({"painters": ["cuda:1", "cpu"]}, 2, ["cuda:1", "cpu"]),
        ({"painters": "cuda:1"}, 2, ["cuda:1"]),
    ],
)
def test_auto_is_every_gpu_unless_a_device_is_named(monkeypatch, worker, gpus, wanted):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert devices(WorkerSettings(**worker)) == wanted


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, [ThreadPainter]),
        ({"isolation": "process"}, [ProcessPainter]),
        ({"painters": ("cpu",)}, [ThreadPainter]),
        ({"painters": ("cpu", "cpu")}, [ProcessPainter, ProcessPainter]),
    ],
)
def test_several_painters_are_processes(settings, changes, kinds):
    chosen = settings.model_copy(update={"worker": settings.worker.model_copy(update=changes)})
    pool = make_pool(chosen, PoolCallbacks(print, print, print, print))
    assert [type(painter) for painter in pool.painters] == kinds
    assert not pool.alive
