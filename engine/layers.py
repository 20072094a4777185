"""Drop-in layers for the published networks: the same weights and results, less time and memory in the loop.

They assume frozen weights: no layer here computes a gradient for a parameter.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engine import gpu_norms
from engine.devices import Device, on_gpu


def fused(x: Tensor) -> bool:
    """Return whether our own kernels are there for x (`engine.gpu_norms`)."""
    return on_gpu(x) and gpu_norms.HAS_TRITON


class NormSilu(nn.Module):
    """Group norm, then SiLU unless without, keeping their common input alone for the backward pass."""

    def __init__(self, norm: nn.GroupNorm, *, silu: bool = True) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.groups, self.eps, self.silu = norm.num_groups, norm.eps, silu

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Map (b, c, h, w) to itself; a shift per channel, added first, only where `fused` says so."""
        if fused(x):
            return self.beside(x, shift)[0]
        if not self.silu:
            return F.group_norm(x, self.groups, self.weight, self.bias, self.eps)
        return _NormSilu.apply(x, self.weight, self.bias, self.groups, self.eps)  # type: ignore[no-any-return]

    def beside(self, x: Tensor, shift: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the normalised map and x for a shortcut past it, whose gradient joins in the norm's own last pass."""
        if not fused(x):
            return self(x), x
        return _FusedNorm.apply(x, shift, self.weight, self.bias, self.groups, self.eps, self.silu)  # type: ignore[no-any-return]


class _FusedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool
    ) -> tuple[Tensor, Tensor]:
        out, mean, rstd = gpu_norms.group_norm(x, shift, weight, bias, groups, eps, silu)
        ctx.save_for_backward(x, shift, weight, bias, mean, rstd)
        ctx.silu = silu
        ctx.set_materialize_grads(False)
        return out, x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None, None, None, None, None]:
        through, past = grads
        grad = past if through is None else gpu_norms.group_norm_backward(through, *ctx.saved_tensors, past, ctx.silu)
        return grad, None, None, None, None, None, None


