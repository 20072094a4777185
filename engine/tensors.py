"""Pictures as tensors, and back."""

import torch
from PIL import Image
from torch import Tensor


def tensor_of(image: Image.Image, device: torch.device) -> Tensor:
    """Turn an 8-bit image into (1, channels, h, w) in [0, 1]."""
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.view(1, image.height, image.width, -1).permute(0, 3, 1, 2).to(device).float() / 255


def image_of(picture: Tensor) -> Image.Image:
    """Turn (3, h, w) in [0, 1] into an RGB image."""
    values = picture.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous().cpu()
    return Image.fromarray(values.numpy())
