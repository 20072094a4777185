"""What an edit keeps and what it moves away from: in which direction, and how much."""

import math

import pytest
import torch
from PIL import Image

from engine.edit import TOWARDS, DirectionalLoss, Edit, EmbeddingKept, choose, detail_of, read_edit
from engine.losses import pixels_apart
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import BadSpecError, Cutouts, Extend, PaintingSpec

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


@pytest.mark.parametrize(("strength", "kept"), [(0.1, 1.0), (0.7, 1.0), (0.85, 0.5), (0.97, 0.1), (1.0, 0.0)])
def test_the_freer_an_edit_the_less_of_the_lost_detail_is_kept(tiny_models, cpu, strength, kept):
    vqgan = ModelStore(tiny_models, cpu, embedded=tiny_models).generator("embedded")
    pictures = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    z = vqgan.encode(pictures)
    lost = pictures - vqgan.decode(vqgan.quantise(z)).clamp(0, 1)
    torch.testing.assert_close(detail_of(pictures, z, vqgan, strength), kept * lost)
    outside = 5 * torch.randn(1, vqgan.channels, 8, 8, generator=torch.Generator().manual_seed(2))
    assert detail_of(pictures, outside, vqgan, 0.5).abs().max() <= 1, "what a decoder makes of any latent is a picture"


def test_lost_detail_is_added_before_the_original_is_put_back():
    original, painted, detail = torch.full((1, 3, 8, 16), 0.25), torch.full((2, 3, 8, 16), 0.5), 0.3
    edit = Edit(original, right_half())
    pictures = edit.put_back(painted, torch.full((2, 3, 8, 16), detail))
    assert torch.allclose(pictures[..., 8:], torch.tensor(0.8))
    assert (pictures[..., :8] == 0.25).all()
    assert (edit.put_back(painted, torch.ones(2, 3, 8, 16))[..., 8:] == 1).all(), "and stays in range"


def test_each_picture_begins_with_the_start_that_scores_lowest():
    starts = [torch.full((1, 3, 2, 2), value) for value in (0.1, 0.5, 0.9)]
    seen = []

    def score(pictures):
        seen.append(float(pictures.mean()))
        return (pictures.mean((1, 2, 3)) - torch.tensor([0.8, 0.2, 0.5])).abs()

    assert choose(starts, 3, score).mean((1, 2, 3)).tolist() == pytest.approx([0.9, 0.1, 0.5])
    assert len(seen) == 3
    assert choose(starts[:1], 2, score).shape == (2, 3, 2, 2)
    assert len(seen) == 3, "the only one is not judged"


@pytest.mark.parametrize(
    ("changes", "may_change"),
    [
        ({}, None),
        ({"mask_text": "left"}, [1, 1, 0, 0]),
        ({"mask": "mask"}, [0, 1, 1, 1]),
        ({"mask_text": "right", "prompts": (Prompt(content="a", where="outside"),)}, None),
    ],
)
def test_what_may_change_is_what_the_spec_says(tiny_models, cpu, files, changes, may_change):
    vqgan = ModelStore(tiny_models, cpu, embedded=tiny_models).generator("embedded")
    given = {"prompts": (Prompt(content="a"),), "init_image": files["init_image"], "edit_start": "original", **changes}
    if "mask" in given:
        given["mask"] = files["mask"]
    edit = read_edit(PaintingSpec.checked(**given), vqgan, (32, 48), [], None)
    assert edit is not None
    assert torch.equal(edit.starts[0], edit.original)
    assert edit.original.shape == (1, 3, 32, 48)
    if may_change is None:
        assert edit.mask is None
    else:
        assert edit.mask is not None
        middles = edit.mask[0, 0, 16, [5, 20, 28, 42]]
        assert middles.tolist() == may_change
    assert (edit.region is not None) is bool(changes)
    without = PaintingSpec.checked(prompts=(Prompt(content="a"),))
    assert read_edit(without, vqgan, (32, 48), [], None) is None


def test_an_extended_canvas_may_change_where_it_is_new(tiny_models, cpu, files):
    vqgan = ModelStore(tiny_models, cpu, embedded=tiny_models).generator("embedded")
    spec = PaintingSpec.checked(
        prompts=(Prompt(content="a"),), init_image=files["init_image"], extend=Extend(right=1.0), width=96, height=32
    )
    edit = read_edit(spec, vqgan, (32, 96), [], None)
    assert edit is not None
    assert edit.mask is not None
    row = edit.mask[0, 0, 16].tolist()
    assert (row[:46], row[50:]) == ([0] * 46, [1] * 46), "soft over two pixels on either side"
    assert 0 < row[46] < row[49] < 1
    assert torch.equal(edit.starts[0], edit.original)
