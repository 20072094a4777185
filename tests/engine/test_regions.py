"""What words name in a picture, by its colours and by a perceptor that has to say only which of the things is meant."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from engine.perceptors import Perceptor
from engine.regions import BETTER, OTHERS, NothingFoundError, _around, find_named, is_seen

SIDE = 128
RED, BLUE, PURPLE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 1.0)
NOTHING = (-1.0, -1.0, -1.0)
"""Like no picture."""


class Knows(Perceptor):
    """Knows things by their mean colour, whatever it is not told of is like no picture."""

    def __init__(self, **colours):
        nn.Module.__init__(self)
        self.size, self.colours = 16, colours

    def encode_text(self, texts):
        nouns = [text.split(maxsplit=1)[1].replace(" ", "_") for text in texts]  # each has its article
        return F.normalize(torch.tensor([self.colours.get(noun, NOTHING) for noun in nouns]), dim=-1)

    def encode_image(self, cutouts):
        assert cutouts.shape[1:] == (3, 16, 16)
        return F.normalize(cutouts.mean((2, 3)), dim=-1)


def square(x, y, side):
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., y : y + side, x : x + side] = 1
    return mask


LEFT, RIGHT = square(16, 44, 36), square(76, 44, 36)


def picture_of(*things, ground=(0.0, 0.0, 0.0)):
    picture = torch.tensor(ground).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE).clone()
    for mask, colour in things:
        picture = torch.lerp(picture, torch.tensor(colour).view(1, 3, 1, 1), mask)
    return picture


def overlap(found, true):
    return float((found * true).sum() / torch.maximum(found, true).sum())


def suiting(count, colour, first=0):
    """So many other things that look exactly like a colour."""
    return {name.replace(" ", "_"): colour for name in OTHERS[first : first + count]}


@pytest.mark.parametrize(
    ("words", "meant"), [("cherry", LEFT), ("a cherry", LEFT), ("the wet cherry", LEFT), ("a plum", RIGHT)]
)
def test_of_two_things_the_one_that_is_named_is_found(words, meant):
    knows = Knows(cherry=RED, wet_cherry=RED, plum=BLUE)
    found = find_named(picture_of((LEFT, RED), (RIGHT, BLUE)), words, [knows])
    assert overlap(found, meant) > 0.9
    assert set(found.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("second", "both"), [((1.0, 0.3, 0.0), True), ((1.0, 0.45, 0.0), False)])
def test_what_suits_the_words_about_as_well_is_meant_too(second, both):
    """By cosines: 0.96 of the best is near enough, 0.91 is not."""
    found = find_named(picture_of((LEFT, RED), (RIGHT, second)), "cherries", [Knows(cherries=RED)])
    assert overlap(found, torch.maximum(LEFT, RIGHT) if both else LEFT) > 0.9


def test_where_only_all_together_suit_the_words_all_are_meant():
    others = {**suiting(9, RED), **suiting(9, BLUE, 9)}
    picture = picture_of((LEFT, RED), (RIGHT, BLUE))
    found = find_named(picture, "fruits", [Knows(fruits=PURPLE, **others)])
    assert overlap(found, torch.maximum(LEFT, RIGHT)) > 0.9
    others |= suiting(9, (1.0, 0.1, 1.0), 18)
    with pytest.raises(NothingFoundError, match="“fruits” was not found"):
        find_named(picture, "fruits", [Knows(fruits=(1.0, 0.3, 1.0), **others)])


@pytest.mark.parametrize(("better", "found"), [(0, True), (BETTER, True), (BETTER + 1, False)])
@pytest.mark.parametrize("things", [[(LEFT, RED)], [(LEFT, RED), (RIGHT, BLUE)]])
def test_a_few_other_things_may_suit_a_picture_better(better, found, things):
    knows = Knows(cherry=(1.0, 0.2, 0.1), **suiting(better, RED), **suiting(better, PURPLE, 20))
    if found:
        assert overlap(find_named(picture_of(*things), "a cherry", [knows]), LEFT) > 0.9
        return
    with pytest.raises(NothingFoundError, match="“a cherry” was not found in the picture: name it in other words"):
        find_named(picture_of(*things), "a cherry", [knows])


def test_how_many_may_suit_it_better_is_the_askers_to_say():
    picture, knows = picture_of((LEFT, RED)), Knows(cherry=(1.0, 0.2, 0.1), **suiting(3, RED))
    assert [is_seen(picture, LEFT, "cherry", [knows], better) for better in (2, 3)] == [False, True]


def test_a_thing_is_seen_in_the_whole_picture_or_in_what_is_around_it():
    """On a blue ground the whole is blue, and what is cut out around the thing is red."""
    picture = picture_of((LEFT, RED), ground=BLUE)
    for name, colour in (("cherry", RED), ("sea", BLUE)):
        assert is_seen(picture, LEFT, name, [Knows(**{name: colour}, **suiting(9, PURPLE))])
    assert not is_seen(picture, LEFT, "leaf", [Knows(leaf=(0.0, 1.0, 0.0), **suiting(9, PURPLE))])


def test_all_perceptors_are_asked():
    picture = picture_of((LEFT, RED), (RIGHT, BLUE))
    unsure, sure = Knows(fruit=(1.0, 0.0, 0.95)), Knows(fruit=(0.2, 0.0, 1.0))
    assert overlap(find_named(picture, "fruit", [unsure]), torch.maximum(LEFT, RIGHT)) > 0.9
    assert overlap(find_named(picture, "fruit", [unsure, sure]), RIGHT) > 0.9


@pytest.mark.parametrize("words", ["the background", "wall", "a plain backdrop", "Background"])
def test_what_is_behind_is_all_but_the_things(words):
    found = find_named(picture_of((LEFT, RED), (RIGHT, BLUE)), words, [Knows()])
    assert overlap(found, 1 - torch.maximum(LEFT, RIGHT)) > 0.95


@pytest.mark.parametrize(("words", "rows"), [("the sky", slice(0, 70)), ("a green meadow", slice(70, None))])
def test_sky_and_floor_are_what_is_above_and_below_the_horizon(words, rows):
    picture = picture_of(ground=(0.6, 0.8, 1.0))
    picture[..., 70:, :] = torch.tensor((0.3, 0.6, 0.2)).view(3, 1, 1)
    thing = square(50, 52, 36)
    picture = torch.lerp(picture, torch.tensor(RED).view(1, 3, 1, 1), thing)
    expected = torch.zeros(1, 1, SIDE, SIDE)
    expected[..., rows, :] = 1
    assert overlap(find_named(picture, words, [Knows()]), expected * (1 - thing)) > 0.9


def test_of_longer_words_the_last_is_not_taken_for_all():
    """A boat on the sea is no sea: a perceptor has to say what is meant."""
    found = find_named(picture_of((LEFT, RED), (RIGHT, BLUE)), "a boat on the sea", [Knows(boat_on_the_sea=BLUE)])
    assert overlap(found, RIGHT) > 0.9


def test_where_nothing_stands_nothing_is_found():
    with pytest.raises(NothingFoundError):
        find_named(picture_of(ground=RED), "a cherry", [Knows(cherry=RED)])


@pytest.mark.parametrize(
    ("rows", "columns", "cut"),
    [
        ((40, 70), (100, 110), (37, 72, 87, 122)),  # 30 high: 35 with a margin of 8 % on either side
        ((40, 50), (100, 130), (27, 62, 97, 132)),
        ((0, 20), (0, 20), (0, 23, 0, 23)),  # from a corner it begins at the edge
        ((80, 100), (180, 200), (77, 100, 177, 200)),
        ((5, 95), (50, 150), (0, 100, 50, 150)),  # no more than there is
    ],
)
def test_a_part_is_cut_out_with_a_margin(rows, columns, cut):
    place = torch.arange(100 * 200).view(1, 1, 100, 200).float()
    part = torch.zeros(1, 1, 100, 200)
    part[..., slice(*rows), slice(*columns)] = 1
    top, bottom, left, right = cut
    assert torch.equal(_around(place, part), place[..., top:bottom, left:right])
    assert torch.equal(_around(place, torch.zeros_like(part)), place), "all, where there is none"
