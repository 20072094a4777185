"""What a batch shows, what is said of it, and which captions are true of which pictures."""

from pathlib import Path

import pytest
import torch

from engine.third_party import tokenizer
from training.ahead import made_ahead
from training.batches import END, START, UNSAID, BatchPlans, fits
from training.captions import STYLES
from training.scenes import GROUNDS, LAYOUT_NAMES, NOTHING, Mix, SpriteBank
from training.texts import Texts, tokens_of


@pytest.fixture(scope="module")
def plans(packed: Path) -> BatchPlans:
    bank = SpriteBank.read(packed)
    texts = Texts(bank, 32, 0)
    rows = sorted({*texts.token_rows, 0, START, END})
    mix = Mix(loose=True, pair=0.3, copies=0.2, tinted=0.3, drawn=0.2)
    return BatchPlans(bank, mix, texts.writer, rows, batch=64, seed=0)


def test_every_caption_is_true_of_its_own_picture(plans: BatchPlans) -> None:
    for step in range(5):
        plan = plans(step)
        assert fits(plan.shown, plan.said).diagonal().all()


def test_the_end_of_a_text_is_its_greatest_row(plans: BatchPlans) -> None:
    plan = plans(0)
    ends = plan.tokens.argmax(1)
    assert (plan.tokens[torch.arange(64), ends] == len(plans.row_of) - 1).all()
    assert (plan.tokens[:, 0] == plans.row_of[START]).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_step_has_the_same_plan_whoever_makes_it(plans: BatchPlans, workers: int) -> None:
    made = list(made_ahead(plans, 3, 6, workers))
    assert len(made) == 3
    for step, plan in zip(range(3, 6), made, strict=True):
        expected = plans(step)
        assert torch.equal(plan.tokens, expected.tokens)
        assert torch.equal(plan.scenes.place, expected.scenes.place)


def test_what_a_caption_leaves_open_fits_and_what_it_says_does_not() -> None:
    plain, flat = GROUNDS.index("red"), STYLES.index("flat")
    one, pair = LAYOUT_NAMES.index("one"), LAYOUT_NAMES.index("side by side")
    shown = torch.tensor(
        [
            [5, NOTHING, NOTHING, NOTHING, plain, one, NOTHING, flat],
            [5, NOTHING, NOTHING, NOTHING, plain + 1, one, NOTHING, NOTHING],
            [5, NOTHING, 3, NOTHING, plain, one, NOTHING, flat],
            [5, 6, NOTHING, NOTHING, plain, pair, NOTHING, flat],
        ]
    )
    anything = torch.tensor([[5, NOTHING, NOTHING, NOTHING, UNSAID, UNSAID, NOTHING, UNSAID]])
    on_red = torch.tensor([[5, NOTHING, NOTHING, NOTHING, plain, UNSAID, NOTHING, UNSAID]])
    assert fits(shown, anything)[:, 0].tolist() == [True, True, False, False]
    assert fits(shown, on_red)[:, 0].tolist() == [True, False, False, False]


def test_words_have_the_tokens_that_the_tokenizer_gives_the_whole_text() -> None:
    for text in ("a red apple, 3d render", "an 8-bit picture of two cats on polka dots", "fox, watercolor"):
        assert tokens_of(text) == tokenizer().encode(text)
