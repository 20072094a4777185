"""What stands before a ground is found by colours, on plain, graded and patterned grounds."""

import pytest
import torch
from torch.nn import functional as F

from engine.segmentation import (
    SMOOTH,
    _border,
    _central,
    _enlarged,
    _horizon,
    _likeness,
    _majority,
    _Mixture,
    _places,
    _reached,
    _size,
    _smoothed,
    _without_wisps,
    fill_holes,
    find_figure,
    find_ground_at,
    main_parts,
    parts_of,
)

SIDE = 96


def disc(x, y, radius):
    at = torch.arange(SIDE) + 0.5
    return ((at[None] - x).square() + (at[:, None] - y).square() < radius**2).float()[None, None]


def grounds():
    down = torch.linspace(0, 1, SIDE)[:, None].expand(SIDE, SIDE)
    across = down.T
    landscape = torch.where(
        down < 0.6, torch.tensor([0.6, 0.8, 1.0])[:, None, None], torch.tensor([0.3, 0.6, 0.2])[:, None, None]
    )
    return {
        "plain": torch.tensor([0.2, 0.3, 0.8])[:, None, None].expand(3, SIDE, SIDE),
        "graded": torch.stack([0.3 + 0.5 * down, 0.4 + 0.4 * down, 0.9 - 0.2 * down]),
        "checked": ((((across * 8).floor() + (down * 8).floor()) % 2) * 0.4 + 0.3).expand(3, -1, -1),
        "landscape": landscape,
    }


def on(ground, *things):
    picture = grounds()[ground][None].clone()
    for mask, colour in things:
        picture = torch.lerp(picture, torch.tensor(colour).view(1, 3, 1, 1), mask)
    return picture


def overlap(found, true):
    return float((found * true).sum() / torch.maximum(found, true).sum())


@pytest.mark.parametrize("ground", grounds())
def test_a_thing_is_distinguished_from_its_ground(ground):
    true = disc(50, 46, 24)
    assert overlap(find_figure(on(ground, (true, (0.9, 0.2, 0.1)))), true) > 0.9


def test_holes_belong_to_the_thing():
    ring = disc(48, 48, 30) - disc(48, 48, 12)
    assert torch.equal(fill_holes(ring), disc(48, 48, 30))


def test_each_pixel_follows_most_of_its_nine():
    mask = (torch.rand(1, 1, 40, 56, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    counted = F.avg_pool2d(F.pad(mask, (1,) * 4, mode="replicate"), 3, 1)
    assert torch.equal(_majority(mask), (counted > 0.5).float())


def test_parts_come_apart_largest_first():
    large, small = disc(28, 48, 20), disc(74, 48, 12)
    parts = parts_of(large + small)
    assert [overlap(part, true) > 0.9 for part, true in zip(parts, (large, small), strict=True)] == [True, True]


def test_what_stands_aside_is_left_out():
    thing, cloud = disc(48, 50, 20), disc(8, 8, 7)
    assert overlap(main_parts(thing + cloud), thing) > 0.99
    assert torch.equal(main_parts(cloud), cloud)  # where nothing else is there, it is the thing


def test_sky_and_floor_meet_at_the_horizon():
    thing = disc(48, 50, 16)
    picture = on("landscape", (thing, (0.9, 0.1, 0.1)))
    sky, floor = (find_ground_at(picture, thing, edge) for edge in ("top", "bottom"))
    row = round(0.6 * SIDE)
    assert float(sky[..., : row - 4, :8].mean()) == 1
    assert float(sky[..., row + 4 :, :].mean()) == 0
    assert float(floor[..., row + 4 :, :8].mean()) == 1
    assert float(floor[..., : row - 4, :].mean()) == 0
    assert float((sky * disc(48, 50, 12)).sum()) == 0


def test_without_a_horizon_all_of_the_ground_is_sky_and_floor():
    thing = disc(48, 50, 16)
    picture = on("plain", (thing, (0.9, 0.1, 0.1)))
    for edge in ("top", "bottom"):
        assert overlap(find_ground_at(picture, thing, edge), 1 - thing) > 0.95


@pytest.mark.parametrize(("share", "found"), [(0.2, 0), (0.27, 0), (0.32, 30), (0.35, 34), (0.6, 58), (0.9, 86)])
def test_a_horizon_lies_below_the_clouds(share, found):
    """What changes in the uppermost third is no horizon."""
    picture = torch.zeros(1, 3, SIDE, SIDE)
    picture[..., round(share * SIDE) :, :] = 0.5
    assert _horizon(picture, torch.ones(1, 1, SIDE, SIDE)) == pytest.approx(found, abs=3)


@pytest.mark.parametrize(("change", "wide", "seen", "found"), [
    (0.5, 1.0, 1.0, True), (0.11, 1.0, 1.0, True), (0.09, 1.0, 1.0, False), (0.5, 0.65, 1.0, True),
    (0.5, 0.55, 1.0, False), (0.5, 1.0, 0.25, True), (0.5, 1.0, 0.15, False),
])  # fmt: skip
def test_a_horizon_is_a_change_of_most_of_the_ground_that_is_seen(change, wide, seen, found):
    picture, ground = torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)
    picture[..., 60:, : round(wide * SIDE)] = change
    ground[..., : round(seen * SIDE)] = 1
    assert (_horizon(picture, ground) > 0) is found


def test_small_pictures_have_no_horizon():
    picture = torch.zeros(1, 3, 7, 32)
    picture[..., 4:, :] = 1
    assert _horizon(picture, torch.ones(1, 1, 7, 32)) == 0
    assert _horizon(torch.zeros(1, 3, SIDE, SIDE), torch.ones(1, 1, SIDE, SIDE)) == 0


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("size", "looked_at"),
    [((128, 128), (128, 128)), ((96, 64), (96, 64)), ((256, 128), (128, 64)), ((100, 300), (43, 128)),
     ((2000, 40), (128, 8))],
)  # fmt: skip
def test_large_pictures_are_looked_at_small(size, looked_at):
    assert _size(*size) == looked_at


