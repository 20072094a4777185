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
    left_out = {tensor.untyped_storage().data_ptr() for tensor in besides}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> None:
        # Not the tensor is held, since a node that saves its own output would hold itself for ever, but its memory:
        # another one in the same place would be taken for it.
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed):
        run()
    return sum(storage.nbytes() for place, storage in kept.items() if place not in left_out)


def out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; on CPUs torch and oneDNN raise a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(said in str(error) for said in _NO_MEMORY)


def even_chunks(count: int, most: int) -> list[slice]:
    """Deal `count` pieces out evenly into chunks of at most `most`."""
    size = math.ceil(count / math.ceil(count / most))
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
