"""What an edit keeps and what it moves away from: in which direction, and how much."""

import math

import pytest
import torch
from PIL import Image

from engine.edit import TOWARDS, DirectionalLoss, Edit, EmbeddingKept
from engine.losses import PIXELS, pixels_apart
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import BadSpecError, Cutouts

EAST, NORTH, UP = torch.eye(3)
SQUARE_ANGLE = (math.pi / 2) ** 2 / 2
"""The spherical distance of two of them."""
LEFT, RIGHT, MIDDLE = ([0.0, 0, 8, 8], [8.0, 0, 8, 8], [4.0, 0, 8, 8])


def directional(mask):
    return DirectionalLoss(EAST[None], Edit(torch.zeros(1, 3, 8, 16), mask))


def right_half():
    mask = torch.zeros(1, 1, 8, 16)
    mask[..., 8:] = 1
    return mask


def loss_of(loss, seen, unchanged, box):
    return float(loss(seen.view(1, 1, 3), unchanged.view(1, 1, 3), torch.tensor([[box]])))


def test_a_directional_edit_leaves_the_old_words():
    """What looks like the old words costs more than what does not, by 1.25 times their distance."""
    loss = directional(None)
    assert loss_of(loss, EAST, EAST, LEFT) == pytest.approx(0, abs=1e-5)
    assert loss_of(loss, NORTH, NORTH, LEFT) == pytest.approx(-TOWARDS * SQUARE_ANGLE, abs=1e-4)


@pytest.mark.parametrize(("box", "kept"), [(LEFT, 1.0), (MIDDLE, 0.5), (RIGHT, 0.0)])
def test_a_cutout_is_kept_as_far_as_it_may_not_change(box, kept):
    changed = loss_of(directional(right_half()), NORTH, UP, box)
    away = loss_of(directional(None), NORTH, UP, box)
    assert changed - away == pytest.approx(kept * SQUARE_ANGLE, abs=1e-4)


@pytest.mark.parametrize(("box", "kept"), [(LEFT, 1.0), (MIDDLE, 0.5), (RIGHT, 0.0)])
def test_an_embedding_is_kept_outside_of_the_mask(box, kept):
    loss = EmbeddingKept(right_half(), 2.0)
    assert loss_of(loss, NORTH, UP, box) == pytest.approx(2 * kept * SQUARE_ANGLE, abs=1e-4)
    assert loss_of(loss, UP, UP, box) == pytest.approx(0, abs=1e-5)


def test_pixels_are_held_to_the_original_of_each_picture():
    pictures = torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.5)])
    assert pixels_apart(pictures, torch.zeros(1, 3, 4, 4)).tolist() == pytest.approx([0, PIXELS * 0.25])


def test_what_may_not_change_comes_back_at_every_size():
    original, painted = torch.full((1, 3, 8, 16), 0.25), torch.ones(2, 3, 8, 16)
    edit = Edit(original, right_half())
    for scale in (1, 2):
        pictures = edit.put_back(torch.nn.functional.avg_pool2d(painted, scale))
        half = pictures.shape[-1] // 2
        assert (pictures[..., :half] == 0.25).all()
        assert (pictures[..., half:] == 1).all()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edit")
    ramp = Image.linear_gradient("L").resize((48, 32))
    Image.merge("RGB", (ramp, ramp.rotate(180), ramp)).save(folder / "photo.png")
    mask = Image.new("L", (48, 32), 0)
    mask.paste(255, (16, 0, 48, 32))
    mask.save(folder / "mask.png")
    return {"init_image": str(folder / "photo.png"), "mask": str(folder / "mask.png")}


def test_no_gradient_reaches_what_may_not_change(tiny_models, cpu, files):
    """The latent itself stays there (paper section 2.5): what is put back hides what has become of it."""
    store = ModelStore(tiny_models, cpu, embedded=tiny_models)
    small = {"width": 48, "height": 32, "steps": 3, "clamp_latent": False, "cutouts": Cutouts(count=4)}
    painting = Painting(spec_from_preset((Prompt(content="a red apple"),), "paper", **small, **files), store)
    list(painting)
    columns = 16 // painting._vqgan.factor
    moved = painting.z - painting._z_orig
    assert (moved[..., :columns] == 0).all()
    assert (moved[..., columns:].abs().amax(1) > 0.01).all()


def test_an_edit_stays_nearer_to_the_pixels_it_is_held_to(tiny_models, cpu, files):
    store = ModelStore(tiny_models, cpu, embedded=tiny_models)
    small = {"width": 48, "height": 32, "steps": 6, "cutouts": Cutouts(count=8), "init_image": files["init_image"]}
    spec = spec_from_preset((Prompt(content="a red apple"),), "paper", **small)
    apart = []
    for weight in (0, 10):
        painting = Painting(spec.but(init_pixels=weight), store)
        list(painting)
        edit = painting._edit
        assert edit is not None
        apart.append(float(pixels_apart(painting._synthesise(painting._codewords()), edit.original)))
    assert apart[1] < 0.9 * apart[0]


def test_what_perceptors_see_is_held_too_and_counts_beside_the_prompts(tiny_models, cpu, files):
    store = ModelStore(tiny_models, cpu, embedded=tiny_models)
    small = {"width": 48, "height": 32, "steps": 6, "cutouts": Cutouts(count=8), "init_image": files["init_image"]}
    spec = spec_from_preset((Prompt(content="a red apple"),), "paper", **small)
    free, held = (next(Painting(spec.but(init_embedding=weight), store)).losses for weight in (0, 10))
    assert held[0] == free[0]
    assert held[-1] > free[-1]


def test_nothing_is_held_where_there_is_no_picture():
    with pytest.raises(BadSpecError, match="the picture that an edit starts from"):
        spec_from_preset((Prompt(content="a red apple"),), init_pixels=1)
