"""The fast cutouts against kornia's chain: equal parameters give nearly equal pixels, many draws equal statistics."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bench.kornia_cutouts import KorniaCutter, KorniaParams, kornia_chain
from engine.cutouts import CutoutParams, Cutter, sampling
from engine.cutouts.colour import colour_change, draw_colour, recolour
from engine.cutouts.geometry import draw_affine, draw_boxes, homography_to_square
from engine.cutouts.sampling import pool, shifted
from engine.spec import Augmentations, Cutouts

SIZE = 64
CHAINS: tuple[type[Cutter], type[KorniaCutter]] = (Cutter, KorniaCutter)
STILL = Augmentations(flip=0, affine=0, perspective=0, jitter=0, noise=0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth_picture(height=96, width=128, seed=0):
    coarse = torch.rand(1, 3, 6, 8, generator=rng(seed))
    return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True).clamp(0, 1)


def still_draw(cutter, picture, **changes):
    """Draw nothing but whole pictures, changed only as given."""
    draw = Cutter(cutter.cutouts, STILL, cutter.size).draw(picture.shape[-2], picture.shape[-1], [rng()])
    return CutoutParams(**{**vars(draw), **{name: values[None] for name, values in changes.items()}})


def normalised(matrix, size):
    """Turn kornia's picture-to-cutout matrix, in pixels, into our cutout-to-picture one, in -1 to 1."""
    half = size / 2
    to_pixels = torch.tensor([[half, 0, half - 0.5], [0, half, half - 0.5], [0, 0, 1]])
    return to_pixels.inverse() @ matrix.inverse() @ to_pixels


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_the_same_affine_gives_the_same_pixels(padding):
    numbers = STILL.model_copy(update={"affine": 1.0, "degrees": 30.0, "shear": 5.0, "padding": padding})
    picture = smooth_picture(SIZE, SIZE)
    chain = kornia_chain(numbers)
    torch.manual_seed(3)
    theirs = chain(picture.expand(8, -1, -1, -1))
    cutter = Cutter(Cutouts(count=8), numbers, SIZE)
    draw = still_draw(cutter, picture, affine=normalised(chain.transform_matrix, SIZE))
    ours = cutter.cut(picture, draw)[0]
    assert (ours - theirs).abs().mean() < 0.01


def test_the_same_perspective_gives_the_same_pixels():
    numbers = STILL.model_copy(update={"perspective": 1.0, "distortion": 0.7})
    picture = smooth_picture(SIZE, SIZE)
    chain = kornia_chain(numbers)
    torch.manual_seed(4)
    theirs = chain(picture.expand(8, -1, -1, -1))
    cutter = Cutter(Cutouts(count=8), numbers, SIZE)
    draw = still_draw(cutter, picture, perspective=normalised(chain.transform_matrix, SIZE))
    ours = cutter.cut(picture, draw)[0]
    covered = lambda cut: (cut.sum(1) > 0).float().mean()  # noqa: E731
    assert (ours - theirs).abs().mean() < 0.01
    assert covered(ours).item() == pytest.approx(covered(theirs).item(), abs=0.02)  # theirs has soft edges


@pytest.mark.parametrize(
    ("amounts", "apart"),
    # Hue turns about the grey axis where kornia keeps the largest channel: near in effect, not in every pixel.
    [({"brightness": 0.3}, 0.1), ({"contrast": 0.3}, 0.1), ({"saturation": 0.3}, 0.1), ({"hue": 0.05}, 0.95)],
)
def test_the_same_jitter_gives_nearly_the_same_colours(amounts, apart):
    numbers = STILL.model_copy(update={"jitter": 1.0, "saturation": 0.0, "hue": 0.0, **amounts})
    picture = smooth_picture(SIZE, SIZE)
    chain = kornia_chain(numbers)
    torch.manual_seed(5)
    theirs = chain(picture.expand(8, -1, -1, -1))
    params: Any = next(p.data for p in chain._params or () if "ColorJitter" in p.name)
    colour, lift = colour_change(
        params["brightness_factor"], params["contrast_factor"], params["saturation_factor"], params["hue_factor"]
    )
    cutter = Cutter(Cutouts(count=8), numbers, SIZE)
    ours = cutter.cut(picture, still_draw(cutter, picture, colour=colour, lift=lift))[0]
    assert (ours - theirs).abs().mean() < 0.02
    assert (ours - theirs).abs().mean() < apart * (theirs - picture).abs().mean()
    assert F.cosine_similarity((ours - picture).flatten(), (theirs - picture).flatten(), dim=0) > 0.7


