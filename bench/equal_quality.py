"""Time to equal quality: how soon ours reaches the score that the published loop's numbers reach at their end.

Both sides paint from noise with the shipped pair. Theirs takes the numbers of nerdyrodent/VQGAN-CLIP's generate.py
(preset `nerdyrodent`, 500 steps), ours those of a preset of ours (schedules, coarse to fine, averaging, fewer cutouts).
What is scored is the cosine between the picture as shown, seen whole, and its prompt. Steps become seconds by what a
step takes in this engine, on both sides; `bench race` measures how much longer the published loop's own code takes.
"""

import json
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bench.pictures import similarity
from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import PaintingSpec

PROMPTS = (
    *("a red apple", "a yellow car", "a green frog", "a blue fish", "a brown dog"),
    *("an orange pumpkin", "a pink flower", "a white rabbit", "a purple umbrella", "a black cat"),
)
THEIRS, OURS = "nerdyrodent", "normal"
THEIR_STEPS = 500
_SCORED = {THEIRS: 50, OURS: 4}
"""Steps between two scores of each side."""
_KEPT = "courses.jsonl"


@dataclass(frozen=True)
class Course:
    """Hold how one painting's score rose."""

    prompt: str
    seed: int
    preset: str
    steps: tuple[int, ...]
    scores: tuple[float, ...]
    """After each of `steps`, of the picture as shown."""

    def reaches(self, score: float) -> int | None:
        """Return the first of `steps` after which the score is at least this; None: never."""
        return next((step for step, value in zip(self.steps, self.scores, strict=True) if value >= score), None)


def courses(prompts: Sequence[str], seeds: int, jobs: int, folder: Path | None) -> Iterator[Course]:
    """Paint every prompt with every seed on both sides, several at a time, one thread each.

    A seed of all prompts comes before the next seed, so that what is there at any time is a fair sample. Each course is
    kept in the folder as soon as it ends. What an earlier run kept there is not painted again; whole pairs come first.
    """
    pairs = [(prompt, seed) for seed in range(seeds) for prompt in prompts]
    before = {(course.prompt, course.seed, course.preset): course for course in kept(folder)}
    sides = [(before.get((*pair, THEIRS)), before.get((*pair, OURS))) for pair in pairs]
    yield from (course for both in sides if None not in both for course in both if course is not None)
    wanted = [(*pair, folder, *both) for pair, both in zip(pairs, sides, strict=True) if None in both]
    if not wanted:
        return
    with ProcessPoolExecutor(jobs) as pool:
        for both in pool.map(_pair, *zip(*wanted, strict=True)):
            yield from both


def _pair(
    prompt: str, seed: int, folder: Path | None, theirs: Course | None, ours: Course | None
) -> tuple[Course, Course]:
    """Paint what is missing of one seed's two sides."""
    models = ModelStore(Path(), pick_device("cpu"))
    torch.set_num_threads(1)  # beside the other processes
    theirs = theirs or _course(models, prompt, seed, THEIRS, folder)
    return theirs, ours or _course(models, prompt, seed, OURS, folder, theirs.scores[-1])


def _course(
    models: ModelStore, prompt: str, seed: int, preset: str, folder: Path | None, goal: float = math.inf
) -> Course:
    """Paint one side; keep its course, its picture at the end, and the one that first scores `goal`."""
    painting = Painting(spec_of(prompt, seed, preset), models)
    name = f"{prompt.replace(' ', '-')}-{seed}"
    steps, scores = [], []
    for iterate in painting:
        if iterate.step % _SCORED[preset] == 0 or iterate.step == iterate.steps:
            steps.append(iterate.step)
            scores.append(similarity(models, painting, prompt))
            if folder is not None and scores[-1] >= goal > max(scores[:-1], default=-math.inf):
                painting.picture().save(folder / f"{name}-equal.png")
    course = Course(prompt, seed, preset, tuple(steps), tuple(scores))
    if folder is not None:
        painting.picture().save(folder / f"{name}-{preset}.png")
        with (folder / _KEPT).open("a") as lines:
            lines.write(json.dumps(asdict(course)) + "\n")
    return course


