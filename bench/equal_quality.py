"""Time to equal quality: how soon ours reaches the score that the published loop's numbers reach at their end.

Both sides paint from noise with the shipped pair. Theirs takes the numbers of nerdyrodent/VQGAN-CLIP's generate.py
(preset `nerdyrodent`, 500 steps), ours those of a preset of ours (schedules, coarse to fine, averaging, fewer cutouts).
What is scored is the cosine between the picture as shown, seen whole, and its prompt. Steps become seconds by what a
step takes on a quiet machine, which `bench race` measures.
"""

import itertools
import json
import math
import statistics
from collections import Counter
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

    A seed of all prompts comes before the next seed, so that what is there at any time is a fair sample. What an
    earlier run kept in the folder is yielded first, and not painted again.
    """
    wanted = [(prompt, seed) for seed in range(seeds) for prompt in prompts]
    before = [course for course in kept(folder) if (course.prompt, course.seed) in wanted]
    sides = Counter((course.prompt, course.seed) for course in before)
    yield from (course for course in before if sides[course.prompt, course.seed] == 2)
    wanted = [pair for pair in wanted if sides[pair] < 2]
    if not wanted:
        return
    with ProcessPoolExecutor(jobs) as pool:
        for pair in pool.map(_pair, *zip(*wanted, strict=True), itertools.repeat(folder)):
            yield from pair


def _pair(prompt: str, seed: int, folder: Path | None) -> tuple[Course, Course]:
    models = ModelStore(Path(), pick_device("cpu"))
    torch.set_num_threads(1)  # beside the other processes
    theirs = _course(models, prompt, seed, THEIRS, folder)
    return theirs, _course(models, prompt, seed, OURS, folder, theirs.scores[-1])


def _course(
    models: ModelStore, prompt: str, seed: int, preset: str, folder: Path | None, goal: float = math.inf
) -> Course:
    """Paint one side; keep its picture at the end, and where it first scores `goal`."""
    painting = Painting(spec_of(prompt, seed, preset), models)
    name = f"{prompt.replace(' ', '-')}-{seed}"
    steps, scores = [], []
    for iterate in painting:
        if iterate.step % _SCORED[preset] == 0 or iterate.step == iterate.steps:
            steps.append(iterate.step)
            scores.append(similarity(models, painting, prompt))
            if folder is not None and scores[-1] >= goal > max(scores[:-1], default=-math.inf):
                painting.picture().save(folder / f"{name}-equal.png")
    if folder is not None:
        painting.picture().save(folder / f"{name}-{preset}.png")
    return Course(prompt, seed, preset, tuple(steps), tuple(scores))


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
    reached = sorted(step for step in all_steps if step is not None)
    middle = statistics.median(reached) if reached else float("nan")
    rows.append(f"\nReached in {len(reached)} of {len(all_steps)}; where it was, after {middle:g} steps (median).")
    return "\n".join(rows)


def keep(painted: Sequence[Course], folder: Path) -> None:
    """Write all courses as JSON, one a line."""
    (folder / _KEPT).write_text("".join(json.dumps(asdict(course)) + "\n" for course in painted))


def kept(folder: Path | None) -> list[Course]:
    """Read what `keep` wrote."""
    if folder is None or not (folder / _KEPT).exists():
        return []
    lines = map(json.loads, (folder / _KEPT).read_text().splitlines())
    return [Course(**{**line, "steps": tuple(line["steps"]), "scores": tuple(line["scores"])}) for line in lines]
