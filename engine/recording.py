"""A step recorded as one CUDA graph: its thousand launches cost the host one."""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from engine.memory import out_of_memory

_AS_IT_IS = 2  # runs before the recording, on which memory, constants and cuDNN's choices settle
Results = tuple[Tensor, Tensor]


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return the one stream of this process that records: cuBLAS keeps a workspace for each stream it has met."""
    return torch.cuda.Stream(device)


class Recorder:
    """Run the same work again and again: a few times as it is, from then on as one CUDA graph."""

    def __init__(self, rngs: Sequence[torch.Generator]) -> None:
        """Know the generators that the work draws from; they go on from where they stand, replayed or not."""
        self._rngs = rngs
        self._fits = True
        self.forget()

    def forget(self) -> None:
        """Begin anew: other work comes, or the same on other memory."""
        self._runs = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._results: Results | None = None

    def run(self, work: Callable[[], Results]) -> Results:
        """Run the work; what it returns is the caller's own.

        From run to run it has to launch the same on the same memory, read nothing from the device, and find on the
        device what changes. Work that does not fit into memory a second time, for the recording, is run as it is.
        """
        self._runs += 1
        if self._graph is None and self._fits and self._runs > _AS_IT_IS:
            self._record(work)
        if self._graph is None or self._results is None:
            return work()
        self._graph.replay()
        first, second = self._results
        return first.clone(), second.clone()  # the next replay writes there again

    def _record(self, work: Callable[[], Results]) -> None:
        graph = torch.cuda.CUDAGraph()
        before = [rng.get_state() for rng in self._rngs]
        for rng in self._rngs:
            graph.register_generator_state(rng)
        try:
            with torch.cuda.graph(graph, stream=_stream(self._rngs[0].device)):
                self._results = work()
            self._graph = graph
        except RuntimeError as error:
            if not out_of_memory(error) and not (error.__context__ and out_of_memory(error.__context__)):
                raise  # the context: where ending the recording fails too, that is what is raised
            self._fits = False
            for rng, state in zip(self._rngs, before, strict=True):
                rng.set_state(state)
