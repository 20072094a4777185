"""What an edit begins with, put together by hand from its parts."""

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from engine.colours import COLOURS, tint, turn_hue
from engine.drawings import draw_as
from engine.edit_start import Matte, _box, _fit, _place, _Proposer, plan_start, recolourings
from engine.filling import fill_in
from engine.intent import read_intent
from engine.prompts import parse_prompts
from engine.regions import find_named
from engine.segmentation import find_figure, main_parts
from engine.spec import PaintingSpec
from engine.tensors import tensor_of
from engine.weather import put_weather

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("_found")


@pytest.fixture(scope="module")
def store(shipped_models):
    return shipped_models


@pytest.fixture(scope="module")
def picture(apple):
    return tensor_of(Image.open(apple), CPU)


@pytest.fixture(scope="module")
def figure(picture):
    return main_parts(find_figure(picture))


@pytest.fixture
def _found(picture, figure, monkeypatch):
    """The apple is found in its picture once for all tests."""
    monkeypatch.setattr("engine.edit_start.find_figure", lambda seen: figure if seen is picture else find_figure(seen))


def asked(store, picture, text, on=None, **changes):
    fields = {"prompts": parse_prompts(text), "init_image": "apple.png", "edit_start": "proposal", **changes}
    pair = ([store.perceptor("embedded")], store.generator("embedded"), store.prior("embedded"))
    return PaintingSpec.checked(**fields), picture, on, *pair


def plan(*args, **changes):
    return plan_start(*asked(*args, **changes))


def grown(mask, pixels):
    return F.max_pool2d(mask, 2 * pixels + 1, 1, pixels)


def rgb(name):
    red, green, blue = COLOURS[name]
    return red / 255, green / 255, blue / 255


def half(side):
    """The left or the right half of an apple's picture, as a mask."""
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., slice(0, 64) if side == "left" else slice(64, None)] = 1
    return mask


def only(planned):
    (one,) = planned.candidates
    return one


@pytest.mark.parametrize("mask", [None, half("left")])
def test_an_edit_may_begin_with_its_picture_or_be_searched_among_its_colours(store, picture, mask):
    kept = plan(store, picture, "a blue apple", mask, edit_start="original")
    assert only(kept) is picture
    assert kept.mask is mask
    searched = plan(store, picture, "a blue apple", mask, edit_start="search", strength=0.35)
    not_understood = plan(store, picture, "qwertz zyzzyva", mask, strength=0.35)
    for found in (searched, not_understood):
        assert found.mask is mask
        assert len(found.candidates) == 25
        for one, whole in zip(found.candidates, recolourings(picture, torch.ones(1, 1, 128, 128)), strict=True):
            half_way = (picture + whole) / 2
            torch.testing.assert_close(one, half_way if mask is None else torch.lerp(picture, half_way, mask))


@pytest.mark.parametrize(
    ("rows", "columns", "box"),
    [((3, 7), (1, 5), (3, 7, 1, 5)), ((0, 10), (0, 12), (0, 10, 0, 12)), ((9, 10), (11, 12), (9, 10, 11, 12))],
)
def test_a_box_is_as_large_as_what_it_holds(rows, columns, box):
    mask = torch.zeros(1, 1, 10, 12)
    assert _box(mask) == (0, 10, 0, 12), "the whole, around nothing"
    mask[..., slice(*rows), slice(*columns)] = 1
    assert _box(mask) == box


@pytest.mark.parametrize(
    ("region", "stands"),
    [
        (((10, 20), (4, 16)), ((12, 20), (4, 16))),  # as wide as there is room
        (((6, 14), (0, 32)), ((6, 14), (10, 22))),  # as high, and in the middle
        (((10, 12), (0, 32)), ((10, 12), (14, 17))),
        (((31, 32), (31, 32)), ((30, 32), (30, 32))),  # never less than two pixels
        (((0, 1), (0, 1)), ((0, 2), (0, 2))),
    ],
)
def test_a_thing_stands_on_the_lower_edge_of_where_the_old_one_stood(region, stands):
    sprite, alpha, where = torch.full((1, 3, 8, 8), 0.5), torch.full((1, 1, 8, 8), 0.2), torch.zeros(1, 1, 32, 32)
    sprite[:, 0], alpha[..., 2:6, 1:7] = 0.9, 1.0  # what is hardly there takes no room
    (top, bottom), (left, right) = region
    where[..., top:bottom, left:right] = 1
    placed, opacity = _place(sprite, alpha, where)
    (top, bottom), (left, right) = stands
    assert _box(opacity) == (top, bottom, left, right)
    assert float(opacity.min()) == 0
    torch.testing.assert_close(opacity[..., top:bottom, left:right], torch.ones(1, 1, bottom - top, right - left))
    red, green, blue = placed[0, :, top:bottom, left:right].mean((1, 2)).tolist()
    assert (red, green, blue) == pytest.approx((0.9, 0.5, 0.5), abs=1e-4)


