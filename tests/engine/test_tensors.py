"""Pictures as tensors: every value comes back, and what lies between two is rounded."""

import pytest
import torch
from PIL import Image

from engine.tensors import image_of, tensor_of

CPU = torch.device("cpu")


def test_every_value_of_every_channel_comes_back():
    image = Image.frombytes("RGB", (32, 8), bytes(range(256)) * 3)
    picture = tensor_of(image, CPU)
    assert picture.shape == (1, 3, 8, 32)
    assert (picture.min(), picture.max()) == (0, 1)
    assert image_of(picture[0]).tobytes() == image.tobytes()


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_pixels_are_where_they_were(mode, channels):
    image = Image.new(mode, (5, 3))
    image.putpixel((4, 1), (255,) * channels if channels > 1 else 255)
    picture = tensor_of(image, CPU)
    assert picture.shape == (1, channels, 3, 5)
    assert picture.sum() == channels
    assert (picture[0, :, 1, 4] == 1).all()


@pytest.mark.parametrize(
    ("value", "byte"),
    [(-0.2, 0), (0.0, 0), (0.4 / 255, 0), (0.6 / 255, 1), (99.6 / 255, 100), (254.4 / 255, 254), (1.0, 255), (7, 255)],
)
def test_what_lies_between_is_rounded_and_what_lies_beyond_is_cut_off(value, byte):
    image = image_of(torch.full((3, 2, 4), value))
    assert (image.size, image.mode) == ((4, 2), "RGB")
    assert image.getpixel((3, 1)) == (byte,) * 3
