"""The same seed and config give the same first hundred losses, in every stage that trains."""

from collections.abc import Callable
from pathlib import Path

import pytest

from training import codec, perceptor, prior

STEPS = 100


def losses(step: Callable[[], dict[str, float]]) -> list[float]:
    return [step()["loss"] for _ in range(STEPS)]


@pytest.fixture(scope="module")
def work(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, run = tmp_path_factory.mktemp("work"), prior.RUNS["smoke"]
    trainer = codec.CodecTrainer(codec.RUNS["smoke"], packed, folder)
    trainer.step()
    trainer.save()
    prior.encode(run, packed, folder, "cpu")
    prior.remember(packed, folder, "cpu")
    prior.ReadTrainer(run, packed, folder).save()
    return folder


def test_codec(packed: Path, work: Path) -> None:
    first, second = (losses(codec.CodecTrainer(codec.RUNS["smoke"], packed, work).step) for _ in range(2))
    assert first == second
    assert first[-1] < first[0]


def test_perceptor_through_its_attack(packed: Path, work: Path) -> None:
    run = perceptor.RUNS["smoke"]
    assert run.attack_from < STEPS
    first, second = (losses(perceptor.PerceptorTrainer(run, packed, work).step) for _ in range(2))
    assert first == second


def test_reader_and_painter(packed: Path, work: Path) -> None:
    for trainer in (prior.ReadTrainer, prior.PaintTrainer):
        first, second = (losses(trainer(prior.RUNS["smoke"], packed, work).step) for _ in range(2))
        assert first == second