@pytest.mark.parametrize(("size", "wide"), [((64, 96), 4), ((20, 20), 2), ((128, 100), 6)])
def test_the_border_is_as_wide_on_all_sides(size, wide):
    border = _border(size[0], size[1], CPU)
    assert border.shape == size
    inner = (size[0] - 2 * wide) * (size[1] - 2 * wide)
    assert border.sum() == size[0] * size[1] - inner
    assert border[wide:-wide, wide:-wide].sum() == 0


def test_places_go_from_corner_to_corner():
    places = _places(3, 5, CPU)
    assert places.shape == (1, 2, 3, 5)
    assert places[0, :, 0, 0].tolist() == [-1, -1]
    assert places[0, :, 0, -1].tolist() == [1, -1], "across, then down"
    assert places[0, :, 1, 2].tolist() == [0, 0]


def test_a_thing_stands_in_the_middle():
    central = _central(101, 101, CPU)
    assert central[50, 50].item() == pytest.approx(0.8)
    assert central[50, 100].item() == central[0, 50].item() == pytest.approx(0.05 + 0.75 * 0.1889, abs=1e-3)
    assert central[0, 0].item() == pytest.approx(0.05 + 0.75 * 0.0357, abs=1e-3)


def mixture(*gaussians):
    """Of one number: means, variances and shares."""
    means, variances, shares = torch.tensor(gaussians).T
    return _Mixture(means[:, None], variances[:, None], shares)


def test_a_mixture_is_as_likely_as_its_gaussians():
    one = mixture((0.0, 1.0, 0.25), (3.0, 4.0, 0.75))
    at = torch.linspace(-2, 6, 9)[:, None]
    parts = [torch.distributions.Normal(mean, std).log_prob(at[:, 0]).exp() for mean, std in ((0.0, 1.0), (3.0, 2.0))]
    expected = (0.25 * parts[0] + 0.75 * parts[1]).log() + 0.5 * torch.tensor(
        2 * torch.pi
    ).log()  # left out: a constant
    torch.testing.assert_close(one.log_likelihood(at), expected)


def test_a_mixture_is_fitted_to_what_counts():
    """Three of four at 0 and one at 10; what lies at 99 counts nothing."""
    drawn = torch.Generator().manual_seed(0)
    features = torch.cat([torch.randn(300, 1, generator=drawn) * 0.5, 10 + torch.randn(100, 1, generator=drawn)])
    features = torch.cat([features, torch.full((50, 1), 99.0)])
    weights = torch.cat([torch.ones(400), torch.zeros(50)])
    fitted = mixture((1.0, 1.0, 0.5), (9.0, 1.0, 0.5)).fitted(features, weights, 5)
    assert fitted.means[:, 0].tolist() == pytest.approx([0, 10], abs=0.3)
    spread = [float(part.var(correction=0)) for part in (features[:300], features[300:400])]
    assert fitted.variances[:, 0].tolist() == pytest.approx(spread, rel=0.01)
    assert fitted.shares.tolist() == pytest.approx([0.75, 0.25], abs=0.01)
    flat = mixture((1.0, 1.0, 0.5), (9.0, 1.0, 0.5)).fitted(torch.full((8, 1), 2.0), torch.ones(8), 2)
    assert flat.variances.min() == pytest.approx(0.02), "never without spread"


