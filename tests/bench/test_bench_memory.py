"""The count of what is alive, against what is known, and of whole steps that compute nothing."""

import gc

import pytest
import torch

from bench.memory import Alive, count
from bench.setting import Setting

TINY = Setting(32, 2, "tiny", "tiny")


def test_what_is_alive_is_counted_once():
    with Alive(besides=10) as alive:
        first = torch.zeros(256)
        second = first + 1
        view = second.view(16, 16)
        assert (alive.now, alive.peak) == (10 + 2048, 10 + 2048)
        del first
        assert alive.now == 10 + 1024
        del second
        assert alive.now == 10 + 1024  # the view still holds it
        del view
        gc.collect()
        assert (alive.now, alive.peak) == (10, 10 + 2048)


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


def test_half_the_precision_needs_less():
    full, half = (count(TINY, "gpu", dtype) for dtype in (torch.float32, torch.bfloat16))
    assert half.networks < full.networks
    assert half.peak < full.peak
