"""What stands before a ground is found by colours, on plain, graded and patterned grounds."""

import pytest
import torch
from torch.nn import functional as F

from engine.segmentation import _horizon, _majority, fill_holes, find_figure, find_ground_at, main_parts, parts_of

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


@pytest.mark.parametrize(("share", "found"), [(0.2, 0), (0.35, 34), (0.6, 58), (0.9, 86)])
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
