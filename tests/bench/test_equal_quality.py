import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice

import pytest

from bench import equal_quality
from bench.equal_quality import Course, StepSeconds, courses, in_seconds, kept, report, step_seconds
from engine.painting import Painting


def test_the_first_step_that_scores_enough_counts():
    course = Course("a red apple", 0, "normal", (4, 8, 12), (0.1, 0.3, 0.2))
    assert [course.reaches(score) for score in (0.05, 0.1, 0.2, 0.3, 0.31)] == [4, 4, 8, 8, None]


def test_the_report_compares_equal_seeds():
    theirs = [Course("a red apple", seed, "nerdyrodent", (500,), (score,)) for seed, score in ((0, 0.2), (1, 0.9))]
    ours = [Course("a red apple", seed, "normal", (4, 8), (0.1, 0.3)) for seed in (1, 0)]
    text = report([*theirs, *ours])
    assert "| a red apple | 0.550 | 0.300 | 8, never |" in text
    assert "Reached in 1 of 2; the median of all is never." in text
    sooner = Course("a red apple", 2, "nerdyrodent", (500,), (0.05,)), Course("a red apple", 2, "normal", (4,), (0.1,))
    assert "Reached in 2 of 3; the median of all is 8." in report([*theirs, *ours, *sooner])


def test_both_sides_paint_from_noise(monkeypatch, tmp_path, shipped_models):
    monkeypatch.setattr(equal_quality, "ModelStore", lambda *_: shipped_models)  # for the forks
    shipped_models.generator("embedded")
    shipped_models.perceptor("embedded")
    specs = {preset: equal_quality.spec_of("a red apple", 3, preset) for preset in ("nerdyrodent", "normal")}
    assert {spec.start for spec in specs.values()} == {"noise"}
    assert {spec.seed for spec in specs.values()} == {3}
    assert specs["nerdyrodent"].steps == 500
    monkeypatch.setattr(
        equal_quality, "spec_of", lambda _p, _s, preset: specs[preset].but(width=32, height=32, steps=5)
    )
    painted = list(courses(["a red apple"], 1, 1, tmp_path))
    assert [(course.preset, course.steps) for course in painted] == [("nerdyrodent", (5,)), ("normal", (4, 5))]
    assert all(-1 <= score <= 1 for course in painted for score in course.scores)
    assert len(list(tmp_path.glob("a-red-apple-0-*.png"))) == 2
    assert kept(tmp_path) == painted
    monkeypatch.delattr(equal_quality, "_pair")
    assert list(courses(["a red apple"], 1, 1, tmp_path)) == painted, "what is there is not painted again"


def test_only_the_side_that_is_missing_is_painted_and_nothing_is_lost_meanwhile(monkeypatch, tmp_path):
    there = [Course(prompt, seed, "nerdyrodent", (500,), (0.2,)) for prompt in ("apple", "pear") for seed in (0, 1)]
    there += [Course(prompt, seed, "normal", (8,), (0.3,)) for prompt, seed in (("apple", 1), ("pear", 1))]
    lines = "".join(json.dumps(asdict(course)) + "\n" for course in there)
    (tmp_path / "courses.jsonl").write_text(lines)
    asked = []

    def course(_models, prompt, seed, preset, _folder, goal):
        asked.append((prompt, seed, preset, goal))
        return Course(prompt, seed, preset, (4,), (0.4,))

    monkeypatch.setattr(equal_quality, "_course", course)
    monkeypatch.setattr(equal_quality, "ProcessPoolExecutor", ThreadPoolExecutor)
    found = courses(["apple", "pear"], 2, 1, tmp_path)
    whole = [(one.prompt, one.seed, one.preset) for one in islice(found, 4)]
    assert whole == [(prompt, 1, preset) for prompt in ("apple", "pear") for preset in ("nerdyrodent", "normal")]
    assert asked == []
    assert [(one.prompt, one.seed, one.preset) for one in found] == [
        (prompt, 0, preset) for prompt in ("apple", "pear") for preset in ("nerdyrodent", "normal")
    ]
    assert asked == [("apple", 0, "normal", 0.2), ("pear", 0, "normal", 0.2)]
    assert (tmp_path / "courses.jsonl").read_text() == lines


def test_steps_become_seconds():
    step = StepSeconds(theirs=0.2, small=0.1, full=0.15)
    small = round(0.7 * 120)  # of the preset's steps, at half size
    assert step.ours(4) == pytest.approx(0.4)
    assert step.ours(120) == pytest.approx(small * 0.1 + (120 - small) * 0.15)
    theirs = [Course("a red apple", seed, "nerdyrodent", (500,), (0.2,)) for seed in (0, 1, 2)]
    ours = [Course("a red apple", seed, "normal", (40, 120), (0.3, 0.4)) for seed in (0, 2)]
    ours.append(Course("a red apple", 1, "normal", (120,), (0,)))
    text = in_seconds([*theirs, *ours], step)
    assert "100 s for theirs; ours 4.0 s to their score (median), 25.0 times less" in text
    assert "13.8 s to its end, 7.2 times less" in text
    assert in_seconds([*theirs, *ours[1:]], step) == "", "half never reached it"


def test_the_seconds_of_a_step_are_those_of_its_size(monkeypatch, shipped_models):
    spec = equal_quality.spec_of("a red apple", 0, "normal").but(width=64, height=64)
    monkeypatch.setattr(equal_quality, "spec_of", lambda *_: spec)
    sizes = []
    monkeypatch.setattr(Painting, "_update", lambda painting: (sizes.append(painting.z.shape[-1]), (None, None))[1])
    assert min(asdict(step_seconds(shipped_models, turns=1, each=2)).values()) > 0
    assert sizes == [4, 4, 4, 4, 8, 8] * 2  # theirs is the same spec here