def test_crops_alone_agree_with_plain_cropping_and_resizing():
    picture = smooth_picture(160, 200)
    numbers = (Cutouts(count=12, overview=2), STILL, SIZE)
    fast, plain = Cutter(*numbers), KorniaCutter(*numbers)
    draw = fast.draw(160, 200, [rng(1)])
    same_boxes = KorniaParams(boxes=draw.boxes, seed=0)
    assert (fast.cut(picture, draw) - plain.cut(picture, same_boxes)).abs().mean() < 0.01


def test_fine_detail_is_averaged_away_not_aliased():
    stripes = (torch.arange(512) % 2).float().expand(1, 3, 512, 512)  # the finest there is
    cutter = Cutter(Cutouts(count=8, overview=8), STILL, SIZE)
    cut = cutter.cut(stripes, cutter.draw(512, 512, [rng()]))
    assert (cut - 0.5).abs().max() < 0.02


@pytest.mark.parametrize("method", ["crops", "pooled"])
def test_both_chains_have_the_same_statistics(method):
    numbers = Augmentations(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, padding="zeros")
    picture = smooth_picture(128, 128)
    results = []
    for kind in CHAINS:
        cutter = kind(Cutouts(method=method, count=128), numbers, SIZE)
        generator = rng(2)
        cuts = torch.cat([cutter.cut(picture, cutter.draw(128, 128, [generator]))[0] for _ in range(6)])
        empty = (F.avg_pool2d(cuts.abs().amax(1, keepdim=True), 8) < 0.25).float().mean()
        results.append((cuts.mean(), cuts.std(), cuts.mean((0, 1)).std(), empty))
    for ours, theirs in zip(*results, strict=True):
        assert ours.item() == pytest.approx(theirs.item(), abs=0.035)


def test_the_mean_of_the_gradients_agrees():
    """Chance apart, both chains pull the same way: the gradient of a fixed preference, averaged over draws."""
    numbers = Augmentations(noise=0.0)
    liked = smooth_picture(SIZE, SIZE, seed=9) - 0.5
    gradients = []
    for kind in CHAINS:
        picture = smooth_picture(128, 128).requires_grad_()
        cutter = kind(Cutouts(count=128), numbers, SIZE)
        generator = rng(7)
        for _ in range(6):
            (cutter.cut(picture, cutter.draw(128, 128, [generator])) * liked).mean().backward()
        assert picture.grad is not None
        gradients.append(F.avg_pool2d(picture.grad, 16).flatten())
    assert F.cosine_similarity(*gradients, dim=0) > 0.95


def test_boxes_lie_inside_and_have_the_published_sides():
    uniform = torch.rand(2000, 3, generator=rng())
    boxes = draw_boxes(Cutouts(), 64, 120, 200, uniform)
    left, top, width, height = boxes.unbind(1)
    assert (boxes == boxes.floor()).all()
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + width <= 200).all()
    assert (top + height <= 120).all()
    assert width.min() == 64
    assert 118 <= width.max() <= 120
    assert (width == height).all()


def test_small_pictures_are_seen_whole():
    boxes = draw_boxes(Cutouts(count=4), 224, 100, 100, torch.rand(4, 3))
    assert boxes.tolist() == [[0, 0, 100, 100]] * 4


def test_homographies_carry_corners_to_the_square():
    corners = torch.tensor([[[-0.7, -0.9], [0.8, -1.0], [0.95, 0.6], [-1.0, 0.9]]])
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    mapped = F.pad(corners[0], (0, 1), value=1.0) @ homography_to_square(corners)[0].T
    assert torch.allclose(mapped[:, :2] / mapped[:, 2:], square, atol=1e-5)


def test_parts_are_the_whole_and_draws_come_from_the_generator_alone():
    picture = smooth_picture()
    cutter = Cutter(Cutouts(count=6), Augmentations(), SIZE)
    before = torch.get_rng_state()
    draw = cutter.draw(96, 128, [rng(5)])
    whole = cutter.cut(picture, draw)
    parts = torch.cat([cutter.cut(picture, draw, part) for part in (slice(0, 4), slice(4, 6))], 1)
    again = cutter.cut(picture, cutter.draw(96, 128, [rng(5)]))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(whole, parts)
    assert torch.equal(whole, again)


def test_kornia_s_chain_leaves_the_global_generator_alone():
    cutter = KorniaCutter(Cutouts(count=2), Augmentations(), SIZE)
    before = torch.get_rng_state()
    cutter.cut(smooth_picture(), cutter.draw(96, 128, [rng()]))
    assert torch.equal(torch.get_rng_state(), before)


