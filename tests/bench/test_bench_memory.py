"""The count of what is alive, against what is known, and of whole steps that compute nothing."""

import gc

import pytest
import torch

from bench.architectures import RandomModels
from bench.memory import Alive, count
from bench.setting import PROMPT, Setting
from engine.painting import Painting

TINY = Setting(32, 2, "tiny", "tiny")


def test_what_is_alive_is_counted_once():
    with Alive([torch.zeros(4, dtype=torch.uint8)]) as alive:
        first = torch.zeros(256)
        second = first + 1
        view = second.view(16, 16)
        assert (alive.now, alive.peak) == (4 + 2048, 4 + 2048)
        del first
        assert alive.now == 4 + 1024
        del second
        assert alive.now == 4 + 1024  # the view still holds it
        del view
        gc.collect()
        assert (alive.now, alive.peak) == (4, 4 + 2048)


def test_what_is_kept_for_the_backward_pass_counts():
    given = torch.zeros(256, requires_grad=True)
    with Alive() as alive:
        result = given.exp().sin()
        assert alive.now == 2048  # sin keeps what exp returned
        del result
        assert alive.now == 0


@pytest.mark.parametrize("like", ["gpu", "cpu"])
def test_a_step_is_counted_without_being_computed(like):
    alone, four = (count(TINY, like, torch.float32, together=n) for n in (1, 4))
    assert alone.networks == four.networks > 0
    kept, kept_by_four = alone.peak - alone.networks, four.peak - four.networks
    assert 0 < kept < kept_by_four < 5 * kept


def test_a_computed_step_needs_a_little_less(cpu):
    counted = count(TINY, "cpu", torch.float32)
    models, spec = RandomModels(cpu), TINY.spec()
    networks = [models.generator("tiny"), models.perceptor("tiny")]
    models.perceptor("tiny").encode_text([PROMPT])
    with Alive([tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]) as alive:
        painting = Painting(spec, models)
        painting._guides[0].at_once = TINY.cutouts
        for _ in range(2):
            next(painting)
    assert alive.peak <= counted.peak <= 1.2 * alive.peak


def test_half_the_precision_needs_less():
    full, half = (count(TINY, "gpu", dtype) for dtype in (torch.float32, torch.bfloat16))
    assert half.networks < full.networks
    assert half.peak < full.peak
