"""Whole pictures: how long they take, and whether the fast path paints as well as the plain one."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.kornia_cutouts import use_kornia
from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import PaintingSpec
from engine.tensors import tensor_of

PROMPTS = (
    "a red apple on a blue background",
    "a yellow car",
    "a brown dog on grass",
    "a rocket in space",
    "two strawberries",
)


@dataclass(frozen=True)
class Timing:
    """Seconds from a cold process's point of view, models not yet loaded."""

    load: float
    first: float
    """To the first iterate's picture, after loading."""
    finished: float
    """To the finished picture, after loading."""


def time_picture(spec: PaintingSpec, folder: Path) -> Timing:
    """Load the models, paint one picture and time it."""
    began = time.perf_counter()
    models = ModelStore(folder, pick_device())
    models.generator(spec.generator)
    for choice in spec.perceptors:
        models.perceptor(choice.name)
    loaded = time.perf_counter()
    painting = Painting(spec, models)
    next(painting).picture()
    first = time.perf_counter()
    for _ in painting:
        pass
    painting.picture()
    return Timing(loaded - began, first - loaded, time.perf_counter() - loaded)


def similarity(models: ModelStore, painting: Painting, prompt: str) -> float:
    """Return the cosine between the finished picture, seen whole, and its prompt."""
    perceptor = models.perceptor(painting.spec.perceptors[0].name)
    picture = painting.picture().resize((perceptor.size, perceptor.size))
    with torch.no_grad():
        seen = perceptor.encode_image(tensor_of(picture, models.device.torch_device))
    return float((seen @ perceptor.encode_text([prompt]).T).item())


def compare_quality(seeds: int, preset: str, generator: str, folder: Path) -> str:
    """Paint every prompt in turn with the fast path and with the plain one, at equal seeds; return a Markdown table."""
    paths: dict[str, tuple[Callable[[Painting], Painting], ModelStore]] = {
        "fast (one look-up, device's precision)": (lambda painting: painting, ModelStore(folder, pick_device())),
        "plain (kornia, fp32)": (use_kornia, ModelStore(folder, pick_device(precision="fp32"))),
    }
    scores: dict[str, list[float]] = {name: [] for name in paths}
    for seed in range(seeds):
        prompt = PROMPTS[seed % len(PROMPTS)]
        spec = spec_from_preset((Prompt(content=prompt),), preset, generator, seed=seed)
        for name, (cut, models) in paths.items():
            painting = cut(Painting(spec, models))
            for _ in painting:
                pass
            scores[name].append(similarity(models, painting, prompt))
    rows = [f"| path ({seeds} seeds, {preset}) | CLIP similarity, mean | standard error |", "| --- | --- | --- |"]
    for name, values in scores.items():
        error = statistics.stdev(values) / len(values) ** 0.5
        rows.append(f"| {name} | {statistics.mean(values):.4f} | {error:.4f} |")
    fast, plain = scores.values()
    apart = [a - b for a, b in zip(fast, plain, strict=True)]
    error = statistics.stdev(apart) / len(apart) ** 0.5
    rows.append(f"| fast - plain, pair by pair | {statistics.mean(apart):+.4f} | {error:.4f} |")
    return "\n".join(rows)
