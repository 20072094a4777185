"""The painters that the settings ask for: a thread, processes, or a cluster's."""

import torch

from bot.settings import Settings, WorkerSettings
from bot.worker.painter import Callbacks
from bot.worker.pool import PainterPool, PoolCallbacks
from bot.worker.process import ProcessPainter
from bot.worker.ray_pool import RayPool
from bot.worker.thread import ThreadPainter


def make_pool(settings: Settings, callbacks: PoolCallbacks) -> PainterPool:
    """Make the painters that the settings ask for: one thread, several processes, or a cluster's."""
    if settings.worker.isolation == "ray":
        return RayPool(settings, callbacks)
    names = devices(settings.worker)
    if settings.worker.isolation == "thread" and len(names) == 1:
        alone = Callbacks(callbacks.on_event, callbacks.on_free, callbacks.on_device_lost)
        return PainterPool([ThreadPainter(_on(settings, names[0]), alone)])
    share = None if len(names) == 1 else max(1, torch.get_num_threads() // len(names))
    return PainterPool([ProcessPainter(_on(settings, name), callbacks.of_painters(), share) for name in names])


def devices(worker: WorkerSettings) -> list[str]:
    """Return the device of each painter: with `auto`, every GPU of this machine, unless `worker.device` names one."""
    if worker.painters != "auto":
        return list(worker.painters)
    if worker.device in ("auto", "cuda") and (count := torch.cuda.device_count()) > 1:
        return [f"cuda:{index}" for index in range(count)]
    return [worker.device]


def _on(settings: Settings, device: str) -> Settings:
    return settings.model_copy(update={"worker": settings.worker.model_copy(update={"device": device})})