@pytest.mark.parametrize("side", [16, 32, 128])
def test_a_ground_is_made_as_large_as_the_picture_and_keeps_its_range(side):
    stripes = (torch.arange(64) % 4 == 0).float().view(1, 1, 64, 1).expand(1, 3, 64, 64)
    fitted = _fit(stripes, torch.zeros(1, 1, side, 2 * side))
    assert fitted.shape == (1, 3, side, 2 * side)
    assert 0 <= float(fitted.min()) <= float(fitted.max()) <= 1
    if side == 16:
        assert torch.allclose(fitted[..., 4:-4, :], torch.tensor(0.25), atol=0.1), "fine stripes become grey"


RING = torch.arange(64) + 0.5
AWAY = ((RING[None] - 32).square() + (RING[:, None] - 32).square()).sqrt()[None, None]


@pytest.mark.parametrize(("thing", "ground"), [(0.5, 1.0), (1.0, 0.0), (0.2, 0.6)])
def test_a_rim_is_a_mixture_of_what_lies_on_either_side(thing, ground):
    share = (21 - AWAY).clamp(0, 1)
    picture = torch.lerp(torch.full((1, 3, 64, 64), ground), torch.full((1, 3, 64, 64), thing), share)
    matte = Matte(picture, (share > 0.5).float())
    assert torch.allclose(matte.alpha, share, atol=0.08)
    assert torch.allclose(matte.behind, torch.tensor(ground), atol=0.03)
    assert torch.allclose(matte.front[:, :, 20:44, 20:44], torch.tensor(thing), atol=0.03)
    assert torch.allclose(matte.compose(matte.front, matte.behind), picture, atol=0.03)


@pytest.mark.parametrize(
    ("thing", "rim", "ground"),
    [(0.5, 0.0, 1.0), (0.5, 0.5, 0.55)],
    ids=["an outline of its own", "hardly to be told from the ground"],
)
def test_what_is_no_mixture_belongs_to_the_thing_as_it_is(thing, rim, ground):
    inside, edge = (AWAY < 21).float(), ((AWAY < 21) & (AWAY >= 19)).float()
    picture = torch.lerp(torch.full((1, 3, 64, 64), ground), torch.full((1, 3, 64, 64), thing), inside)
    picture = torch.lerp(picture, torch.full_like(picture, rim), edge)
    matte = Matte(picture, inside)
    assert torch.allclose(matte.alpha, inside, atol=0.01)
    assert torch.allclose(matte.front * inside, picture * inside, atol=0.01)


def test_recolourings_are_eleven_turns_of_the_hue_and_the_plain_colours():
    picture, mask = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.ones(1, 1, 8, 8)
    plain = [name for name in COLOURS if not name.startswith(("light ", "dark "))]
    wanted = [picture, *(turn_hue(picture, turn / 12) for turn in range(1, 12))]
    wanted += [tint(picture, rgb(name), mask) for name in plain]
    for share in (1.0, 0.5):
        for one, other in zip(recolourings(picture, share * mask), wanted, strict=True):
            torch.testing.assert_close(one, torch.lerp(picture, other, share))


def test_what_stands_there_gets_the_colour_where_the_edit_may_change(store, picture, figure):
    matte = Matte(picture, figure)
    blue = matte.compose(tint(matte.front, rgb("blue"), figure), matte.behind)
    planned = plan(store, picture, "a blue apple")
    assert planned.mask is not None
    assert torch.equal(planned.mask, grown(figure, 2)), "with the rim of what stands there"
    torch.testing.assert_close(only(planned), torch.lerp(picture, blue, grown(figure, 2)))


def mask_on(figure, share):
    """A mask that shows ground and, by some share of all that it shows, the thing."""
    on, ground = figure * half("left"), ((1 - figure).flatten().cumsum(0) * (1 - figure).flatten()).view_as(figure)
    return torch.maximum(on, ((ground > 0) & (ground <= float(on.sum()) * (1 / share - 1))).float())


@pytest.mark.parametrize(("share", "of_the_thing"), [(0.33, True), (0.27, False)])
@pytest.mark.parametrize("drawn", [True, False])
def test_in_a_mask_the_thing_gets_the_colour_where_there_is_enough_of_it(
    store, picture, figure, share, of_the_thing, drawn
):
    mask = mask_on(figure, share)
    planned = plan(store, picture, "blue", mask, **({"mask": "mask.png"} if drawn else {"mask_text": "left"}))
    on = mask * figure if of_the_thing else mask
    torch.testing.assert_close(only(planned), torch.lerp(picture, tint(picture, rgb("blue"), on), on))
    assert planned.mask is not None
    assert torch.equal(planned.mask, mask if drawn else grown(mask, 2)), "what was drawn is taken as it is"


