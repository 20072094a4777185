"""The drop-in layers against the packages' own, in fp32, forward and backward."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from engine import gpu_norms, layers, third_party
from engine.layers import (
    Attention,
    AttentionPool,
    NormSilu,
    Residual,
    Upsample,
    VisionTower,
    backward_by_hand,
    backward_by_torch,
    fold_batch_norms,
    plain_layer_norm,
    swap,
)


def _agree(ours, theirs, x, rtol=1e-5):
    """Compare results and gradients to x, for a gradient of random values."""
    outs, grads = [], []
    for network in (ours, theirs):
        leaf = x.clone().requires_grad_()
        out = network(leaf)
        out.backward(torch.linspace(-1, 1, out.numel(), device=out.device).reshape(out.shape))
        outs.append(out.detach())
        grads.append(leaf.grad)
    torch.testing.assert_close(outs[0], outs[1], rtol=rtol, atol=rtol)
    torch.testing.assert_close(grads[0], grads[1], rtol=10 * rtol, atol=rtol * grads[1].abs().max().item())


def _frozen(module):
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.requires_grad_(False).eval()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_norm_silu(memory_format):
    norm = _frozen(nn.GroupNorm(8, 32, eps=1e-6))
    x = (torch.randn(2, 32, 6, 5) * 3 + 1).contiguous(memory_format=memory_format)
    _agree(NormSilu(norm), lambda t: norm(t) * torch.sigmoid(norm(t)), x)


def test_both_ways_back_agree():
    x, gradient = torch.randn(2, 32, 6, 5) * 3 + 1, torch.randn(2, 32, 6, 5)
    weight, bias = torch.randn(32), torch.randn(32)
    _, mean, rstd = torch.native_group_norm(x, weight, bias, 2, 32, 30, 8, 1e-6)
    by_hand = backward_by_hand(gradient, x, weight, bias, mean, rstd)
    by_torch = backward_by_torch(gradient, x, weight, bias, mean, rstd, 1e-6)
    torch.testing.assert_close(by_hand, by_torch, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("triton", [True, False])
def test_layers_on_a_gpu(triton, monkeypatch):
    """With our kernels, and with torch's where there is no Triton."""
    monkeypatch.setattr(gpu_norms, "HAS_TRITON", triton and gpu_norms.HAS_TRITON)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    x = (torch.randn(2, 32, 6, 5) * 3 + 1).cuda().contiguous(memory_format=torch.channels_last)
    norm = _frozen(nn.GroupNorm(8, 32, eps=1e-6)).cuda()
    block = _frozen(third_party.ResnetBlock(in_channels=32, out_channels=64, dropout=0, temb_channels=0)).cuda()
    attention = _frozen(third_party.AttnBlock(32)).cuda()
    _agree(NormSilu(norm), lambda t: nn.functional.silu(norm(t)), x)
    _agree(NormSilu(norm, silu=False), norm, x)
    _agree(Residual(block), lambda t: block(t, None), x, rtol=1e-4)
    _agree(Attention(attention), attention, x, rtol=1e-3)
    upsample = _frozen(third_party.Upsample(32, with_conv=True)).cuda()
    _agree(Upsample(upsample), upsample, x, rtol=1e-4)


def test_norm_silu_in_bf16_follows_fp32():
    norm = _frozen(nn.GroupNorm(8, 32, eps=1e-6))
    x = torch.randn(1, 32, 16, 16, requires_grad=True)
    gradient = torch.randn_like(x)
    (wanted,) = torch.autograd.grad(nn.functional.silu(norm(x)), x, gradient)
    half = x.detach().bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    (got,) = torch.autograd.grad(NormSilu(norm.bfloat16())(half), half, gradient.bfloat16())
    assert torch.cosine_similarity(got.float().flatten(), wanted.flatten(), dim=0) > 0.999


@pytest.mark.parametrize("channels", [(32, 32), (32, 64)])
def test_residual(channels):
    block = _frozen(
        third_party.ResnetBlock(in_channels=channels[0], out_channels=channels[1], dropout=0, temb_channels=0)
    )
    _agree(Residual(block), lambda x: block(x, None), torch.randn(2, 32, 5, 4))


