"""Scenes and captions: repeatable, and saying what they show."""

import random
from pathlib import Path

import pytest
import torch

from training.captions import ARRANGEMENTS, STYLE_WORDS, STYLES, Shown, Writer, plural
from training.prior_run import slot_map
from training.scenes import (
    COLOURS,
    GROUNDS,
    LAYOUT_NAMES,
    LAYOUTS,
    NOTHING,
    TEXTURES,
    WAYS,
    Mix,
    Painter,
    Sampler,
    SpriteBank,
    ground_bank,
)

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
def test_captions_say_what_they_show(layout: str) -> None:
    writer, rng = Writer(NAMES), random.Random(0)
    second = {"one": NOTHING, "one small": NOTHING, "side by side": 2, "one above": 2}.get(layout, 1)
    for _ in range(50):
        ground = rng.randrange(len(GROUNDS))
        caption = writer.write(Shown((1, second), (NOTHING, NOTHING), ground, LAYOUT_NAMES.index(layout)), rng)
        assert any(word in caption.text for word in ("dog", "puppy", "pupp"))
        assert caption.ground in (ground, NOTHING)
        assert layout in list(ARRANGEMENTS.values())[caption.arrangement]


@pytest.mark.parametrize("style", STYLES)
def test_captions_name_the_style(style: str) -> None:
    writer, rng = Writer(NAMES), random.Random(0)
    words = [word.strip(" ,") for kind in STYLE_WORDS[style] for word in kind]
    for _ in range(40):
        shown = Shown((1, NOTHING), (NOTHING, NOTHING), rng.randrange(len(GROUNDS)), 0, STYLES.index(style))
        caption = writer.write(shown, rng)
        assert any(word in caption.text for word in words)
        assert caption.style == STYLES.index(style)
        assert caption.ground != NOTHING or style != "night"  # it would read as the scene of that name


def test_drawn_scenes_differ_from_plain_ones_only_in_how_they_are_drawn(packed: Path) -> None:
    bank = SpriteBank.read(packed)
    scenes = Sampler(bank, Mix(drawn=1)).draw(12, torch.Generator().manual_seed(0))
    assert set(scenes.way.tolist()) <= set(range(len(WAYS)))
    painter = Painter(bank, 64)
    drawn = painter.draw(scenes)
    scenes.way[:] = NOTHING
    assert ((drawn - painter.draw(scenes)).abs().amax((1, 2, 3)) > 0.05).all()


def test_a_recoloured_white_thing_has_the_colour_and_not_a_pale_one(packed: Path) -> None:
    bank = SpriteBank.read(packed)
    bank.pixels[:, :3] = bank.pixels[:, 3:]  # all white
    scenes = Sampler(bank, Mix(pair=0, copies=0, tinted=1, ground_shares=(1, 0, 0, 0))).draw(
        6, torch.Generator().manual_seed(0)
    )
    middle = Painter(bank, 64).draw(scenes)[:, :, 32, 32]
    wanted = torch.tensor(list(COLOURS.values()))[scenes.tint[:, 0]] / 255
    assert torch.allclose(middle, wanted, atol=0.16)


def test_patterns_are_in_their_colour(packed: Path) -> None:
    bank = ground_bank(64)
    for texture in TEXTURES[2:]:
        darkest = bank[GROUNDS.index(texture)].flatten(1)
        colour = torch.tensor(COLOURS[texture.split()[0]])[:, None] / 255
        assert float((darkest - colour).abs().amax(0).min()) < 0.02


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