def test_behind_what_stands_there_the_ground_gets_the_colour(store, picture, figure):
    matte, ground = Matte(picture, figure), 1 - figure
    orange = torch.lerp(matte.behind, tint(matte.behind, rgb("orange"), ground), grown(ground, 2))
    planned = plan(store, picture, "an apple on an orange background")
    assert planned.mask is not None
    assert torch.equal(planned.mask, grown(ground, 2))
    torch.testing.assert_close(only(planned), torch.lerp(picture, matte.compose(matte.front, orange), planned.mask))


@pytest.mark.parametrize(("share", "all_of_it"), [(0.55, True), (0.45, False)])
def test_in_a_mask_the_ground_gets_the_colour_or_all_where_little_of_it_is_ground(
    store, picture, figure, share, all_of_it
):
    mask = mask_on(figure, share)
    planned = plan(store, picture, "an apple on an orange background", mask, mask="mask.png")
    matte = Matte(picture, figure)
    on, behind = (mask, picture) if all_of_it else (mask * (1 - figure), matte.behind)
    orange = torch.lerp(behind, tint(behind, rgb("orange"), on), grown(on, 2))
    orange = orange if all_of_it else matte.compose(matte.front, orange)
    torch.testing.assert_close(only(planned), torch.lerp(picture, orange, mask))


def test_thing_and_ground_in_two_colours_change_everywhere(store, picture, figure):
    matte, ground = Matte(picture, figure), 1 - figure
    yellow = torch.lerp(matte.behind, tint(matte.behind, rgb("yellow"), ground), grown(ground, 2))
    behind = fill_in(matte.compose(matte.front, yellow), grown(figure, 1))
    planned = plan(store, picture, "a blue apple on a yellow background")
    assert planned.mask is None
    torch.testing.assert_close(only(planned), matte.compose(tint(matte.front, rgb("blue"), figure), behind))


@pytest.mark.parametrize(
    "text", ["an apple at night", "an apple on a red background in the rain", "an apple in the fog"]
)
def test_weather_comes_over_all_and_is_its_own_ground(store, picture, figure, text):
    weather = read_intent(store.prior("embedded"), text).weather
    planned = plan(store, picture, text)
    assert planned.mask is None
    torch.testing.assert_close(only(planned), put_weather(weather, picture, figure))


def test_a_way_of_drawing_is_for_all_of_it(store, picture):
    planned = plan(store, picture, "a sketch of an apple")
    assert planned.mask is None
    torch.testing.assert_close(only(planned), draw_as("sketch", picture))


def test_a_place_gets_its_colour_and_the_rest_stays(store):
    sky, field = torch.tensor((0.6, 0.8, 1.0)).view(1, 3, 1, 1), torch.tensor((0.3, 0.6, 0.2)).view(1, 3, 1, 1)
    landscape = torch.where(torch.arange(128).view(1, 1, -1, 1) < 70, sky, field).expand(1, 3, 128, 128).clone()
    landscape[..., 50:100, 48:80] = torch.tensor((0.8, 0.15, 0.15)).view(3, 1, 1)
    planned = plan(store, landscape, "an orange sky")
    assert planned.mask is not None
    assert torch.equal(planned.mask, grown(find_named(landscape, "sky", [store.perceptor("embedded")]), 2))
    start = only(planned)
    assert torch.equal(start[..., 80:, :], landscape[..., 80:, :])
    red, _, blue = start[0, :, :40].mean((1, 2))
    assert red > blue + 0.3


def test_a_ground_without_a_name_among_colours_is_painted_by_the_prior(store, picture, figure):
    planned = plan(store, picture, "an apple on grass")
    assert planned.mask is not None
    assert torch.equal(planned.mask, grown(1 - figure, 2))
    start = only(planned)
    red, green, blue = start[0, :, -8:].mean((1, 2))
    assert green > max(red, blue) + 0.1
    deep = 1 - grown(1 - figure, 3)
    assert torch.equal(start * deep, picture * deep)


def test_a_prior_paints_nothing_on_a_ground(store, picture):
    painted = _Proposer(*asked(store, picture, "a dog"))._ground(list(COLOURS).index("blue"))
    assert painted.mean((0, 2, 3)).tolist() == pytest.approx(rgb("blue"), abs=0.08)
    assert float(painted.std((2, 3)).max()) < 0.03


