"""Each formula again, in float64 and spelled out, beside the engine's."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.losses import (
    PIXELS,
    STAIR,
    PromptLoss,
    asymmetry,
    clamp_with_grad,
    colourfulness,
    edge_loss,
    falls_a_stair,
    latent_penalty,
    look_losses,
    palette_loss,
    penalty_weight,
    pixels_apart,
    roughness,
    spherical_distance,
    total_variation,
)
from engine.spec import Looks, Penalty


def unit(rows, dims, seed):
    values = np.random.default_rng(seed).normal(size=(rows, dims))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_spherical_distance_is_half_the_squared_angle():
    a, b = unit(6, 64, 0), unit(6, 64, 1)
    angle = np.arccos((a * b).sum(1))
    ours = spherical_distance(torch.tensor(a).float(), torch.tensor(b).float())
    assert ours.numpy() == pytest.approx(angle**2 / 2, abs=1e-5)


def test_spherical_distance_of_opposite_vectors_is_finite():
    a = torch.tensor([[1.0, 0.0]])
    assert float(spherical_distance(a, -a)) == pytest.approx(math.pi**2 / 2, abs=1e-4)


@pytest.mark.parametrize("weight", [1.0, 0.5, -0.7])
def test_a_prompt_is_the_weighted_mean_over_all_pairs(weight):
    cutouts, targets = unit(5, 16, 2), unit(3, 16, 3)
    angles = np.arccos(np.clip(cutouts @ targets.T, -1, 1))
    target = PromptLoss(torch.tensor(targets).float(), weight)
    assert float(target(torch.tensor(cutouts).float())) == pytest.approx(weight * (angles**2 / 2).mean(), abs=1e-5)


@pytest.mark.parametrize(("weight", "still_pulled"), [(1.0, [False, True]), (-1.0, [True, False])])
def test_beyond_its_stop_a_prompt_has_value_but_no_gradient(weight, still_pulled):
    target = torch.tensor([[1.0, 0.0]])
    near, far = 0.3, 1.5  # radians from the target
    cutouts = torch.tensor([[math.cos(t), math.sin(t)] for t in (near, far)], requires_grad=True)
    stop = 0.5  # between near^2 / 2 and far^2 / 2
    loss = PromptLoss(target, weight, stop)(cutouts)
    loss.backward()
    assert loss.item() == pytest.approx(weight * (near**2 + far**2) / 4, abs=1e-5)
    assert cutouts.grad is not None
    assert [bool(row.abs().sum() > 0) for row in cutouts.grad] == still_pulled


def test_penalties_fall_by_their_published_schedules():
    steps = 400
    paper = Penalty(weight=0.1, schedule="linear", rate=0.005)
    inverse = Penalty(weight=0.4, schedule="inverse")
    staircase = Penalty(weight=0.75, schedule="staircase", rate=0.15)
    assert penalty_weight(Penalty(weight=0.3), 399, steps) == 0.3
    assert penalty_weight(paper, 0, steps) == 0.1
    assert penalty_weight(paper, 400, steps) == pytest.approx(0.095)
    assert penalty_weight(inverse, 7, steps) == pytest.approx(0.4 / 15)
    assert [round(penalty_weight(staircase, i * STAIR, steps), 6) for i in range(7)] == [
        0.75,
        0.6,
        0.45,
        0.3,
        0.15,
        0,
        0,
    ]


def test_a_staircase_falls_until_nothing_is_left_to_fall():
    staircase = Penalty(weight=0.75, schedule="staircase", rate=0.15)
    assert [step for step in range(500) if falls_a_stair(staircase, step, 500)] == [50, 100, 150, 200, 250]
    assert not any(falls_a_stair(Penalty(weight=0.2, schedule="linear", rate=0.2), step, 500) for step in range(500))


@given(st.floats(0.01, 5), st.floats(0, 5), st.integers(0, 500), st.sampled_from(["linear", "staircase", "inverse"]))
def test_a_penalty_never_pushes(weight, rate, step, schedule):
    assert penalty_weight(Penalty(weight=weight, rate=rate, schedule=schedule), step, 500) >= 0


def test_latent_penalty_is_the_mean_square():
    z, start = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    squares, apart = (z.double() ** 2).mean((1, 2, 3)), ((z.double() - start.double()) ** 2).mean((1, 2, 3))
    assert latent_penalty(z, None).tolist() == pytest.approx(squares.tolist(), abs=1e-6)
    assert latent_penalty(z, start).tolist() == pytest.approx(apart.tolist(), abs=1e-6)


def test_pixels_are_held_to_the_original_of_each_picture():
    pictures = torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.5)])
    assert pixels_apart(pictures, torch.zeros(1, 3, 4, 4)).tolist() == pytest.approx([0, PIXELS * 0.25])


def test_total_variation_is_zero_only_on_flat_pictures():
    assert float(total_variation(torch.full((1, 3, 5, 7), 0.4))) == 0
    step = torch.zeros(1, 1, 1, 4)
    step[..., 2:] = 1
    assert float(total_variation(step.expand(1, 3, 2, 4))) == pytest.approx(1 / 3)


def test_the_clamp_keeps_only_gradients_that_lead_back():
    values = torch.tensor([-0.5, -0.5, 0.5, 1.5, 1.5], requires_grad=True)
    pull = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])
    (clamp_with_grad(values) * pull).sum().backward()
    assert clamp_with_grad(values).tolist() == [0, 0, 0.5, 1, 1]
    assert values.grad is not None
    # Descent moves against the gradient: below 0 a positive one would push further out, above 1 a negative one.
    assert values.grad.tolist() == [0, -1, 1, 1, 0]


RED, BLUE = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0, 0, 1.0]])


def plain(*colour):
    return torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 32, 48).contiguous()


def test_a_palette_is_how_far_pixels_are_from_their_nearest_colour():
    assert palette_loss(plain(1.0, 0, 0), torch.cat([RED, BLUE])) == 0
    assert palette_loss(plain(0.5, 0, 0), torch.cat([BLUE, RED])) == pytest.approx(0.25)


def test_symmetry_is_of_left_and_right():
    picture = torch.rand(1, 3, 32, 24, generator=torch.Generator().manual_seed(1))
    assert asymmetry(picture) > 0.1
    assert asymmetry(torch.cat([picture, picture.flip(-1)], 3)) == 0
    assert asymmetry(torch.cat([picture, picture.flip(-1)], 2)) > 0.1


def test_colourfulness_is_least_for_greys():
    grey, pastel, vivid = plain(0.4, 0.4, 0.4), plain(0.6, 0.4, 0.4), plain(1.0, 0, 0)
    assert colourfulness(grey) < 1e-3 < colourfulness(pastel) < colourfulness(vivid)


def test_roughness_is_of_neighbours():
    assert roughness(plain(0.3, 0.2, 0.1)) == 0
    stripes = torch.arange(48).remainder(2).float().expand(1, 3, 32, 48)
    assert roughness(stripes) == pytest.approx(1)


def test_edges_are_the_outermost_pixels_and_no_others():
    picture = plain(1.0, 0, 0)
    assert edge_loss(picture, RED[0]) == 0
    picture[..., 8:24, 8:40] = 0
    assert edge_loss(picture, RED[0]) == pytest.approx(0, abs=1e-6)
    picture[..., 0, :] = 0
    assert edge_loss(picture, RED[0]) > 0.02


@pytest.mark.parametrize(
    "looks",
    [
        Looks(palette=("#ff0000", "#00ff00")),
        Looks(symmetry=1),
        Looks(saturation=1),
        Looks(saturation=-1),
        Looks(smoothness=1),
        Looks(edges="#ffffff"),
    ],
    ids=str,
)
def test_a_look_comes_closer_by_its_gradient(looks):
    pictures = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (before,) = look_losses(looks, pictures)
    assert before.shape == (2,)
    before.sum().backward()
    assert pictures.grad is not None
    (after,) = look_losses(looks, pictures - 5 * pictures.grad)
    assert (after < before).all()
    assert look_losses(Looks(), pictures) == []


LOSSES = [
    total_variation,
    lambda pictures: palette_loss(pictures, torch.cat([RED, BLUE])),
    asymmetry,
    colourfulness,
    roughness,
    lambda pictures: edge_loss(pictures, RED[0]),
    lambda pictures: latent_penalty(pictures, None),
    lambda pictures: pixels_apart(pictures, torch.full((1, 3, 24, 32), 0.5)),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_each_picture_of_a_batch_has_its_own_loss(loss):
    pictures = torch.rand(3, 3, 24, 32, generator=torch.Generator().manual_seed(1)) * torch.tensor([1, 0.5, 0.1]).view(
        3, 1, 1, 1
    )
    together = loss(pictures)
    assert together.shape == (3,)
    torch.testing.assert_close(together, torch.cat([loss(one[None]) for one in pictures]))
    assert len(set(together.tolist())) == 3


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("pull", [1.0, -1.0])
def test_within_the_range_the_clamp_keeps_every_gradient(value, pull):
    values = torch.tensor([value], requires_grad=True)
    (clamp_with_grad(values) * pull).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [pull]


@pytest.mark.parametrize(("weight", "looks"), [(10.0, Looks(palette=("#0000ff",))), (3.0, Looks(edges="#0000ff"))])
def test_colours_are_read_as_people_write_them(weight, looks):
    (loss,) = look_losses(looks, plain(0.0, 0.0, 1.0))
    assert loss.tolist() == [0]
    (loss,) = look_losses(looks, plain(0.0, 1.0, 1.0))
    assert loss.tolist() == pytest.approx([weight * (1 if looks.palette else 1 / 3)])


@pytest.mark.parametrize(
    ("looks", "factor", "loss"),
    [
        (Looks(symmetry=0.5), 20, asymmetry),
        (Looks(saturation=0.5), -0.5, colourfulness),
        (Looks(saturation=-0.5), 0.5, colourfulness),
        (Looks(smoothness=0.5), 4, roughness),
    ],
)
def test_a_look_weighs_what_it_says(looks, factor, loss):
    pictures = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(look_losses(looks, pictures)[0], factor * loss(pictures))
