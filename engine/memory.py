"""How much work goes into memory at once."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from engine.cutouts import CutoutParams
from engine.devices import is_recording

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


class SeesCutouts(Protocol):
    """What sees cutouts, `at_once` of them at a time, and says so in its notices."""

    at_once: int
    notices: list[str]


_Guide = TypeVar("_Guide", bound=SeesCutouts)


def fewer_at_once(
    backward: Callable[[_Guide, Tensor, CutoutParams], Tensor],
) -> Callable[[_Guide, Tensor, CutoutParams], Tensor]:
    """Let a backward pass through the cutouts of pictures begin anew, half as many at once, where memory runs out.

    The cutouts are the same and so is the result. Nothing can be tried again while it is being recorded.
    """

    @functools.wraps(backward)
    def tried(guide: _Guide, pictures: Tensor, params: CutoutParams) -> Tensor:
        before = None if pictures.grad is None else pictures.grad.clone()
        while True:
            try:
                return backward(guide, pictures, params)
            except RuntimeError as error:
                if not out_of_memory(error) or guide.at_once == 1 or is_recording():
                    raise
            guide.at_once = math.ceil(min(guide.at_once, params.boxes.shape[:2].numel()) / 2)
            guide.notices.append(f"Memory ran short: the cutouts are now seen {guide.at_once} at a time.")
            pictures.grad = before if before is None else before.clone()

    return tried


def even_chunks(count: int, most: int) -> list[slice]:
    """Deal `count` pieces out evenly into chunks of at most `most`."""
    size = math.ceil(count / math.ceil(count / most))
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
