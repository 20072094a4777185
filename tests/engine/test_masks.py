"""Masks: soft inwards only, counted exactly, and found from words."""

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from engine import masks
from engine.masks import (
    Spots,
    feather,
    find_by_crops,
    find_region,
    integral,
    place,
    read_region,
    share_inside,
    soften,
    to_latent,
)
from engine.perceptors import Perceptor
from engine.prompts import Prompt
from engine.spec import PLACES, PaintingSpec


def disc(size=64, radius=20):
    at = torch.arange(size) - size / 2 + 0.5
    return ((at[:, None].square() + at.square()) < radius**2).float()[None, None]


def test_feathering_softens_a_narrow_rim_inwards_only():
    hard = disc()
    soft = feather(hard, 1)
    assert (soft[hard == 0] == 0).all()
    inner = -F.max_pool2d(-hard, 3, 1, 1)
    assert (soft[inner > 0] == 1).all()
    rim = soft[(hard > 0) & (inner == 0)]
    assert (rim >= 1 / 3).all()
    assert rim.mean() > 0.5


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_feathering_is_the_mean_of_a_square(radius):
    mask = F.interpolate(torch.rand(1, 1, 9, 12, generator=torch.Generator().manual_seed(2)), (40, 56), mode="bicubic")
    mask = (mask > 0.5).float()
    mean = F.avg_pool2d(F.pad(mask, (radius,) * 4, mode="replicate"), 2 * radius + 1, stride=1)
    torch.testing.assert_close(feather(mask, radius), mean.minimum(mask))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_feathering_leaves_a_uniform_mask_alone(value):
    mask = torch.full((1, 1, 40, 56), value)
    assert torch.allclose(feather(mask, 2), mask)


def test_a_latent_cell_may_change_where_any_of_its_pixels_may():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., :8] = 0.25
    cells = to_latent(mask, (2, 2))
    assert cells[0, 0].tolist() == [[1, 0], [1, 0]]


