"""Group norm, with SiLU or without, on a GPU in channels-last memory, where torch's own reads channels-first only.

Each way is two passes, each one launch: the first leaves two numbers per group from every chunk of pixels, the second
puts them together and writes the result. A group that one program can hold takes a single launch. Every sum has a
fixed order and is in fp32. The kernels need Triton, which torch's builds for NVIDIA's GPUs bring along.
"""

import importlib.util
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

HAS_TRITON = torch.version.cuda is not None and importlib.util.find_spec("triton") is not None
log = logging.getLogger(__name__)
_HELD = 16384  # values of a group that one program holds as a whole
_TILE = 8192  # values that a program holds at a time in its loop: 16 KiB of bf16
_CHANNELS = 128  # of a tile
_PARTS = 256  # chunks at most: every program of the second pass reads what all chunks of its picture have left
_GROUPS = 32  # of a tile at least: fewer kernels to compile
_RESIDENT = {"num_warps": 8, "maxnreg": 128}  # two programs of a loop on a processor at once


@dataclass(frozen=True)
class _Plan:
    """Say how a map is dealt out to programs: chunks of pixels, spans of channels that are whole groups, pictures."""

    held: bool
    """Whether a program holds a whole group."""
    grid: tuple[int, ...]
    sizes: tuple[int, ...]
    """Pixels, channels, channels of a group; then, of a loop, channels of a span, pixels of a chunk."""
    options: dict[str, int]


