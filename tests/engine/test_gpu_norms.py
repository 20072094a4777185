"""Our kernels against torch in float64: on a GPU, or on a CPU by Triton's interpreter where TRITON_INTERPRET=1 asks."""

import importlib.util
import os

import pytest
import torch
from torch.nn import functional as F

from engine import gpu_norms

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RUNS = importlib.util.find_spec("triton") is not None and (
    DEVICE == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
)
needs_triton = pytest.mark.skipif(not RUNS, reason="needs Triton, and a GPU or TRITON_INTERPRET=1")
LAST = torch.channels_last


def near(got, wanted, dtype, least=0.0):
    """Compare as wholes: the distance, over the length of what is wanted."""
    apart = (got.double() - wanted).norm() / max(wanted.norm().item(), least)
    assert apart < (8e-3 if dtype == torch.bfloat16 else 2e-5)


def drawn(shape, dtype, seed=0):
    torch.manual_seed(seed)
    channels = shape[1]
    x = torch.randn(shape) * 2 + torch.randn(1, channels, 1, 1)
    return [t.to(DEVICE, dtype) for t in (x, torch.randn(shape), *torch.randn(3, channels))]


def by_torch(x, grad, shift, weight, bias, groups, silu):
    given = x.double().requires_grad_()
    shifted = given if shift is None else given + shift.double().view(1, -1, 1, 1)
    out = F.group_norm(shifted, groups, weight.double(), bias.double(), 1e-6)
    out = F.silu(out) if silu else out
    return out.detach(), torch.autograd.grad(out, given, grad.double())[0]


SHAPES = [  # with the groups of each
    ((1, 128, 30, 41), 32),
    ((2, 64, 17, 5), 32),
    ((1, 192, 21, 13), 32),  # spans of 126 channels
    ((3, 96, 3, 7), 32),
    ((1, 512, 9, 9), 32),
    ((2, 24, 12, 12), 8),
    ((1, 16, 1, 1), 2),
]


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("held", [0, 16384])
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_norms_agree_with_torch(shape, groups, held, dtype, monkeypatch):
    monkeypatch.setattr(gpu_norms, "_HELD", held)
    monkeypatch.setattr(gpu_norms, "_TILE", 1024)
    gpu_norms._plan.cache_clear()
    for silu, shifted, layout in ((True, False, LAST), (False, True, torch.contiguous_format), (True, True, LAST)):
        x, grad, shift, weight, bias = drawn(shape, dtype)
        shift = shift if shifted else None
        out, mean, rstd = gpu_norms.group_norm(
            x.contiguous(memory_format=layout), shift, weight, bias, groups, 1e-6, silu
        )
        back = gpu_norms.group_norm_backward(grad, x, shift, weight, bias, mean, rstd, None, silu)
        joined = gpu_norms.group_norm_backward(grad, x, shift, weight, bias, mean, rstd, grad, silu)
        wanted, wanted_back = by_torch(x, grad, shift, weight, bias, groups, silu)
        near(out, wanted, dtype)
        near(back, wanted_back, dtype, least=1e-2 * float(grad.double().norm() * rstd.max()))
        near(joined, wanted_back + grad.double(), dtype)
        assert out.dtype == back.dtype == dtype
        assert out.is_contiguous(memory_format=LAST)
        assert back.is_contiguous(memory_format=LAST)
    gpu_norms._plan.cache_clear()


@needs_triton
def test_a_large_mean_costs_no_precision():
    x, grad, _, weight, bias = drawn((1, 64, 40, 40), torch.float32)
    out, *_ = gpu_norms.group_norm(x + 1000, None, weight, bias, 32, 1e-6, False)
    wanted, _ = by_torch(x + 1000, grad, None, weight, bias, 32, False)
    assert (out.double() - wanted).norm() / wanted.norm() < 1e-3  # x + 1000 itself is good to 6e-5


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [shape for shape, _ in SHAPES])
def test_a_sum_with_a_bias(shape, dtype):
    first, second, bias, *_ = drawn(shape, dtype)
    out = gpu_norms.add_with_bias(first.contiguous(memory_format=LAST), second, bias)
    near(out, first.double() + second.double() + bias.double().view(1, -1, 1, 1), dtype)
    assert out.is_contiguous(memory_format=LAST)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
@pytest.mark.parametrize(("side", "channels"), [(512, 128), (256, 256), (128, 256), (64, 512), (32, 512)])
def test_the_published_decoders_maps(side, channels):
    """Also twice the same to the last bit, whatever else the card does meanwhile."""
    x, grad, shift, weight, bias = drawn((1, channels, side, side), torch.bfloat16)
    x, grad = (t.contiguous(memory_format=LAST) for t in (x, grad))
    runs = []
    for _ in range(2):
        out, mean, rstd = gpu_norms.group_norm(x, shift, weight, bias, 32, 1e-6, True)
        runs.append((out, gpu_norms.group_norm_backward(grad, x, shift, weight, bias, mean, rstd, None, True)))
    for got, again, wanted in zip(*runs, by_torch(x, grad, shift, weight, bias, 32, True), strict=True):
        near(got, wanted, torch.bfloat16)
        assert torch.equal(got, again)


@pytest.mark.parametrize("processors", [1, 132])
@pytest.mark.parametrize(("shape", "groups"), [*SHAPES, ((1, 128, 512, 512), 32), ((16, 512, 64, 64), 32)])
def test_every_pixel_and_channel_is_some_program_s(shape, groups, processors, monkeypatch):
    monkeypatch.setattr(gpu_norms, "_HELD", 0)
    monkeypatch.setattr(gpu_norms, "_processors", lambda _: processors)
    pictures, channels, pixels = shape[0], shape[1], shape[2] * shape[3]
    plan = gpu_norms._plan.__wrapped__(pictures, channels, pixels, groups, torch.device("meta"))
    chunks, spans, planned = plan.grid
    _, _, per_group, span, chunk = plan.sizes
    assert (planned, per_group) == (pictures, channels // groups)
    assert (chunks - 1) * chunk < pixels <= chunks * chunk
    assert (spans - 1) * span < channels <= spans * span
    assert span % per_group == chunk % plan.options["ROWS"] == 0
    assert span <= plan.options["SPAN"]
    assert span // per_group <= plan.options["GROUPS"]
    assert chunks <= gpu_norms._PARTS


def test_shapes_are_known_without_a_gpu():
    x, weight = torch.empty(2, 64, 8, 6, device="meta"), torch.empty(64, device="meta")
    out, mean, rstd = gpu_norms.group_norm(x, None, weight, weight, 32, 1e-6, True)
    assert out.shape == x.shape
    assert out.is_contiguous(memory_format=LAST)
    assert mean.shape == rstd.shape == (2, 32)
    back = gpu_norms.group_norm_backward(out, x, None, weight, weight, mean, rstd, None, True)
    assert back.stride() == gpu_norms.add_with_bias(x, x, weight).stride() == out.stride()


def test_where_no_kernel_can_be_built_torch_s_are_used(monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(gpu_norms, "HAS_TRITON", True)
    monkeypatch.setattr(gpu_norms, "add_with_bias", broken)
    gpu_norms.try_out(torch.device("cpu"))
    assert not gpu_norms.HAS_TRITON
    assert "Failed to find C compiler." in caplog.text
