"""Super-resolution: a residual-in-residual dense network that enlarges four times (ESRGAN, Wang et al. 2018).

The tensors bear the names of Real-ESRGAN's published checkpoints (Wang et al. 2021), so that these load as they are;
the embedded network is a small one of the same kind.
"""

import re
import threading
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from engine.devices import Device

FACTOR = 4
RESIDUAL = 0.2  # of each branch's output (ESRGAN, section 3.1)
TILE, MARGIN = 192, 8  # pixels of the small picture that are enlarged at once, and around them to be seen


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees all before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Conv2d(features + i * growth, growth, 3, 1, 1) for i in range(4)
        )
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with what the branch adds."""
        seen = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), 0.2))
        return torch.add(x, self.conv5(torch.cat(seen, 1)), alpha=RESIDUAL)


class ResidualBlock(nn.Module):
    """Three dense blocks and a way around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with what the branch adds."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL)


class RRDBNet(nn.Module):
    """Map pictures (b, 3, h, w) in [0, 1] to (b, 3, 4 h, 4 w), about in [0, 1]."""

    def __init__(self, features: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, features, 3, 1, 1)
        self.body = nn.Sequential(*(ResidualBlock(features, growth) for _ in range(blocks)))
        self.conv_body, self.conv_up1, self.conv_up2, self.conv_hr = (
            nn.Conv2d(features, features, 3, 1, 1) for _ in range(4)
        )
        self.conv_last = nn.Conv2d(features, 3, 3, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Enlarge."""
        x = self.conv_first(pictures)
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2.0, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))


class Upscaler:
    """Enlarge pictures with one network on one device.

    `projected` makes the result agree with the small picture (one step of back-projection, Irani and Peleg 1991): a
    small network draws edges well and colours a little wrong.
    """

    def __init__(self, net: RRDBNet, device: Device, projected: bool = False) -> None:
        self.projected = projected
        self._net = net.to(device.torch_device, device.dtype, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
        self._device, self._dtype = device.torch_device, device.dtype
        self._net.requires_grad_(False)
        self._turn = threading.Lock()  # one picture at a time, or two would take the memory twice

    @torch.inference_mode()
    def enlarge(self, picture: Tensor) -> Tensor:
        """Map a picture (1, 3, h, w) in [0, 1] to (1, 3, 4 h, 4 w) in [0, 1], fp32, tile by tile."""
        height, width = picture.shape[-2:]
        original = picture
        picture = F.pad(picture, (MARGIN,) * 4, mode="replicate")  # or the rim would be drawn as on black
        result = picture.new_empty(1, 3, FACTOR * height, FACTOR * width, dtype=torch.float32)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                bottom, right = min(top + TILE, height), min(left + TILE, width)
                with self._turn:
                    made = self._run(picture[:, :, top : bottom + 2 * MARGIN, left : right + 2 * MARGIN])
                inside = made[:, :, FACTOR * MARGIN : -FACTOR * MARGIN, FACTOR * MARGIN : -FACTOR * MARGIN]
                result[:, :, FACTOR * top : FACTOR * bottom, FACTOR * left : FACTOR * right] = inside
        if self.projected:
            error = original - F.interpolate(result, (height, width), mode="area")
            result += F.interpolate(error, scale_factor=float(FACTOR), mode="bicubic")
        return result.clamp_(0, 1)

    def _run(self, seen: Tensor) -> Tensor:
        small = seen.to(self._device, self._dtype, memory_format=torch.channels_last)
        return self._net(small).float().to(seen.device)

    def enlarged(self, image: Image.Image, side: int) -> Image.Image:
        """Enlarge an image by the least whole factor that makes its longer side at least `side` pixels; 0: never."""
        factor = -(-side // max(image.size))
        if factor <= 1:
            return image
        values = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
        picture = values.view(1, image.height, image.width, 3).permute(0, 3, 1, 2).float() / 255
        made = self.enlarge(picture)[0].mul(255).round().byte().permute(1, 2, 0).contiguous()
        large = Image.fromarray(made.numpy())
        if factor == FACTOR:
            return large
        return large.resize((factor * image.width, factor * image.height), Image.Resampling.LANCZOS)


def build_upscaler(tensors: Mapping[str, Tensor], device: Device, projected: bool = False) -> Upscaler:
    """Build an upscaler whose sizes are those of the tensors, under Real-ESRGAN's names.

    Raise `RuntimeError` when a tensor is missing, left over or of another shape.
    """
    with torch.device("meta"):
        net = RRDBNet(**sizes_of(tensors))
    net.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=True, assign=True)
    return Upscaler(net, device, projected)


def sizes_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the network's arguments off its tensors."""
    blocks = {int(found[1]) for name in tensors if (found := re.match(r"body\.(\d+)\.", name))}
    try:
        growth, features = tensors["body.0.rdb1.conv1.weight"].shape[:2]
    except KeyError as error:
        raise RuntimeError("These are not the tensors of an RRDB network.") from error
    return {"features": features, "blocks": len(blocks), "growth": growth}
