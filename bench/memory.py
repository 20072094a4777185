"""What a step needs of a GPU's memory, counted without one: the step runs on tensors that have shapes but no values.

The count is of tensors alive at once, networks included; what cuDNN and the allocator take besides, it does not see.
It lies above what a computed step holds: tensors without values are released later (at 256 x 256 on a CPU by a fifth).
"""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from bench.architectures import RandomModels
from bench.setting import Setting
from engine import devices, gpu_norms, layers
from engine.cutouts import sampling
from engine.devices import Device
from engine.painting import Painting


class Alive(TorchDispatchMode):
    """Count the bytes of all tensors that operations return, as long as they live."""

    def __init__(self, besides: Sequence[Tensor] = ()) -> None:
        """Begin with some tensors, which live throughout."""
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()
        self._besides = besides
        for tensor in besides:
            self._see(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation and look at what it returns."""
        del types
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._see, result)
        return result

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@dataclass(frozen=True)
class Need:
    """Bytes."""

    networks: int
    """Weights."""
    peak: int
    """Of a whole step, weights included."""


def count(setting: Setting, like: Literal["gpu", "cpu"], dtype: torch.dtype, together: int = 1) -> Need:
    """Count what a step of some pictures needs, taken the way that a GPU or a CPU takes; nothing is computed."""
    device = Device(torch.device("cpu"), dtype, like)
    models = RandomModels(device)
    spec = setting.spec()
    perceptors = [models.perceptor(choice.name) for choice in spec.perceptors]
    for perceptor in perceptors:
        perceptor.encode_text([prompt.content for prompt in spec.prompts])  # looks at values; remembered from here on
    networks = [models.generator(spec.generator), *perceptors]
    weights = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    with (
        FakeTensorMode(allow_non_fake_inputs=True) as fake,
        Alive([fake.from_tensor(tensor) for tensor in weights]) as alive,
        mock.patch.object(devices, "_constant", devices._constant.__wrapped__),  # what has no values is not to be kept
        mock.patch.object(layers, "on_gpu", return_value=like == "gpu"),
        mock.patch.object(sampling, "on_gpu", return_value=like == "gpu"),
        mock.patch.object(gpu_norms, "HAS_TRITON", new=True),
    ):
        painting = Painting(spec.but(count=together), models)
        for guide in painting._guides:
            guide.at_once = setting.cutouts * together
        for _ in range(2):  # Adam's moments are there from the second on
            next(painting)
    return Need(sum(tensor.nbytes for tensor in weights), alive.peak)


def table(settings: Sequence[Setting]) -> Iterator[str]:
    """Count at several sizes, one picture and four; yield the rows of a Markdown table."""
    yield "| picture | precision | pictures | weights, GiB | step on a GPU, GiB | counted for a CPU, GiB |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for setting in settings:
        for dtype, together in ((torch.bfloat16, 1), (torch.bfloat16, 4), (torch.float32, 1)):
            gpu, cpu = (count(setting, like, dtype, together) for like in ("gpu", "cpu"))
            numbers = " | ".join(f"{value / 2**30:.2f}" for value in (gpu.networks, gpu.peak, cpu.peak))
            yield f"| {setting.size} x {setting.size} | {str(dtype).removeprefix('torch.')} | {together} | {numbers} |"
