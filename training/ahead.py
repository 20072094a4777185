"""Batches made ahead of their step by other processes, so that a GPU does not wait for what a CPU has to say."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset

Made = TypeVar("Made")


class _Maker(Dataset[Made], Generic[Made]):
    def __init__(self, make: Callable[[int], Made]) -> None:
        self.make = make

    def __getitem__(self, step: int) -> Made:
        return self.make(step)


def made_ahead(make: Callable[[int], Made], first: int, last: int, workers: int) -> Iterator[Made]:
    """Yield `make(step)` for each step from `first` to before `last`, in order, made by so many processes; 0 for none.

    What is made should depend on the step alone; then it is the same with any number of processes, and after a restart.
    """
    options = {"multiprocessing_context": "fork", "prefetch_factor": 6} if workers else {}
    loader = DataLoader(
        _Maker(make),
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        worker_init_fn=lambda _: torch.set_num_threads(1),
        **options,  # pyright: ignore[reportArgumentType]
    )
    return cast("Iterator[Made]", iter(loader))