def test_erasing_takes_the_same_box_from_every_cutout():
    cutter = Cutter(Cutouts(count=4), STILL.model_copy(update={"erasing": 1.0}), SIZE)
    cut = cutter.cut(torch.ones(1, 3, 64, 64), cutter.draw(64, 64, [rng(1)]))[0]
    erased = cut == 0
    assert 0.05 < erased.float().mean() < 0.45
    assert (erased == erased[:1]).all()


def test_a_gpu_s_one_look_up_sees_the_same(monkeypatch):
    cutter = Cutter(Cutouts(count=5), Augmentations(), SIZE)
    draw, seen = cutter.draw(96, 128, [rng(3)]), []
    for tall in (False, True):
        monkeypatch.setattr("engine.cutouts.sampling.on_gpu", lambda _, tall=tall: tall)
        picture = smooth_picture().requires_grad_()
        cut = cutter.cut(picture, draw, slice(1, 5))
        cut.square().sum().backward()
        seen.append((cut.detach(), picture.grad))
    torch.testing.assert_close(seen[0], seen[1])


@pytest.mark.parametrize("size", [16, 40, 64])
def test_in_a_fixed_order_the_same_is_pooled(size):
    results = []
    for run in (pool, sampling._pool_in_order):
        pictures = torch.rand(2, 3, 40, 56, generator=rng()).requires_grad_()
        pooled = run(pictures, size)
        pooled.square().sum().backward()
        results.append((pooled.detach(), pictures.grad))
    torch.testing.assert_close(results[0], results[1])


def test_in_a_fixed_order_the_same_is_looked_up(monkeypatch):
    cutter = Cutter(Cutouts(count=5), Augmentations(), SIZE)
    params, results = cutter.draw(96, 128, [rng(3), rng(4)]), []
    for fixed in (False, True):
        monkeypatch.setattr(sampling, "_wants_fixed_order", lambda _, fixed=fixed: fixed)
        pictures = torch.cat([smooth_picture(), smooth_picture(seed=1)]).requires_grad_()
        cut = cutter.cut(pictures, params)
        cut.square().sum().backward()
        results.append((cut.detach(), pictures.grad))
    torch.testing.assert_close(results[0], results[1], atol=2e-5, rtol=1e-4)


def test_a_saturated_channel_is_still_pulled_back():
    """Where jitter drives a channel out of range, the gradient that leads back in is kept (Crowson's notebook)."""
    white = torch.ones(1, 3, SIZE, SIZE).requires_grad_()
    brighter = 1.5 * torch.eye(3)[None]
    for direction, kept in ((1.0, True), (-1.0, False)):
        white.grad = None
        (direction * recolour(white, brighter, torch.zeros(1))).sum().backward()
        assert white.grad is not None
        assert bool(white.grad.abs().sum() > 0) == kept


def test_pooled_cutouts_say_that_they_show_all():
    cutter = Cutter(Cutouts(method="pooled", count=3), Augmentations(), SIZE)
    assert cutter.draw(96, 128, [rng()]).boxes.tolist() == [[[0, 0, 128, 96]] * 3]


def test_the_power_goes_from_the_first_to_the_last():
    cutter = Cutter(Cutouts(count=512, first_power=0.3), STILL, SIZE)
    sides = []
    for progress in (0.0, 0.5, 1.0):
        cutter.set_progress(progress, torch.device("cpu"))
        sides.append((cutter.draw(264, 264, [rng()]).boxes[..., 2].mean() - SIZE) / 200)
    # the mean of u^p is 1 / (1 + p)
    assert [float(side) for side in sides] == pytest.approx([1 / 1.3, 1 / 1.65, 1 / 2], abs=0.04)


def test_cutouts_of_pictures_that_tile_lie_across_the_edges():
    pictures = torch.cat([smooth_picture(seed=1), smooth_picture(seed=2)])
    moved = shifted(pictures, torch.tensor([[0.25, 0.5], [0.0, 0.99]]))
    assert torch.equal(moved[0], pictures[0].roll((-24, -64), (1, 2)))
    assert torch.equal(moved[1], pictures[1].roll((0, -126), (1, 2)))

    whole = Cutter(Cutouts(count=1, overview=1), STILL, SIZE, wraps=True)
    draw = whole.draw(96, 128, [rng(), rng(1)])
    assert 0 < draw.shift.min() < draw.shift.max() < 1
    plain = Cutter(Cutouts(count=1, overview=1), STILL, SIZE)
    assert torch.equal(whole.cut(pictures, draw), plain.cut(shifted(pictures, draw.shift), draw))
    assert plain.draw(96, 128, [rng()]).shift.tolist() == [[0, 0]]


