"""Where an edit begins, with the shipped pair: its direction, how far it goes, and what stays."""

import pytest
import torch
from kornia.color import rgb_to_grayscale
from PIL import Image, ImageDraw

from engine.edit_start import Matte, blend, recolourings
from engine.filling import fill_in
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import parse_prompts
from engine.regions import NothingFoundError, find_named
from engine.tensors import tensor_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(shipped_models):
    return shipped_models


def start_of(store, picture, prompt, **changes):
    spec = spec_from_preset(parse_prompts(prompt), init_image=picture, **changes)
    painting = Painting(spec, store)
    return tensor_of(painting.picture(), CPU)[0], painting


def inside(picture):
    return picture[:, 60:100, 40:88].mean((1, 2))


def ground(picture):
    return torch.cat([picture[:, :10].flatten(1), picture[:, -8:].flatten(1)], 1).mean(1)


def test_a_thing_takes_the_colour_and_its_ground_stays(store, apple):
    start, _ = start_of(store, apple, "a blue apple")
    red, _, blue = inside(start)
    assert blue > red + 0.3
    before = tensor_of(Image.open(apple), CPU)[0]
    assert torch.equal(start[:, :10], before[:, :10])


def test_a_ground_takes_the_colour_and_the_thing_stays(store, apple):
    start, _ = start_of(store, apple, "an apple on an orange background")
    red, green, blue = ground(start)
    assert red > green > blue + 0.2
    before = tensor_of(Image.open(apple), CPU)[0]
    assert torch.equal(start[:, 60:100, 40:88], before[:, 60:100, 40:88])


def test_a_directional_edit_moves_only_what_differs(store, apple):
    start, _ = start_of(
        store, apple, "a red apple on a green background", edit_from="a red apple on a white background"
    )
    red, green, blue = ground(start)
    assert green > max(red, blue) + 0.1
    assert inside(start)[0] > 0.7


def test_night_falls_on_all_of_it(store, apple):
    start, _ = start_of(store, apple, "an apple at night")
    assert float(rgb_to_grayscale(start[None]).mean()) < 0.6 * float(
        rgb_to_grayscale(tensor_of(Image.open(apple), CPU)).mean()
    )


def test_strength_says_how_far_the_colour_goes(store, apple):
    colours = [inside(tensor_of(Image.open(apple), CPU)[0])]
    colours += [inside(start_of(store, apple, "a blue apple", strength=strength)[0]) for strength in (0.3, 0.7)]
    was, touched, changed = (float(colour[2] - colour[0]) for colour in colours)
    assert was + 0.1 < touched < changed - 0.1


def test_a_weak_edit_puts_no_other_thing_in(store, apple):
    start, _ = start_of(store, apple, "a dog", edit_from="an apple", strength=0.3)
    before = tensor_of(Image.open(apple), CPU)[0]
    assert float((start - before).abs().mean()) < 0.1


def test_the_loop_goes_on_from_there_and_keeps_the_outside(store, apple):
    _, painting = start_of(store, apple, "a blue apple", steps=2)
    list(painting)
    end, before = tensor_of(painting.picture(), CPU)[0], tensor_of(Image.open(apple), CPU)[0]
    assert inside(end)[2] > inside(end)[0] + 0.2
    assert torch.equal(end[:, :10], before[:, :10])


def test_an_interrupted_edit_goes_on_exactly(store, apple):
    _, painting = start_of(store, apple, "a blue apple", steps=3)
    next(painting)
    state = painting.state_dict()
    list(painting)
    resumed = Painting(painting.spec, store).load_state_dict(state)
    list(resumed)
    assert resumed.picture().tobytes() == painting.picture().tobytes()


def test_words_that_nothing_shows_are_refused_before_anything_is_painted(store, apple):
    with pytest.raises(NothingFoundError, match="“a bicycle” was not found in the picture"):
        start_of(store, apple, "a blue thing", mask_text="a bicycle")


def test_the_background_is_all_but_the_things(store):
    image = Image.new("RGB", (128, 128), (250, 250, 250))
    draw = ImageDraw.Draw(image)
    draw.ellipse((8, 40, 56, 96), fill=(214, 40, 40))
    draw.rectangle((74, 34, 118, 100), fill=(60, 60, 200))
    found = find_named(tensor_of(image, CPU), "the background", [store.perceptor("embedded")])
    assert float(found[..., 55:80, 24:40].mean()) == 0
    assert float(found[..., 50:90, 80:110].mean()) == 0
    assert float(found[..., :20, :].mean()) == 1


def test_recolourings_change_nothing_outside_the_mask():
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    some = recolourings(picture, mask)
    assert len(some) == 25
    assert all(torch.equal(one[..., 8:], picture[..., 8:]) for one in some)
    assert not any(torch.equal(one[..., :8], picture[..., :8]) for one in some[1:])


def test_a_hole_is_filled_from_around_it():
    picture = torch.full((1, 3, 32, 32), 0.3)
    hole = torch.zeros(1, 1, 32, 32)
    hole[..., 10:20, 10:20] = 1
    dirty = torch.lerp(picture, torch.ones_like(picture), hole)
    assert torch.allclose(fill_in(dirty, hole), picture, atol=1e-5)


def test_no_rim_of_the_old_ground_is_left():
    at = torch.arange(64) + 0.5
    share = (21 - ((at[None] - 32).square() + (at[:, None] - 32).square()).sqrt()).clamp(0, 1)[None, None]
    thing, white, black = (torch.full((1, 3, 64, 64), value) for value in (0.5, 1.0, 0.0))
    matte = Matte(torch.lerp(white, thing, share), (share > 0.5).float())
    assert torch.allclose(matte.compose(matte.front, black), torch.lerp(black, thing, share), atol=0.05)


def test_a_start_is_blended_in_up_to_the_usual_strength():
    black, white = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    assert [float(blend(black, white, s).mean()) for s in (0.35, 0.7, 1.0)] == pytest.approx([0.5, 1, 1])
