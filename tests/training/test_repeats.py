"""The same seed and config give the same first hundred losses, in every stage that trains."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training import codec, perceptor, prior
from training.stages import Figures

STEPS = 100


def losses(step: Callable[[], Figures]) -> list[float]:
    return [float(step()["loss"]) for _ in range(STEPS)]


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


@pytest.fixture(
    params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
)
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def test_codec(packed: Path, work: Path, device: str) -> None:
    first, second = (losses(codec.CodecTrainer(codec.RUNS["smoke"], packed, work, device).step) for _ in range(2))
    assert first == second
    assert first[-1] < first[0]


def test_perceptor_through_its_attack(packed: Path, work: Path, device: str) -> None:
    run = replace(perceptor.RUNS["smoke"], steps=STEPS, practice_from=2)
    assert run.attack_from < 1
    first, second = (losses(perceptor.PerceptorTrainer(run, packed, work, device).step) for _ in range(2))
    assert first == second


def test_perceptor_through_its_practice(packed: Path, work: Path) -> None:
    run = replace(
        perceptor.RUNS["smoke"], steps=STEPS, practice_from=0.5
    )  # there is no device but a CPU that repeats it
    first, second = (losses(perceptor.PerceptorTrainer(run, packed, work).step) for _ in range(2))
    assert first == second


def test_reader_and_painter(packed: Path, work: Path, device: str) -> None:
    for trainer in (prior.ReadTrainer, prior.PaintTrainer):
        first, second = (losses(trainer(prior.RUNS["smoke"], packed, work, device).step) for _ in range(2))
        assert first == second