def test_another_thing_stands_in_its_place_in_each_artists_hand(store, picture, figure):
    planned = plan(store, picture, "a green dog", edit_from="an apple")
    proposer, dog = _Proposer(*asked(store, picture, "a dog")), read_intent(store.prior("embedded"), "a dog").thing
    assert dog is not None
    gone = grown(figure, 4)
    empty = torch.lerp(picture, fill_in(picture, gone), gone)
    placed = [_place(*proposer._sprite(dog, style), figure) for style in range(4)]
    where = grown(torch.stack([gone, *((alpha > 0.02).float() for _, alpha in placed)]).amax(0), 2)
    assert planned.mask is not None
    assert torch.equal(planned.mask, where)
    for start, (sprite, alpha) in zip(planned.candidates, placed, strict=True):
        green = torch.lerp(empty, tint(sprite, rgb("green"), alpha), alpha)
        torch.testing.assert_close(start, torch.lerp(picture, green, where))


@pytest.mark.parametrize(("share", "in_the_things_place"), [(0.33, True), (0.27, False)])
def test_in_a_mask_another_thing_stands_where_the_old_one_stood_if_there_was_one(
    store, picture, figure, share, in_the_things_place, monkeypatch
):
    """On grey icons: where they stand is what counts here."""
    monkeypatch.setattr(_Proposer, "_sprite", lambda *_: (torch.full((1, 3, 16, 16), 0.5), torch.ones(1, 1, 16, 16)))
    mask = mask_on(figure, share)
    start, *others = plan(store, picture, "a dog", mask, mask="mask.png").candidates
    assert len(others) == 3
    old = mask * figure if in_the_things_place else mask
    gone = grown(old, 4)
    empty = torch.lerp(picture, fill_in(picture, gone), gone)
    sprite, alpha = _place(torch.full((1, 3, 16, 16), 0.5), torch.ones(1, 1, 16, 16), old)
    torch.testing.assert_close(start, torch.lerp(picture, torch.lerp(empty, sprite, alpha), mask))


def test_an_icon_is_opaque_where_it_looks_alike_on_white_and_on_black(store, picture):
    proposer, colour = _Proposer(*asked(store, picture, "a dog")), torch.tensor((0.2, 0.4, 0.8)).view(1, 3, 1, 1)
    share = torch.zeros(1, 1, 32, 32)
    share[..., :8, 8:16], share[..., :8, 16:24], share[..., :8, 24:] = 0.3, 0.5, 0.75
    share[..., 12:28, 4:28] = 1
    share[..., 16:20, 8:12], share[..., 16:20, 16:20] = 0.4, 0.3  # enclosed by the thing: half of it, and a hole
    proposer._decode = lambda codes: torch.cat([torch.lerp(torch.tensor(on), colour, share) for on in (1.0, 0.0)])
    sprite, alpha = proposer._sprite(0, 0)
    spots = ((0, 4), (0, 12), (0, 20), (0, 28), (14, 6), (17, 10), (17, 18))
    assert [float(alpha[0, 0, y, x]) for y, x in spots] == pytest.approx([0, 0.1, 0.5, 1, 1, 1, 0.1], abs=1e-5)
    assert sprite[0, :, 0, 20].tolist() == pytest.approx([0.2, 0.4, 0.8], abs=1e-5)
    assert sprite[0, :, 14, 6].tolist() == pytest.approx([0.2, 0.4, 0.8], abs=1e-5)
    assert sprite[0, :, 0, 28].tolist() == pytest.approx([0.275, 0.425, 0.725], abs=1e-5), "between both"
    assert sprite[0, :, 0, 12].tolist() == pytest.approx([0.2, 0.4, 0.8], abs=1e-5)


@pytest.mark.parametrize(
    ("text", "changes", "thing", "tint"),
    [
        ("a dog", {}, "a dog", None),
        ("an apple", {}, "an apple", None),  # named alone, another one is asked for
        ("An Apple", {}, "an apple", None),
        ("a red apple", {}, None, None),
        ("a blue apple", {}, None, "blue"),
        ("a green dog", {}, "a dog", "green"),
        ("a dog", {"strength": 0.5}, "a dog", None),
        ("a green dog", {"strength": 0.49}, None, "green"),
        ("a blue apple", {"edit_from": "a red apple"}, None, "blue"),
        ("a blue apple", {"edit_from": "a blue dog"}, "an apple", None),  # which is another, whatever is seen
        ("a blue apple", {"mask_text": "apple"}, None, "blue"),
        ("a blue apple", {"mask_text": "left"}, None, "blue"),
        ("a dog | blue", {}, "a dog", None),
        ("a sketch | a blue apple | a dog:-1", {}, None, "blue"),
    ],
)
def test_what_the_picture_shows_already_is_not_put_in(store, picture, text, changes, thing, tint):
    prior, proposer = store.prior("embedded"), _Proposer(*asked(store, picture, text, **changes))
    intent = proposer._changes(read_intent(prior, proposer.text))
    assert (intent.thing, intent.tint) == (thing and read_intent(prior, thing).thing, tint)


def test_all_that_is_wanted_in_words_is_read_as_one_sentence(store, picture):
    assert _Proposer(*asked(store, picture, "a sketch | a blue apple | a dog:-1")).text == "a sketch, a blue apple"
