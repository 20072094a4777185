"""The loop and the checkpoints that all stages share."""

from pathlib import Path

import pytest
import torch

from training import stages


class Counter(stages.Trainer):
    """A run that only counts, and keeps what it counted."""

    def __init__(self, work: Path, steps: int) -> None:
        super().__init__(steps)
        self.work, self.looked, self.seen = work, 0, list[float]()

    def step(self) -> stages.Figures:
        self.seen.append(self.progress)
        self.at += 1
        return {"at": torch.tensor(float(self.at))}

    def save(self) -> None:
        stages.keep({"at": self.at, "weights": torch.full((1000,), float(self.at))}, self.work, "counter")

    def resume(self) -> None:
        state = stages.kept(self.work, "counter")
        if state is not None:
            self.at = state["at"]

    def reload(self) -> None:
        self.looked += 1


def test_a_run_goes_on_from_its_last_checkpoint_and_prints_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = Counter(tmp_path, 5), Counter(tmp_path, 8)
    stages.train(first, 1e9, finish=False, report_every=2, save_every=2)
    assert first.looked == 2
    assert first.seen == [0, 0.2, 0.4, 0.6, 0.8]
    stages.train(second, 1e9, finish=False, report_every=2, save_every=100)
    assert second.at == 8
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [("2", "1.5"), ("4", "3.5"), ("6", "6"), ("8", "7.5")]


def test_no_minutes_are_no_steps(tmp_path: Path) -> None:
    counter = Counter(tmp_path, 5)
    stages.train(counter, 0, finish=True, report_every=1, save_every=1)
    assert counter.at == 0


def test_schedules_can_end_with_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(stages.time, "monotonic", lambda: float(next(clock)))
    counter = Counter(tmp_path, 1000)
    stages.train(counter, 10 / 60, finish=True, report_every=1000, save_every=1000)
    assert counter.seen == [n / 10 for n in range(1, 10)]


def test_checkpoints_are_in_small_parts_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "PART", 1000)
    for value in (1.0, 2.0):
        stages.keep({"weights": torch.full((1000,), value)}, tmp_path, "counter")
    parts = list(tmp_path.glob("*.part"))
    assert 4 < len(parts) < 10
    assert max(part.stat().st_size for part in parts) <= 1000
    state = stages.kept(tmp_path, "counter")
    assert state is not None
    assert torch.equal(state["weights"], torch.full((1000,), 2.0))


def test_a_checkpoint_that_was_cut_off_leaves_the_one_before(tmp_path: Path) -> None:
    stages.keep({"at": 1}, tmp_path, "counter")
    (tmp_path / "counter-00000000.0.part").write_bytes(b"half")
    (tmp_path / "counter.tmp").write_text("[")
    assert stages.kept(tmp_path, "counter") == {"at": 1}
    stages.keep({"at": 2}, tmp_path, "counter")
    assert stages.kept(tmp_path, "counter") == {"at": 2}
    assert len(list(tmp_path.glob("*.part"))) == 1