def test_a_mixture_begins_evenly_from_dark_to_light():
    light = torch.linspace(0, 1, 600)[torch.randperm(600, generator=torch.Generator().manual_seed(0))][:, None]
    begun = _Mixture.of(light, torch.ones(600), 0)
    assert begun.means[:, 0].tolist() == pytest.approx([1 / 12, 3 / 12, 5 / 12, 7 / 12, 9 / 12, 11 / 12], abs=0.003)
    assert begun.shares.tolist() == pytest.approx([1 / 6] * 6)
    assert begun.variances[:, 0].tolist() == pytest.approx([float(light.var())] * 6)
    bright = _Mixture.of(light, (light[:, 0] > 0.5).float(), 0)
    assert bright.means.min() == pytest.approx(0.5 + 1 / 24, abs=0.003)


def test_neighbours_of_the_same_colour_are_alike():
    picture = torch.zeros(1, 3, 9, 10)
    picture[..., 5:] = 2
    alike = _likeness(picture)
    assert alike.shape == (25, 9, 10)
    torch.testing.assert_close(alike.sum(0), torch.ones(9, 10))
    assert alike[12].abs().max() == 0, "nobody is a neighbour of itself"
    inside = alike[:, 4, 2]
    assert inside[[0, 11, 13, 24]].tolist() == pytest.approx([1 / 24] * 4)
    across = alike[:, 4, 4].view(5, 5)
    assert across[:, 3:].max() < 1e-6
    assert across[0, 0].item() == pytest.approx(1 / 14)
    near = torch.zeros(1, 3, 9, 9)
    near[:, 0, 4, 4] = 0.08**0.5
    assert (_likeness(near)[12 + 1, 4, 3] / _likeness(near)[12 - 1, 4, 3]).item() == pytest.approx(
        1 / torch.e, rel=1e-4
    )


def test_a_pixel_follows_its_neighbours_unless_it_is_sure():
    alike = _likeness(torch.zeros(1, 3, 11, 11))
    odds = torch.full((11, 11), 2.0)
    odds[5, 5], odds[2, 2] = -1.0, -6.0
    share = _smoothed(odds, alike)
    assert share[5, 5] > 0.7
    assert share[2, 2] < 0.1
    none = _smoothed(torch.zeros(11, 11), alike)
    torch.testing.assert_close(none, torch.full((11, 11), 0.5))
    once = torch.full((11, 11), 1.0).sigmoid()
    for _ in range(3):
        once = (1 + SMOOTH * (once - 0.5)).sigmoid()
    torch.testing.assert_close(_smoothed(torch.full((11, 11), 1.0), alike), once)


def test_what_is_thin_and_far_from_all_else_is_left_out():
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 10:20, 10:20] = 1
    kept = mask.clone()
    kept[..., 15, 20:23] = 1  # near enough
    mask[..., 15, 20:] = 1
    mask[..., 30:32, :] = 1
    assert torch.equal(_without_wisps(mask), kept * _without_wisps(mask))
    assert torch.equal(_without_wisps(mask)[..., 10:20, 10:22], mask[..., 10:20, 10:22])
    assert _without_wisps(mask)[..., 24:, :].sum() == _without_wisps(mask)[..., 24:].sum() == 0


@pytest.mark.parametrize(("least", "count"), [(0.001, 3), (0.01, 2), (0.05, 1), (0.5, 0)])
def test_parts_that_are_too_small_are_left_out(least, count):
    """They are 20 %, 1.7 % and 0.4 % of the picture."""
    large, small, speck = torch.zeros(3, 1, 1, SIDE, SIDE)
    large[..., 5:48, 5:48] = 1
    small[..., 70:82, 70:83] = 1
    speck[..., 70:76, 10:16] = 1
    parts = parts_of(speck + small + large, least)
    assert all(torch.equal(part, one) for part, one in zip(parts, (large, small, speck), strict=False))
    assert len(parts) == count


def test_seeds_grow_round_corners_and_through_no_wall():
    free = torch.ones(1, 1, 40, 40)
    free[..., 20, :39] = 0
    free[..., :, 30] = 0
    free[..., 39, 30] = 1
    seeds = torch.zeros_like(free)
    seeds[..., 0, 0] = 1
    reached = _reached(seeds, free)
    assert reached.sum() == 20 * 30
    free[..., 20, 3] = 1
    assert torch.equal(_reached(seeds, free), free * _reached(seeds, free))
    assert _reached(seeds, free)[..., 21:, :30].all()
    assert _reached(seeds, free)[..., 39, 39] == 1, "round two walls"
    assert _reached(seeds * 0, free).sum() == 0


def test_masks_come_back_at_the_size_of_their_picture():
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    assert _enlarged(mask, mask) is mask
    large = _enlarged(mask, torch.zeros(1, 3, 64, 32))
    expected = torch.zeros(1, 1, 64, 32)
    expected[..., 16:48, 8:24] = 1
    assert (large != expected).sum() <= 4, "but for its corners"