class _NormSilu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        normed, mean, rstd = _group_norm(x, weight, bias, groups, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.eps = eps
        return F.silu(normed, inplace=True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        if on_gpu(x):
            return backward_by_torch(grads[0], x, weight, bias, mean, rstd, ctx.eps), None, None, None, None
        return backward_by_hand(grads[0], x, weight, bias, mean, rstd), None, None, None, None


def _group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the normalised x, the means and one over the deviations; on a GPU torch reads channels-first only."""
    batch, channels, height, width = x.shape
    laid_out = x.contiguous() if on_gpu(x) else x
    return torch.native_group_norm(laid_out, weight, bias, batch, channels, height * width, groups, eps)


def backward_by_torch(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, eps: float
) -> Tensor:
    """Return the gradient to x in three of torch's own steps: few launches, which is what counts on a GPU."""
    batch, channels, height, width = x.shape
    groups = mean.shape[1]
    normed = _group_norm(x, weight, bias, groups, eps)[0]
    inner = torch.ops.aten.silu_backward(grad.contiguous(), normed).contiguous()
    sizes = (batch, channels, height * width, groups)
    wanted = [True, False, False]
    return torch.ops.aten.native_group_norm_backward(inner, x.contiguous(), mean, rstd, weight, *sizes, wanted)[0]


def backward_by_hand(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    """Return the gradient to x in whole-tensor steps: torch's own for channels-last takes a CPU 2 to 3 times as long.

    Three whole-size tensors at most, the incoming gradient counted: they set a step's peak memory.
    """
    mean, rstd = mean.float()[..., None], rstd.float()[..., None]  # (b, groups, 1)
    by_group = (1, mean.shape[1], -1)
    scale = rstd * weight.float().view(by_group)  # normed = x * scale + shift
    shift = bias.float().view(by_group) - mean * scale

    def by_channel(values: Tensor) -> Tensor:
        return values.expand_as(scale).reshape(*x.shape[:2], 1, 1).to(x.dtype)

    inner = torch.addcmul(by_channel(shift), x, by_channel(scale))
    torch.ops.aten.silu_backward.grad_input(grad, inner, grad_input=inner)
    scratch = inner * x
    # With g = inner * weight: dx = rstd * (g - mean(g) - normalised x * mean(g * normalised x)), means by group.
    count = x[0].numel() / mean.shape[1]
    total = (_channel_sums(inner).view_as(scale) * scale).sum(2, keepdim=True) / count
    moment = (_channel_sums(scratch).view_as(scale) * scale).sum(2, keepdim=True) / count
    slope = rstd.square() * (mean * total - moment)
    torch.addcmul(by_channel(-slope * mean - total), x, by_channel(slope), out=scratch)
    return scratch.addcmul_(inner, by_channel(scale))


def _channel_sums(x: Tensor) -> Tensor:
    """Add up (b, c, h, w) over the picture to (b, c) fp32, as a matrix product, which is the fast way for bf16."""
    cells = x.permute(0, 2, 3, 1).flatten(1, 2)
    return (cells.new_ones(1, cells.shape[1]) @ cells).squeeze(1).float()


class Residual(nn.Module):
    """Do what taming's residual block does, from its layers."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1, self.conv1 = NormSilu(block.norm1), block.conv1
        self.norm2, self.conv2 = NormSilu(block.norm2), block.conv2
        self.shortcut: nn.Conv2d | None = getattr(block, "nin_shortcut", None)

    def forward(self, x: Tensor, temb: None = None) -> Tensor:
        """Map (b, c, h, w) to (b, c', h, w); VQGANs have no time embedding."""
        del temb
        if not fused(x):
            past = x if self.shortcut is None else self.shortcut(x)
            return past + self.conv2(self.norm2(self.conv1(self.norm1(x))))
        # On a GPU torch adds a convolution's bias in a pass of its own; here the next layer adds it as it reads.
        normed, past = self.norm1.beside(x)
        hidden = _without_bias(self.conv2, self.norm2(_without_bias(self.conv1, normed), self.conv1.bias))
        lift = self.conv2.bias
        if self.shortcut is not None:
            past, lift = _without_bias(self.shortcut, past), lift + self.shortcut.bias
        return _AddWithBias.apply(past, hidden, lift)  # type: ignore[no-any-return]


def _without_bias(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return conv._conv_forward(x, conv.weight, None)  # which heeds `padding_mode`


class _AddWithBias(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, bias: Tensor) -> Tensor:
        del ctx
        return gpu_norms.add_with_bias(first, second, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        del ctx
        return grads[0], grads[0], None


class Attention(nn.Module):
    """Attend over all positions of a map as taming's block does, from its layers.

    Spelled out: torch's fused attention takes 19 times as long for one head of 512 channels on a GPU, and 1.6 to 1.8
    times on a CPU (`python -m bench ways`).
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm = NormSilu(block.norm, silu=False)
        self.q, self.k, self.v, self.proj_out = block.q, block.k, block.v, block.proj_out

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to the same shape."""
        normed, past = self.norm.beside(x)
        query, key, value = (layer(normed).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        attended = _attend_plainly(query, key, value)
        return past + self.proj_out(attended.transpose(1, 2).reshape(x.shape))


class Upsample(nn.Module):
    """Double a map and convolve it, 3 x 3, as taming's block does, in one 2 x 2 convolution of the map as it is.

    In a doubled map every pixel stands twice, so that of the three rows that a window sees two are the same: an even
    row sees small rows i - 1, i and i again, an odd one i twice and i + 1. So each of the four kinds of pixels, even or
    odd in row and column, is a 2 x 2 convolution whose weights are sums of the block's: 4/9 of the products, and no
    doubled map to write and read. The same up to rounding.
    """

    weight: Tensor

    def __init__(self, block: Any) -> None:
        super().__init__()
        kernel = block.conv.weight
        rows = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])  # parity, row of 2, row of 3
        rows = rows.to(kernel.device, torch.float32)
        summed = torch.einsum("pir,qjs,ocrs->pqocij", rows, rows, kernel.float()).flatten(0, 2)
        self.weight, self.bias = nn.Parameter(summed, requires_grad=False), block.conv.bias
        self.wraps = False
        """Whether it sees, beyond each edge, what is at the opposite one."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, c, 2 h, 2 w)."""
        if self.wraps:
            kinds = F.conv2d(F.pad(x, (1, 1, 1, 1), "circular"), self.weight)
        else:
            kinds = F.conv2d(x, self.weight, padding=1)
        return _Interleave.apply(kinds, self.bias)  # type: ignore[no-any-return]


class _Interleave(torch.autograd.Function):
    """Put four kinds of pixels, (b, 4 c, h + 1, w + 1), in their places, (b, c, 2 h, 2 w), and add a bias."""

    @staticmethod
    def forward(ctx: Any, kinds: Tensor, bias: Tensor) -> Tensor:
        ctx.shape = kinds.shape
        batch, channels, height, width = len(kinds), kinds.shape[1] // 4, kinds.shape[2] - 1, kinds.shape[3] - 1
        whole = _empty(kinds, (batch, channels, 2 * height, 2 * width))
        for kind, (row, column) in zip(kinds.chunk(4, 1), _KINDS, strict=True):
            here = kind[:, :, row : row + height, column : column + width]
            torch.add(here, bias.view(-1, 1, 1), out=whole[:, :, row::2, column::2])
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        kinds = _empty(grad, ctx.shape).zero_()  # no pixel lies beyond the last row and column
        height, width = ctx.shape[2] - 1, ctx.shape[3] - 1
        for kind, (row, column) in zip(kinds.chunk(4, 1), _KINDS, strict=True):
            kind[:, :, row : row + height, column : column + width] = grad[:, :, row::2, column::2]
        return kinds, None


def _empty(like: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


_KINDS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Parities of row and column, in the order of `Upsample.weight`."""


class TowerBlock(nn.Module):
    """Do what CLIP's transformer block does without a mask, from its layers, batch first."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = block.ln_1, block.ln_2
        self.heads: int = block.attn.num_heads
        self.in_weight, self.in_bias = block.attn.in_proj_weight, block.attn.in_proj_bias
        self.out_proj = block.attn.out_proj
        # x * sigmoid(1.702 x) is silu(1.702 x) / 1.702; with the factors in the weights around it, two passes less.
        self.exact = isinstance(block.mlp.gelu, nn.GELU)
        factor = 1.0 if self.exact else 1.702
        self.up_weight = nn.Parameter(block.mlp.c_fc.weight * factor)
        self.up_bias = nn.Parameter(block.mlp.c_fc.bias * factor)
        self.down_weight, self.down_bias = nn.Parameter(block.mlp.c_proj.weight / factor), block.mlp.c_proj.bias

    def forward(self, x: Tensor, keep: int | None = None) -> Tensor:
        """Map (n, tokens, width) to itself, or only its first `keep` tokens."""
        qkv = F.linear(self.ln_1(x), self.in_weight, self.in_bias).unflatten(2, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        x = x[:, :keep] + self.out_proj(_attend(query[:, :, :keep], key, value).transpose(1, 2).flatten(2))
        hidden = F.linear(self.ln_2(x), self.up_weight, self.up_bias)
        hidden = F.gelu(hidden) if self.exact else F.silu(hidden)
        return x + F.linear(hidden, self.down_weight, self.down_bias)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend in the way that is fastest: on a CPU, torch's fused attention takes 5 times as long at 50 tokens."""
    if on_gpu(query):
        return F.scaled_dot_product_attention(query, key, value)
    return _attend_plainly(query, key, value)


def _attend_plainly(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return scores.softmax(-1) @ value


class VisionTower(nn.Module):
    """Do what CLIP's vision transformer does, from its layers, and compute in the last one only what is used."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.input_resolution: int = tower.input_resolution
        self.conv1, self.ln_pre, self.ln_post, self.proj = tower.conv1, tower.ln_pre, tower.ln_post, tower.proj
        self.class_embedding, self.positional_embedding = tower.class_embedding, tower.positional_embedding
        self.blocks = nn.ModuleList(TowerBlock(block) for block in tower.transformer.resblocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3, size, size) to (n, d)."""
        patch = self.conv1.kernel_size[0]
        patches = (
            x.unflatten(3, (-1, patch)).unflatten(2, (-1, patch)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        )
        # A convolution whose patches do not overlap is one matrix product; torch's backward for it is 20 times slower.
        tokens = F.linear(patches, self.conv1.weight.flatten(1))
        tokens = torch.cat([self.class_embedding.expand(len(x), 1, -1), tokens], dim=1) + self.positional_embedding
        tokens = self.ln_pre(tokens)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return self.ln_post(self.blocks[-1](tokens, keep=1)[:, 0]) @ self.proj


class AttentionPool(nn.Module):
    """Pool a ResNet tower's last map with one query, its mean; openai-clip 1.0.1 computes a query for every cell."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.num_heads: int = pool.num_heads
        self.positional_embedding = pool.positional_embedding
        self.q_proj, self.k_proj, self.v_proj, self.c_proj = pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, side, side) to (n, d)."""
        cells = x.flatten(2).transpose(1, 2)
        cells = torch.cat([cells.mean(1, keepdim=True), cells], dim=1) + self.positional_embedding
        cells = cells.contiguous()  # or each projection multiplies picture by picture, with a copy of its weights
        projected = (self.q_proj(cells[:, 0])[:, None], self.k_proj(cells), self.v_proj(cells))
        query, key, value = (t.unflatten(2, (self.num_heads, -1)) for t in projected)
        # One query: sums do, where matrix products would want every key transposed.
        weights = ((query * key).sum(3, keepdim=True) * query.shape[-1] ** -0.5).softmax(1)
        return self.c_proj((weights * value).sum(1).flatten(1))


def swap(network: nn.Module, old: type[nn.Module], new: Callable[[Any], nn.Module]) -> None:
    """Put `new(layer)` in the place of every layer of exactly the class `old`."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is old:
                setattr(parent, name, new(child))


def plain_layer_norm(norm: nn.LayerNorm) -> nn.LayerNorm:
    """Normalise in the tower's own type: torch adds up in fp32 inside, so CLIP's copy to fp32 gains nothing."""
    plain = nn.LayerNorm(list(norm.normalized_shape), norm.eps, device="meta")
    plain.load_state_dict(norm.state_dict(), assign=True)
    return plain


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each frozen batch norm of a CLIP ResNet into the convolution before it; only for networks in eval mode."""
    for parent in list(network.modules()):
        children = dict(parent.named_children())
        pairs = [(name, name.replace("conv", "bn")) for name in children if name.startswith("conv")]
        if "-1" in children:  # a shortcut: pool, convolution "0", batch norm "1"
            pairs = [("0", "1")]
        for conv_name, norm_name in pairs:
            conv, norm = children[conv_name], children.get(norm_name)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, nn.Identity())


def place(network: Any, device: Device, dtype: torch.dtype) -> None:
    """Move a network, its convolutions channels-last: measured 5 times faster than channels-first in bf16 on a CPU."""
    network.to(device.torch_device, dtype)
    network.to(memory_format=torch.channels_last)
    if device.is_cuda:
        gpu_norms.try_out(device.torch_device)
