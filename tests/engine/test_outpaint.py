"""A picture in a larger canvas: it stays, its colours go on around it, and only what is new may be painted."""

import pytest
import torch
from PIL import Image

from engine.edit import Edit
from engine.masks import soften
from engine.models import ModelStore
from engine.outpaint import Seam, extended
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


PANS = [Extend(left=0.5), Extend(down=0.5), Extend(left=2.0, up=0.25), Extend(left=0.5, up=0.5, right=0.5, down=0.5)]


@pytest.mark.parametrize("extend", PANS)
def test_a_canvas_takes_its_colours_from_the_border_alone(extend):
    image = Image.new("RGB", (64, 64), "red")
    image.paste("blue", (16, 16, 48, 48))
    size = tuple(round(64 * (1 + more)) for more in (extend.up + extend.down, extend.left + extend.right))
    canvas, new = extended(image, extend, (size[0], size[1]), torch.device("cpu"))
    around = canvas[0, :, new[0, 0] == 1]
    assert around[0].min() > 0.98, "no black where nothing is near"
    assert around[2].max() < 0.02, "nor a mixture with what lies inside"


@pytest.mark.parametrize("extend", PANS)
def test_no_border_is_seen_where_another_colour_was_painted(extend):
    image = Image.new("RGB", (64, 64), "red")
    size = tuple(round(64 * (1 + more)) for more in (extend.up + extend.down, extend.left + extend.right))
    canvas, new = extended(image, extend, (size[0], size[1]), torch.device("cpu"))
    edit = Edit(canvas, soften(new, 4), seam=Seam(new))
    painted = torch.zeros_like(canvas)
    painted[:, 2] = 1
    shown = edit.put_back(painted)
    assert torch.equal(shown[..., new[0, 0] == 0], canvas[..., new[0, 0] == 0])
    across, down = shown.diff(dim=-1).abs().max(), shown.diff(dim=-2).abs().max()
    assert max(float(across), float(down)) < 0.07, "where nothing mends it, it is 0.11"
    far = torch.nn.functional.max_pool2d(1 - new, 2 * 33 + 1, 1, 33) == 0
    assert torch.equal(shown[far.expand_as(shown)], painted[far.expand_as(shown)]), "what is far is as painted"


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
