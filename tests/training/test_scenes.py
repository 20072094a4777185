"""Scenes and captions: repeatable, and saying what they show."""

import random
from pathlib import Path

import pytest
import torch

from training.captions import ARRANGEMENTS, Shown, Writer, plural
from training.prior import slot_map
from training.scenes import COLOURS, GROUNDS, LAYOUT_NAMES, LAYOUTS, NOTHING, Mix, Painter, Sampler, SpriteBank

NAMES = [["red apple", "apple"], ["dog", "puppy"], ["star"]]


def pictures(packed: Path, seed: int) -> torch.Tensor:
    bank = SpriteBank.read(packed)
    scenes = Sampler(bank, Mix(loose=True)).draw(6, torch.Generator().manual_seed(seed))
    return Painter(bank, 64).draw(scenes)


def test_the_same_seed_composes_the_same_pictures(packed: Path) -> None:
    assert torch.equal(pictures(packed, 1), pictures(packed, 1))
    assert not torch.equal(pictures(packed, 1), pictures(packed, 2))


def test_held_out_vendors_stay_out(packed: Path) -> None:
    bank = SpriteBank.read(packed)
    assert len(bank.pixels) == 12
    assert len(SpriteBank.read(packed, ("held-out",)).pixels) == 3


def test_a_thing_is_drawn_on_its_ground_in_its_tint(packed: Path) -> None:
    bank = SpriteBank.read(packed)
    sampler = Sampler(bank, Mix(pair=0, copies=0, tinted=1, ground_shares=(1, 0, 0, 0)))
    scenes = sampler.draw(4, torch.Generator().manual_seed(0))
    drawn = Painter(bank, 64).draw(scenes)
    colours = torch.tensor(list(COLOURS.values())) / 255
    assert torch.allclose(drawn[:, :, 0, 0], colours[scenes.ground], atol=0.01)
    assert (scenes.tint[:, 0] >= 0).all()


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
def test_captions_tell_what_they_say(layout: str) -> None:
    writer, rng = Writer(NAMES), random.Random(0)
    second = {"one": NOTHING, "one small": NOTHING, "side by side": 2, "one above": 2}.get(layout, 1)
    for _ in range(50):
        ground = rng.randrange(len(GROUNDS))
        caption = writer.write(Shown((1, second), (NOTHING, NOTHING), ground, LAYOUT_NAMES.index(layout)), rng)
        assert any(word in caption.text for word in ("dog", "puppy", "pupp"))
        assert caption.ground in (ground, NOTHING)
        assert layout in list(ARRANGEMENTS.values())[caption.arrangement]


def test_captions_repeat_themselves() -> None:
    def texts() -> list[str]:
        writer, rng = Writer(NAMES), random.Random(5)
        return [writer.write(Shown((0, NOTHING), (3, NOTHING), 4, 0), rng).text for _ in range(20)]

    assert texts() == texts()
    assert any("green" in text for text in texts())


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("dog", "dogs"),
        ("cherry", "cherries"),
        ("fox", "foxes"),
        ("grapes", "grapes"),
        ("mouse", "mice"),
        ("day", "days"),
    ],
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


def test_slots_give_each_patch_to_the_nearest_thing() -> None:
    slots = dict(zip(LAYOUTS, slot_map(16), strict=True))
    assert set(slots["one"]) == {0}
    assert slots["side by side"][:8] == (0, 0, 0, 0, 1, 1, 1, 1)
    assert slots["one above"][:8] == (0,) * 8
    assert slots["one above"][-8:] == (1,) * 8
