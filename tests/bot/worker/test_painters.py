"""Which painters there are."""

# pyright: reportAttributeAccessIssue=false

import pytest

from bot.settings import WorkerSettings
from bot.worker.painters import devices, make_pool
from bot.worker.pool import PoolCallbacks
from bot.worker.process import ProcessPainter
from bot.worker.ray_pool import RayPool
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


def test_each_painter_has_its_device_and_share_of_the_processor(settings, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    told = []
    callbacks = PoolCallbacks(*(lambda *what, name=name: told.append((name, *what)) for name in "efjd"))
    worker = settings.worker.model_copy(update={"painters": ("cuda:0", "cpu", "cuda:1"), "hang_seconds": 10.0})
    pool = make_pool(settings.model_copy(update={"worker": worker}), callbacks)
    assert [painter._settings.worker.device for painter in pool.painters] == ["cuda:0", "cpu", "cuda:1"]
    assert [painter._threads for painter in pool.painters] == [2, 2, 2]
    pool.painters[0]._callbacks.on_lost("job")
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    few = make_pool(settings.model_copy(update={"worker": worker}), callbacks)
    assert few.painters[0]._threads == 1
    alone = settings.worker.model_copy(update={"painters": ("cuda:1",), "isolation": "process"})
    (process,) = make_pool(settings.model_copy(update={"worker": alone}), callbacks).painters
    assert (process._settings.worker.device, process._threads) == ("cuda:1", None), "all that torch takes"
    (thread,) = make_pool(settings, callbacks).painters
    thread._callbacks.on_lost("job")
    thread._callbacks.on_free()
    thread._callbacks.on_event(1, 2)  # pyright: ignore[reportArgumentType]
    assert told == [("j", "job"), ("d", "job"), ("f",), ("e", 1, 2)], "only a new process can go on with a lost device"


def test_a_cluster_s_painters_come_when_they_are_ready(settings):
    worker = settings.worker.model_copy(update={"isolation": "ray"})
    pool = make_pool(settings.model_copy(update={"worker": worker}), PoolCallbacks(print, print, print, print))
    assert isinstance(pool, RayPool)
    assert pool._settings.worker.isolation == "ray"
    assert pool.painters == []
