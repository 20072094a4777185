"""The painting process's main function with the tiny networks, and with a fault when one is asked for."""

import functools
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch

import bot.worker.process
import bot.worker.runner
import bot.worker.thread
from bot.settings import Settings
from engine.models import ModelStore
from engine.painting import Iterate, Painting

run = bot.worker.process.main


class Faulty(Painting):
    """Hang once and lose the device once: files in a folder show the next process what has happened already."""

    marks: Path

    def __next__(self) -> Iterate:
        if self.step == 30 and self._is_new("hang"):
            time.sleep(600)
        if self.step == 35 and self._is_new("device"):
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return super().__next__()

    def _is_new(self, fault: str) -> bool:
        mark = self.marks / fault
        if mark.exists():
            return False
        mark.touch()
        return True


def main(models: Path, faults: Path | None, pipe: Connection, settings: Settings, threads: int | None = None) -> None:
    """Paint with the networks in `models`; `faults` is the folder of those that happened already, None: none do."""
    bot.worker.thread.ModelStore = functools.partial(ModelStore, embedded=models)  # type: ignore[misc]
    if faults is not None:
        Faulty.marks = faults
        bot.worker.runner.Painting = Faulty  # type: ignore[misc]
    run(pipe, settings, threads)
