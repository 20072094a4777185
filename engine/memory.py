"""How much work goes into memory at once."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

_NO_MEMORY = (
    *("can't allocate memory", "could not create a primitive", "could not create a memory", "bad_alloc"),
    *("can't start new thread", "unable to start watchdog thread"),  # there was none left for its stack
)


def saved_bytes(run: Callable[[], Tensor], besides: Iterable[Tensor]) -> int:
    """Return the bytes that `run` keeps for its backward pass, leaving out some tensors."""
    counted = {tensor.untyped_storage().data_ptr() for tensor in besides}
    total = 0

    def pack(tensor: Tensor) -> None:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in counted:
            counted.add(storage.data_ptr())
            total += storage.nbytes()
        # Nothing is packed: a node that saves its own output would hold itself for ever.

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed):
        run()
    return total


def out_of_memory(error: BaseException) -> bool:
    """Tell running out of memory from other errors; on CPUs torch and oneDNN raise a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(said in str(error) for said in _NO_MEMORY)


def even_chunks(count: int, most: int) -> list[slice]:
    """Deal `count` pieces out evenly into chunks of at most `most`."""
    size = math.ceil(count / math.ceil(count / most))
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