def spec_of(prompt: str, seed: int, preset: str) -> PaintingSpec:
    """Return one side's painting from noise."""
    spec = spec_from_preset((Prompt(content=prompt),), preset, seed=seed, start="noise")
    return spec.but(steps=THEIR_STEPS) if preset == THEIRS else spec


def report(painted: Sequence[Course]) -> str:
    """Write a Markdown table: per prompt the scores at both ends, and ours's steps to theirs's last score."""
    rows = ["| prompt | theirs after 500 | ours at its end | ours's steps to theirs's score, each seed |"]
    rows.append("| --- | --- | --- | --- |")
    all_steps: list[int | None] = []
    for prompt in dict.fromkeys(course.prompt for course in painted):
        theirs, ours = ({c.seed: c for c in painted if c.prompt == prompt and c.preset == p} for p in (THEIRS, OURS))
        needed = [ours[seed].reaches(theirs[seed].scores[-1]) for seed in sorted(theirs.keys() & ours.keys())]
        ends = [statistics.mean(course.scores[-1] for course in side.values()) for side in (theirs, ours)]
        rows.append(f"| {prompt} | {ends[0]:.3f} | {ends[1]:.3f} | {', '.join(str(n or 'never') for n in needed)} |")
        all_steps += needed
    reached = sum(step is not None for step in all_steps)
    rows.append(f"\nReached in {reached} of {len(all_steps)}; the median of all is {_median(all_steps) or 'never'}.")
    return "\n".join(rows)


def _median(steps: Sequence[int | None]) -> int | None:
    """Return the median, where what was never reached took longest; None: at least half were never reached."""
    middle = statistics.median_high(math.inf if step is None else step for step in steps)
    return None if middle == math.inf else int(middle)


@dataclass(frozen=True)
class StepSeconds:
    """Hold the seconds of a step, both sides in this engine: theirs; ours at half size and at full size."""

    theirs: float
    small: float
    full: float

    def ours(self, steps: int) -> float:
        """Return the seconds of so many of ours's first steps."""
        spec = spec_of(PROMPTS[0], 0, OURS)
        small = min(steps, round(spec.coarse * spec.steps))
        return small * self.small + (steps - small) * self.full


def step_seconds(models: ModelStore, turns: int = 5, each: int = 4) -> StepSeconds:
    """Take some steps of each kind in turn, in one process, and return the medians."""
    ours = spec_of(PROMPTS[0], 0, OURS)
    specs = (spec_of(PROMPTS[0], 0, THEIRS), ours.but(coarse=0.99, steps=500), ours.but(coarse=0))
    paintings = [Painting(spec, models) for spec in specs]
    seconds: list[list[float]] = [[] for _ in paintings]
    for turn in range(turns + 1):
        for painting, taken in zip(paintings, seconds, strict=True):
            began = time.perf_counter()
            for _ in range(each):
                next(painting)
            if turn:  # the first waits for what is chosen and allocated once
                taken.append((time.perf_counter() - began) / each)
    return StepSeconds(*map(statistics.median, seconds))


def in_seconds(painted: Sequence[Course], step: StepSeconds) -> str:
    """Say what the steps of `report` are in seconds; nothing where half did not reach theirs's score."""
    goals = {(c.prompt, c.seed): c.scores[-1] for c in painted if c.preset == THEIRS}
    ours = [c for c in painted if c.preset == OURS]
    middle = _median([course.reaches(goals[course.prompt, course.seed]) for course in ours])
    if middle is None:
        return ""
    theirs, soonest = THEIR_STEPS * step.theirs, step.ours(middle)
    whole = step.ours(ours[0].steps[-1])
    return (
        f"A step takes theirs {step.theirs:.3f} s in this engine, ours {step.small:.3f} s at half size and "
        f"{step.full:.3f} s at full size: {theirs:.0f} s for theirs; ours {soonest:.1f} s to their score (median), "
        f"{theirs / soonest:.1f} times less, and {whole:.1f} s to its end, {theirs / whole:.1f} times less."
    )


def kept(folder: Path | None) -> list[Course]:
    """Read the courses that a folder holds, one a line."""
    if folder is None or not (folder / _KEPT).exists():
        return []
    lines = map(json.loads, (folder / _KEPT).read_text().splitlines())
    return [Course(**{**line, "steps": tuple(line["steps"]), "scores": tuple(line["scores"])}) for line in lines]
