"""The Ray driver with actors that paint with the tiny networks, which lie in the folder of the models."""

import functools
from multiprocessing.connection import Connection

import bot.worker.thread
from bot.settings import Settings
from bot.worker.ray_actor import PaintingActor
from engine.devices import Device
from engine.models import ModelStore


class TinyActor(PaintingActor):
    def ready(self, settings: Settings, code: str) -> Device:
        tiny = functools.partial(ModelStore, embedded=settings.models.folder)
        bot.worker.thread.ModelStore = tiny  # type: ignore[misc]
        return super().ready(settings, code)


def drive(pipe: Connection, settings: Settings) -> None:
    from bot.worker import ray_driver

    ray_driver.main(pipe, settings, TinyActor)