def test_attention():
    block = _frozen(third_party.AttnBlock(32))
    _agree(Attention(block), block, torch.randn(2, 32, 5, 4))


def test_upsample():
    block = _frozen(third_party.Upsample(16, with_conv=True))
    _agree(Upsample(block), block, torch.randn(2, 16, 5, 4))


def test_upsample_takes_fewer_products():
    block = _frozen(third_party.Upsample(16, with_conv=True))
    flops = []
    for network in (Upsample(block), block):
        with FlopCounterMode(display=False) as counter:
            network(torch.randn(1, 16, 31, 31))
        flops.append(counter.get_total_flops())
    assert flops[0] < 0.5 * flops[1]


def test_vision_tower():
    theirs = _frozen(third_party.VisionTransformer(32, 8, 128, 3, 2, 16))
    x = torch.rand(2, 3, 32, 32)
    ours = VisionTower(theirs)
    swap(ours, third_party.ClipLayerNorm, plain_layer_norm)
    _agree(ours.requires_grad_(False), theirs, x)


def test_attention_pool():
    pool = _frozen(third_party.AttentionPool2d(3, 32, 4, 16))
    _agree(AttentionPool(pool), pool, torch.randn(2, 32, 3, 3))


def test_folded_batch_norms():
    theirs = _frozen(third_party.CLIP(16, 32, [1, 2, 1, 1], 8, None, 8, 10, 16, 2, 1).visual)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x = torch.rand(2, 3, 32, 32)
    wanted = theirs(x)
    fold_batch_norms(theirs)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in theirs.modules())
    torch.testing.assert_close(theirs(x), wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


def _reference(x, shift, weight, bias, groups, eps, silu):
    shifted = x if shift is None else x + shift[:, :, None, None]
    normed = F.group_norm(shifted, groups, weight, bias, eps)
    return F.silu(normed) if silu else normed


@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("with_shift", [True, False])
def test_a_fused_norm_hands_its_own_kernels_what_they_need(monkeypatch, silu, with_shift):
    """On a GPU; here what they do is done by torch."""
    handed = []

    def forward(x, shift, weight, bias, groups, eps, silu):
        return _reference(x, shift, weight, bias, groups, eps, silu), torch.zeros(1), torch.ones(1)

    def backward(grad, x, shift, weight, bias, mean, rstd, past, silu):
        handed.append((mean, rstd))
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (found,) = torch.autograd.grad(_reference(x, shift, weight, bias, 2, 1e-5, silu), x, grad)
        return found if past is None else found + past

    monkeypatch.setattr(layers, "fused", lambda _: True)
    monkeypatch.setattr(layers.gpu_norms, "group_norm", forward)
    monkeypatch.setattr(layers.gpu_norms, "group_norm_backward", backward)
    rng = torch.Generator().manual_seed(1)
    norm = nn.GroupNorm(2, 4, eps=1e-5).requires_grad_(False)
    norm.weight.copy_(torch.rand(4, generator=rng))
    norm.bias.copy_(torch.rand(4, generator=rng))
    x = torch.randn(2, 4, 3, 5, generator=rng)
    shift = torch.randn(2, 4, generator=rng) if with_shift else None
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    module = layers.NormSilu(norm, silu=silu)
    out, past = module.beside(ours, shift)
    wanted = _reference(theirs, shift, norm.weight, norm.bias, 2, 1e-5, silu)
    torch.testing.assert_close(out, wanted)
    assert torch.equal(past, x)
    (out.sin().sum() + past.cos().sum()).backward()
    (wanted.sin().sum() + theirs.cos().sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    (mean, rstd), *others = handed
    assert (mean.tolist(), rstd.tolist(), others) == ([0], [1], [])
    alone = x.clone().requires_grad_()
    module.beside(alone, shift)[1].sum().backward()
    assert alone.grad is not None
    assert torch.equal(alone.grad, torch.ones_like(x)), "only past it"
    torch.testing.assert_close(module(x, shift), wanted.detach())