@pytest.mark.parametrize(("number", "shift"), [(1.0, (16, 0)), (0.0, (-16, 0)), (0.75, (8, 0))])
def test_the_largest_shift_is_a_share_of_the_side(number, shift):
    """kornia's `translate`: a quarter of 64 pixels is 16."""
    numbers = STILL.model_copy(update={"affine": 1.0, "degrees": 0.0, "translate": 0.25})
    uniform = torch.tensor([[0, 1, 0.5, 0.5, number, 0.5]])
    picture = torch.zeros(1, 3, SIZE, SIZE)
    picture[..., 30:34, 30:34] = 1
    cutter = Cutter(Cutouts(count=1), STILL, SIZE)
    cut = cutter.cut(picture, still_draw(cutter, picture, affine=draw_affine(numbers, uniform)))[0, 0]
    expected = torch.zeros(3, SIZE, SIZE)
    expected[:, 30 + shift[1] : 34 + shift[1], 30 + shift[0] : 34 + shift[0]] = 1
    torch.testing.assert_close(cut, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("side", [192, 200, 448])
def test_no_level_of_the_pyramid_bleeds_into_another(side):
    """Seen smaller than it is, a picture that is white above and black below has a white first and a black last row."""
    picture = torch.ones(1, 3, side, side)
    picture[..., side // 2 :, :] = 0
    turned = Augmentations(flip=0, perspective=0, jitter=0, noise=0, affine=1, degrees=0, translate=0.1)
    for numbers in (STILL, turned):
        cutter = Cutter(Cutouts(count=8, overview=8), numbers, SIZE)
        cut = cutter.cut(picture, cutter.draw(side, side, [rng()]))
        torch.testing.assert_close(cut[..., :8, :], torch.ones_like(cut[..., :8, :]))
        torch.testing.assert_close(cut[..., -8:, :], torch.zeros_like(cut[..., -8:, :]))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("brightness", (1.3, 1, 1, 0)),
        ("contrast", (1, 1.3, 1, 0)),
        ("saturation", (1, 1, 1.3, 0)),
        ("hue", (1, 1, 1, 0.3)),
    ],
)
@pytest.mark.parametrize("half", [0.0, 0.5, 1.0])
def test_jitter_goes_as_far_up_as_down(changed, expected, half):
    """The numbers from 0 to 1 that are drawn say how far; a half changes nothing."""
    nothing = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "greyscale": 0}
    numbers = STILL.model_copy(update={**nothing, "jitter": 1.0, changed: 0.3})
    uniform = torch.tensor([[0.5, half, half, half, half, 0.5]])
    still = torch.tensor([1.0, 1, 1, 0])
    factors = still + (2 * half - 1) * (torch.tensor(expected) - still)
    wanted = colour_change(*factors[:, None])
    for drawn, one in zip(draw_colour(numbers, uniform), wanted, strict=True):
        torch.testing.assert_close(drawn, one)


@pytest.mark.parametrize(
    ("chance", "drawn", "happens"), [(0.3, 0.29, True), (0.3, 0.3, False), (0, 0, False), (1, 0.99, True)]
)
def test_a_change_of_colours_happens_as_often_as_it_should(chance, drawn, happens):
    jittered = STILL.model_copy(update={"jitter": chance, "brightness": 0.5, "greyscale": 0})
    colour, _ = draw_colour(jittered, torch.tensor([[drawn, 1.0, 0.5, 0.5, 0.5, 0.5]]))
    assert bool((colour - torch.eye(3)).abs().max() > 0.1) is happens
    greyed = STILL.model_copy(update={"jitter": 0, "greyscale": chance})
    colour, lift = draw_colour(greyed, torch.tensor([[0.5, 1.0, 1.0, 1.0, 1.0, drawn]]))
    red = colour[0] @ torch.tensor([1.0, 0, 0])
    assert bool((red - red.mean()).abs().max() < 1e-5) is happens, "grey"
    assert lift.tolist() == [0]


def test_pooled_cutouts_are_the_whole_picture_half_mean_and_half_maximum():
    cutter = Cutter(Cutouts(method="pooled", count=2), STILL, 16)
    picture = torch.rand(1, 3, 96, 128, generator=rng())
    for one in cutter.cut(picture, cutter.draw(96, 128, [rng()]))[0]:
        torch.testing.assert_close(one, pool(picture, 16)[0], atol=1e-5, rtol=1e-4)


def test_pictures_are_moved_where_they_are():
    pictures = torch.arange(2 * 3 * 4 * 8).view(2, 3, 4, 8).float()
    down, across = shifted(pictures, torch.tensor([[0.5, 0.0], [0.25, 0.75]]))
    assert torch.equal(down, pictures[0].roll(-2, 1))
    assert torch.equal(across, pictures[1].roll((-1, -6), (1, 2)))
