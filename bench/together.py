"""Several pictures as one batch against one alone: pictures per second."""

import statistics
from collections.abc import Iterator, Sequence

from bench.architectures import RandomModels
from bench.setting import Setting
from bench.stages import timed
from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Painting

SHIPPED = Setting(128, 16, "embedded", "embedded", "normal")


def together(setting: Setting, models: ModelStore, batches: Sequence[int], rounds: int) -> Iterator[str]:
    """Take turns between a batch of each size and one picture alone; yield the rows of a Markdown table."""
    spec = setting.spec()
    alone = Painting(spec, models)
    yield f"| {spec.generator}, {spec.width} x {spec.height}: pictures | s / step of each, alone | in a batch | gain |"
    yield "| --- | --- | --- | --- |"
    for count in batches:
        batch = Painting(spec.but(count=count), models)
        one, each = [], []
        for _ in range(rounds + 1):
            one.append(timed(models.device, lambda: next(alone)))
            each.append(timed(models.device, lambda batch=batch: next(batch)) / count)
        before, after = statistics.median(one[1:]), statistics.median(each[1:])
        yield f"| {count} | {before:.3f} | {after:.3f} | {before / after - 1:+.0%} |"


def both_pairs(setting: Setting, batches: Sequence[int], rounds: int) -> Iterator[str]:
    """Measure the shipped pair and the published one."""
    device = pick_device()
    models = RandomModels(device)
    yield from together(SHIPPED, models, batches, rounds)
    yield ""
    yield from together(setting, models, batches, rounds)
