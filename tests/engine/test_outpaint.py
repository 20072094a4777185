"""A picture in a larger canvas: it stays, its colours go on around it, and only what is new may be painted."""

import torch
from PIL import Image

from engine.models import ModelStore
from engine.outpaint import extended
from engine.painting import Painting
from engine.pictures import read_picture
from engine.prompts import Prompt
from engine.spec import Cutouts, Extend, PaintingSpec


def test_the_picture_lies_where_it_should_and_its_colours_go_on():
    image = Image.new("RGB", (32, 32), "red")
    image.paste("blue", (0, 16, 32, 32))
    canvas, new = extended(image, Extend(left=0.5, up=0.25, right=0.5, down=0.25), (48, 64), torch.device("cpu"))
    assert canvas.shape == (1, 3, 48, 64)
    assert new[..., 8:40, 16:48].max() == 0
    assert new.sum() == 48 * 64 - 32 * 32
    top, bottom = canvas[0, :, 2, 32], canvas[0, :, -3, 32]
    assert top[0] > 0.9 > 0.1 > top[2]
    assert bottom[2] > 0.9 > 0.1 > bottom[0]


def test_only_what_is_new_is_painted(tmp_path, tiny_models, cpu):
    path = tmp_path / "old.png"
    Image.effect_noise((32, 32), 90).convert("RGB").save(path)
    spec = PaintingSpec(
        prompts=(Prompt(content="a cat"),), init_image=str(path), extend=Extend(right=1.0), width=64, height=32,
        steps=4, cutouts=Cutouts(count=2),
    )  # fmt: skip
    painting = Painting(spec, ModelStore(tmp_path, cpu, embedded=tiny_models))
    before = painting.picture()
    for _ in painting:
        pass
    after = painting.picture()
    old = read_picture(path)
    kept = (0, 0, 32 - 2, 32)  # the seam is soft
    assert after.crop(kept).tobytes() == before.crop(kept).tobytes() == old.crop(kept).tobytes()
    assert after.crop((40, 0, 64, 32)).tobytes() != before.crop((40, 0, 64, 32)).tobytes()
