import numpy as np
from PIL import Image, ImageDraw

from training.scenes import COLOURS
from training.shapes import SIDE, coloured, read_shapes


def test_every_shape_has_names_pictures_and_a_colour_and_none_is_there_twice() -> None:
    shapes = read_shapes()
    names = [name for shape in shapes for name in shape.names]
    assert len(set(names)) == len(names) > 250
    assert all(shape.pictures and shape.colour in COLOURS for shape in shapes)


def test_gaps_inside_and_the_outline_are_dark() -> None:
    shape = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(shape)
    draw.rectangle((60, 60, 200, 200), fill=255)
    draw.rectangle((110, 110, 150, 150), fill=0)
    pixels = np.asarray(coloured(shape, (214, 40, 40)), np.int16)
    assert pixels[130, 130, 3] == 255  # the gap is part of the thing
    assert pixels[130, 130, 0] < 100 < pixels[130, 80, 0]
    assert pixels[59, 130, 3] > 100  # the outline lies around it
    assert pixels[59, 130, 0] < 100
    assert pixels[20, 20, 3] == 0
