"""A step recorded as one CUDA graph: its thousand launches cost the host one."""

from collections.abc import Callable

import torch
from torch import Tensor

_AS_IT_IS = 2  # runs before the recording, on which memory, constants and cuDNN's choices settle
Results = list[tuple[Tensor, Tensor]]


class Recorder:
    """Run the same work again and again: a few times as it is, from then on as one CUDA graph."""

    def __init__(self, rng: torch.Generator) -> None:
        """Know the one generator that the work draws from; it goes on from where it stands, replayed or not."""
        self._rng = rng
        self.forget()

    def forget(self) -> None:
        """Begin anew: other work comes, or the same on other memory."""
        self._runs = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._results: Results = []

    def run(self, work: Callable[[], Results]) -> Results:
        """Run the work; what it returns is the caller's own.

        From run to run it has to launch the same on the same memory, read nothing from the device, and find on the
        device what changes.
        """
        self._runs += 1
        if self._runs <= _AS_IT_IS:
            return work()
        if self._graph is None:
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self._rng)
            with torch.cuda.graph(graph, stream=torch.cuda.Stream(self._rng.device)):
                self._results = work()
            self._graph = graph
        self._graph.replay()
        return [
            (first.clone(), second.clone()) for first, second in self._results
        ]  # the next replay writes there again