@cache
def _plan(pictures: int, channels: int, pixels: int, groups: int, device: torch.device) -> _Plan:
    per_group = channels // groups
    rows, width = _power_of_2(pixels), _power_of_2(per_group)
    if rows * width <= _HELD:
        options = {"ROWS": rows, "SPAN": width, "num_warps": min(16, max(1, rows * width // 512))}
        return _Plan(True, (groups, pictures), (pixels, channels, per_group), options)
    span = min(channels, max(1, _CHANNELS // per_group) * per_group)
    width, spans = _power_of_2(span), math.ceil(channels / span)
    rows = max(1, _TILE // width)
    chunks = max(1, min(_PARTS, 2 * _processors(device) // (pictures * spans)))
    chunk = math.ceil(pixels / chunks / rows) * rows
    options = {"ROWS": rows, "SPAN": width, "GROUPS": max(_GROUPS, _power_of_2(span // per_group))}
    sizes = (pixels, channels, per_group, span, chunk)
    return _Plan(False, (math.ceil(pixels / chunk), spans, pictures), sizes, {**options, **_RESIDENT})


def _power_of_2(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _plan_for(x: Tensor, groups: int) -> _Plan:
    return _plan(x.shape[0], x.shape[1], x.shape[2] * x.shape[3], groups, x.device)


def _channels_last(*maps: Tensor) -> list[Tensor]:
    return [one.contiguous(memory_format=torch.channels_last) for one in maps]


def _group_norm(
    x: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    kernels = _kernels()
    (x,) = _channels_last(x)
    plan, out = _plan_for(x, groups), torch.empty_like(x)
    mean = x.new_empty(x.shape[0], groups, dtype=torch.float32)
    rstd = torch.empty_like(mean)
    with torch.cuda.device_of(x):
        if plan.held:
            given = (x, shift, weight, bias, out, mean, rstd, *plan.sizes, eps)
            kernels.hold[plan.grid](*given, SILU=silu, **plan.options)
        else:
            parts = mean.new_empty(x.shape[0], plan.grid[0], 2, groups)
            kernels.measure[plan.grid](x, shift, parts, *plan.sizes, **plan.options)
            given = (x, shift, weight, bias, parts, out, mean, rstd, *plan.sizes, eps)
            kernels.apply[plan.grid](*given, SILU=silu, PARTS=_PARTS, **plan.options)
    return out, mean, rstd


def _group_norm_backward(
    grad: Tensor,
    x: Tensor,
    shift: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    past: Tensor | None,
    silu: bool,
) -> Tensor:
    kernels = _kernels()
    grad, x = _channels_last(grad, x)
    past = None if past is None else past.contiguous(memory_format=torch.channels_last)
    plan, out = _plan_for(x, mean.shape[1]), torch.empty_like(x)
    given = (grad, x, shift, weight, bias, mean, rstd)
    with torch.cuda.device_of(x):
        if plan.held:
            kernels.hold_back[plan.grid](*given, past, out, *plan.sizes, SILU=silu, **plan.options)
        else:
            parts = mean.new_empty(x.shape[0], plan.grid[0], 2, mean.shape[1])
            kernels.measure_back[plan.grid](*given, parts, *plan.sizes, SILU=silu, **plan.options)
            given = (*given, past, parts, out, *plan.sizes)
            kernels.apply_back[plan.grid](*given, SILU=silu, PARTS=_PARTS, **plan.options)
    return out


def _add_with_bias(first: Tensor, second: Tensor, bias: Tensor) -> Tensor:
    kernels = _kernels()
    first, second = _channels_last(first, second)
    out, channels = torch.empty_like(first), first.shape[1]
    rows, span = out.numel() // channels, min(_CHANNELS, _power_of_2(channels))
    tile = {"ROWS": _TILE // 2 // span, "SPAN": span}
    with torch.cuda.device_of(out):
        grid = (math.ceil(rows / tile["ROWS"]), math.ceil(channels / span))
        kernels.add[grid](first, second, bias, out, rows, channels, **tile)
    return out


def _kernels() -> Any:
    from engine import gpu_kernels  # only here: where there is no Triton, nothing asks for them

    return gpu_kernels


def _fake_group_norm(x: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor, groups: int, *_: object) -> Any:
    del shift, weight, bias
    mean = x.new_empty(x.shape[0], groups, dtype=torch.float32)
    return torch.empty_like(x, memory_format=torch.channels_last), mean, torch.empty_like(mean)


def _fake_group_norm_backward(grad: Tensor, x: Tensor, *_: object) -> Tensor:
    del grad
    return torch.empty_like(x, memory_format=torch.channels_last)


def _fake_add_with_bias(first: Tensor, second: Tensor, bias: Tensor) -> Tensor:
    del second, bias
    return torch.empty_like(first, memory_format=torch.channels_last)


_library = torch.library.Library("vqgan_clip_bot", "DEF")


def _operation(run: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Make an operation of torch's own, so that torch.compile sees one thing with a shape, not the kernels inside.

    By hand: what `torch.library.custom_op` makes takes 20 us more per call.
    """
    name = run.__name__.removeprefix("_")
    _library.define(name + torch.library.infer_schema(run, mutates_args=()))
    _library.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"{_library.ns}::{name}", fake)
    return getattr(getattr(torch.ops, _library.ns), name).default


group_norm = _operation(_group_norm, _fake_group_norm)
"""Normalise x (b, c, h, w) plus a shift per channel, then SiLU if wanted.

Return it, channels-last, and, for the backward pass, the means and one over the deviations, (b, groups) fp32 each.
"""
group_norm_backward = _operation(_group_norm_backward, _fake_group_norm_backward)
"""Return the gradient to x of what `group_norm` returned first, channels-last; weight and bias get none."""
add_with_bias = _operation(_add_with_bias, _fake_add_with_bias)
"""Add two maps (b, c, h, w) and a bias per channel, channels-last."""


def try_out(device: torch.device) -> None:
    """Do without the kernels where they cannot be built: Triton wants a C compiler and Python's headers, too."""
    global HAS_TRITON  # noqa: PLW0603 - what is found out here is so for the process
    if not HAS_TRITON:
        return
    try:
        small = torch.zeros(1, 1, 1, 1, device=device)
        add_with_bias(small, small, small.view(1))
    except Exception as error:  # whatever it is, torch's own kernels do the same
        HAS_TRITON = False
        log.warning("Triton cannot build kernels here, so torch's own are used: %s", error)
