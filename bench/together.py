"""Several pictures as one batch against one alone: pictures per second."""

import statistics
from collections.abc import Iterator, Sequence

from bench.architectures import RandomModels
from bench.setting import Setting
from bench.stages import timed
from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Painting

WARM = 4
"""Steps that are not timed: the first allocates, and a GPU has recorded the step after the third."""
SHIPPED = Setting(128, 16, "embedded", "embedded", "normal")


def together(setting: Setting, models: ModelStore, batches: Sequence[int], rounds: int) -> Iterator[str]:
    """Take turns between a batch of each size and one picture alone; yield the rows of a Markdown table."""
    spec = setting.spec()
    alone, at_once = Painting(spec, models), 10 if models.device.is_cuda else 1

    def seconds(painting: Painting, steps: int = at_once) -> float:
        """Return the seconds of a step; a GPU takes several at a time, as a painting lets it."""
        return timed(models.device, lambda: [next(painting) for _ in range(steps)]) / steps

    seconds(alone, WARM)
    yield f"| {spec.generator}, {spec.width} x {spec.height}: pictures | s / step of each, alone | in a batch | gain |"
    yield "| --- | --- | --- | --- |"
    for count in batches:
        batch = Painting(spec.but(count=count), models)
        seconds(batch, WARM)
        pairs = [(seconds(alone), seconds(batch) / count) for _ in range(rounds)]
        before, after = (statistics.median(side) for side in zip(*pairs, strict=True))
        yield f"| {count} | {before:.4f} | {after:.4f} | {before / after - 1:+.0%} |"


def both_pairs(setting: Setting, batches: Sequence[int], rounds: int) -> Iterator[str]:
    """Measure the shipped pair and the published one."""
    device = pick_device()
    models = RandomModels(device)
    yield from together(SHIPPED, models, batches, rounds)
    yield ""
    yield from together(setting, models, batches, rounds)