def test_shares_are_what_counting_pixels_says():
    mask = (torch.rand(1, 1, 40, 60, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    boxes = torch.tensor([[0, 0, 60, 40], [5, 7, 11, 13], [59, 39, 1, 1]]).float()
    counted = [mask[0, 0, int(y) : int(y + h), int(x) : int(x + w)].mean() for x, y, w, h in boxes]
    assert share_inside(integral(mask), boxes).tolist() == pytest.approx([float(c) for c in counted], abs=1e-4)


class ColourPerceptor(Perceptor):
    """A perceptor that knows one thing, the mean colour: enough to be asked where the red is."""

    def __init__(self):
        nn.Module.__init__(self)
        self.size = 16
        self.logit_scale = 20.0
        self.finds_by = "crops"

    def encode_text(self, texts):
        colours = {"red": (1.0, 0, 0), "blue": (0, 0, 1.0)}
        return torch.tensor([colours[text] for text in texts])

    def encode_image(self, cutouts):
        return F.normalize(cutouts.mean((2, 3)), dim=-1)


@pytest.mark.parametrize(("words", "side"), [("red", 0), ("blue", 1)])
def test_the_region_of_the_words_is_found(words, side):
    picture = torch.zeros(1, 3, 64, 96)
    picture[:, 0, :, :48] = 1
    picture[:, 2, :, 48:] = 1
    mask = find_region(picture, words, [ColourPerceptor()])
    halves = [mask[..., :48].mean(), mask[..., 48:].mean()]
    assert halves[side] > 0.7
    assert halves[1 - side] < 0.3


def test_the_same_seed_finds_the_same_region():
    picture = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(3))
    regions = [find_by_crops(picture, "red", [ColourPerceptor()], torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*regions)


def test_the_self_mask_is_the_notebooks(monkeypatch):
    """Its sums start at one, as if each pixel had been seen once before, with the value 1; it cuts whole bytes."""
    monkeypatch.setattr(masks, "CROPS", 256)
    picture, perceptor = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(3)), ColourPerceptor()
    rng = torch.Generator().manual_seed(1)
    pixel_sum, samples_per_pixel = torch.ones(48, 64), torch.ones(48, 64)
    for widest in (0.4, 0.25):
        for x, y, side in masks._draw_squares(picture.shape[-2:], widest, rng):
            crop = masks._resize(picture[..., y : y + side, x : x + side], perceptor.size)
            similarity = perceptor.logit_scale * perceptor.encode_image(crop)[0] @ perceptor.encode_text(["red"])[0]
            pixel_sum[y : y + side, x : x + side] += similarity.exp()
            samples_per_pixel[y : y + side, x : x + side] += 1
    heat = pixel_sum / samples_per_pixel
    levels = (((heat - heat.min()) / heat.max()) ** 2 * 255).byte().float()
    expected = (levels >= levels[levels.nonzero(as_tuple=True)].mean()).float()
    found = find_by_crops(picture, "red", [perceptor], torch.Generator().manual_seed(1))
    assert 0.05 < expected.mean() < 0.95
    assert (found[0, 0] == expected).float().mean() > 0.995  # a value may round to the byte beside


def test_what_hardly_resembles_the_words_does_not_lower_the_threshold():
    """The published cut is at the mean of what is above zero *in 8 bits*: a faint trace everywhere is nothing there."""
    picture = torch.zeros(1, 3, 96, 96)
    picture[:, 2] = 1
    picture[:, 0, 40:56, 40:56], picture[:, 2, 40:56, 40:56] = 1, 0
    mask = find_region(picture, "red", [ColourPerceptor()])
    assert mask[..., 44:52, 44:52].mean() > 0.9
    assert mask.mean() < 0.028  # the thing's own share; by the mean of all that is above zero it would be 0.038


def test_places_are_halves_and_the_middle():
    assert {name: place(name, 8, 16).mean().item() for name in PLACES} == {
        "left": 0.5, "right": 0.5, "top": 0.5, "bottom": 0.5, "middle": 0.25,
    }  # fmt: skip
    assert place("left", 8, 16)[..., :8].min() == 1
    assert place("bottom", 8, 16)[..., :4, :].max() == 0


def test_cutouts_count_by_how_much_of_them_lies_inside():
    spots = Spots(place("left", 32, 32))
    boxes = torch.tensor([[[0.0, 0, 16, 16], [16, 16, 16, 16], [8, 0, 16, 16], [0, 0, 32, 32]]])
    assert spots.shares(boxes, (32, 32), "everywhere") is None

    def shares(boxes, size, where):
        found = spots.shares(boxes, (size, size), where)
        assert found is not None
        return found.tolist()

    assert shares(boxes, 32, "inside") == [[2, 0, 1, 1]]
    assert shares(boxes, 32, "outside") == [[0, 2, 1, 1]]
    assert shares(boxes / 2, 16, "inside") == [[2, 0, 1, 1]], "at another size"


def test_softening_reaches_as_far_out_as_in():
    hard = place("left", 16, 32)
    soft = soften(hard, 2)
    assert soft.shape == hard.shape
    assert soft[0, 0, 5].tolist()[12:20] == pytest.approx([1, 1, 0.8, 0.6, 0.4, 0.2, 0, 0], abs=1e-6)
    assert (soft[..., :13] == 1).all(), "also at the picture's edge"


def test_a_drawn_mask_is_read_at_the_paintings_size(tmp_path):
    drawn = Image.new("L", (16, 8), 0)
    drawn.paste(255, (0, 0, 4, 8))
    drawn.save(tmp_path / "mask.png")
    asked = {"prompts": (Prompt(content="a"),), "init_image": "a.png"}
    drawn_spec = PaintingSpec.checked(**asked, mask=str(tmp_path / "mask.png"))
    mask = read_region(drawn_spec, 2, 4, torch.device("cpu"))
    assert mask[0, 0].tolist() == [[1, 0, 0, 0]] * 2
    halves = read_region(PaintingSpec.checked(**asked, mask_text="left"), 2, 4, torch.device("cpu"))
    assert halves[0, 0].tolist() == [[1, 1, 0, 0]] * 2


@pytest.mark.parametrize(("share", "sides"), [(0.4, (19, 38)), (0.1, (8, 9)), (3.0, (96, 96))])
def test_squares_are_between_half_and_all_of_a_share_and_lie_everywhere_inside(share, sides):
    squares = [
        square
        for seed in range(20)
        for square in masks._draw_squares(torch.Size((96, 200)), share, torch.Generator().manual_seed(seed))
    ]
    assert (min(s for _, _, s in squares), max(s for _, _, s in squares)) == pytest.approx(sides, abs=1)
    assert min(x for x, _, _ in squares) == min(y for _, y, _ in squares) == 0
    assert max(x + s for x, _, s in squares) == 200
    assert max(y + s for _, y, s in squares) == 96
