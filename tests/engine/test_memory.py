"""How much is seen at once: by what one more cutout keeps, whatever the picture is."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.devices import Device
from engine.memory import even_chunks, fewer_at_once, out_of_memory, saved_bytes
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts


class Tight(Device):
    def memory(self):
        return 2**27


def at_once(tiny_models, side, count=1):
    store = ModelStore(tiny_models, Tight(torch.device("cpu"), torch.float32, "tight"), embedded=tiny_models)
    spec = spec_from_preset((Prompt(content="apple"),), "paper", width=side, height=side, steps=1, count=count)
    painting = Painting(spec.but(cutouts=Cutouts(count=3), start="noise"), store)
    pictures = torch.rand(count, 3, side, side)
    guide = painting._guides[0]
    return guide._how_many_fit(pictures, guide.cutter.draw(side, side, painting._rngs))


def test_a_larger_picture_does_not_make_a_cutout_larger(tiny_models):
    """The picture and its pyramid are kept once, for all cutouts."""
    small, large, four = at_once(tiny_models, 32), at_once(tiny_models, 512), at_once(tiny_models, 32, 4)
    assert small > 3
    assert large > 0.8 * small
    assert 0.8 * small < four < 1.2 * small


def test_the_same_is_measured_every_time(tiny_models):
    """Or chunks, and with them the rounding of their sums, would depend on what memory happened to hold."""
    assert len({at_once(tiny_models, 32) for _ in range(4)}) == 1


def test_saved_bytes_counts_each_storage_once():
    x, weight = torch.rand(256, requires_grad=True), torch.rand(256, requires_grad=True)

    def run():
        return (x * weight).exp() + (x * x).sin()  # keeps x twice, a result and an input; the weight is left out

    assert saved_bytes(run, [weight]) == 3 * 1024


def test_lack_of_memory_is_distinguished_from_other_errors():
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"))
    assert not out_of_memory(RuntimeError("illegal memory access"))


@pytest.mark.parametrize(
    ("count", "most", "sizes"),
    [(6, 6, [6]), (6, 100, [6]), (6, 5, [3, 3]), (7, 3, [3, 3, 1]), (7, 4, [4, 3]), (5, 1, [1] * 5), (1, 1, [1])],
)
def test_pieces_are_dealt_out_evenly(count, most, sizes):
    chunks = even_chunks(count, most)
    assert [chunk.stop - chunk.start for chunk in chunks] == sizes
    assert [index for chunk in chunks for index in range(count)[chunk]] == list(range(count))


class Sees:
    """Sees cutouts, as long as there are few enough of them; each adds one to the gradient."""

    def __init__(self, at_once, room, error="CUDA out of memory."):
        self.at_once, self.notices, self.tried = at_once, [], []
        self.room, self.error = room, error

    @fewer_at_once  # pyright: ignore[reportArgumentType]
    def backward(self, pictures, params):
        self.tried.append(self.at_once)
        pictures.grad = pictures.grad + 1 if pictures.grad is not None else torch.ones_like(pictures)
        if self.at_once > self.room:
            raise torch.OutOfMemoryError(self.error) if "CUDA" in self.error else RuntimeError(self.error)
        return pictures.grad.sum()


def cutouts(pictures, each) -> Any:
    return SimpleNamespace(boxes=torch.zeros(pictures, each, 4))


@pytest.mark.parametrize(
    ("at_once", "room", "tried"), [(8, 8, [8]), (8, 2, [8, 4, 2]), (100, 3, [100, 5, 3]), (10, 5, [10, 5])]
)
@pytest.mark.parametrize("before", [None, 2.0])
def test_where_memory_runs_out_half_as_many_are_tried_and_no_gradient_of_the_attempt_stays(
    at_once, room, tried, before
):
    sees, pictures = Sees(at_once, room), torch.zeros(3)
    pictures.grad = None if before is None else torch.full((3,), before)
    sees.backward(pictures, cutouts(2, 5))
    assert sees.tried == tried
    assert pictures.grad is not None
    assert pictures.grad.tolist() == [(before or 0) + 1] * 3
    assert sees.notices == [f"Memory ran short: the cutouts are now seen {one} at a time." for one in tried[1:]]


@pytest.mark.parametrize(("at_once", "error"), [(1, "CUDA out of memory."), (8, "illegal memory access")])
def test_where_fewer_do_not_help_it_is_said(at_once, error):
    sees = Sees(at_once, 0, error)
    with pytest.raises(RuntimeError, match=error):
        sees.backward(torch.zeros(3), cutouts(1, 8))
    assert sees.tried == [at_once]


def test_what_is_recorded_is_not_tried_again(monkeypatch):
    monkeypatch.setattr("engine.memory.is_recording", lambda: True)
    with pytest.raises(torch.OutOfMemoryError):
        Sees(8, 4).backward(torch.zeros(3), cutouts(1, 8))


@pytest.mark.parametrize(
    ("error", "is_lack"),
    [
        (MemoryError(), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("can't start new thread"), True),
        (ValueError("a red apple"), False),
    ],
)
def test_lack_of_memory_has_many_names(error, is_lack):
    assert out_of_memory(error) is is_lack
