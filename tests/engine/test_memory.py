"""How much is seen at once: by what one more cutout keeps, whatever the picture is."""

import torch

from engine.devices import Device
from engine.memory import out_of_memory, saved_bytes
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
