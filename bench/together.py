"""Several paintings as one batch against the same ones after each other: pictures per second."""

import statistics
from collections.abc import Iterator, Sequence

from bench.architectures import RandomModels
from bench.setting import Setting
from bench.stages import timed
from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Painting, most_together, step_together

SHIPPED = Setting(128, 16, "embedded", "embedded", "normal")


def together(setting: Setting, models: ModelStore, batches: Sequence[int], rounds: int) -> Iterator[str]:
    """Take turns between a batch of each size and one painting alone; yield the rows of a Markdown table."""
    spec = setting.spec()
    alone = Painting(spec, models)
    yield f"| {spec.generator}, {spec.width} x {spec.height}: paintings | s / step of each, alone | in a batch | gain |"
    yield "| --- | --- | --- | --- |"
    most = most_together(alone)
    for count in (count for count in batches if count <= most):
        group = [Painting(spec.but(seed=seed), models) for seed in range(count)]
        one, each = [], []
        for _ in range(rounds + 1):
            one.append(timed(models.device, lambda: next(alone)))
            each.append(timed(models.device, lambda group=group: step_together(group)) / count)
        before, after = statistics.median(one[1:]), statistics.median(each[1:])
        yield f"| {count} | {before:.3f} | {after:.3f} | {before / after - 1:+.0%} |"
    yield f"\nMemory would hold {most}."


def both_pairs(setting: Setting, batches: Sequence[int], rounds: int) -> Iterator[str]:
    """Measure the shipped pair and the published one."""
    device = pick_device()
    models = RandomModels(device)
    yield from together(SHIPPED, models, batches, rounds)
    yield ""
    yield from together(setting, models, batches, rounds)
