"""Compiled networks paint the same picture."""

import shutil
from dataclasses import replace

import pytest
import torch

from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts


@pytest.fixture(autouse=True)
def afresh():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def course(tiny_models, device):
    spec = spec_from_preset((Prompt(content="a red apple"),), "paper", width=48, height=32, seed=7, steps=3)
    painting = Painting(spec.but(cutouts=Cutouts(count=4)), ModelStore(tiny_models, device, embedded=tiny_models))
    losses = [iterate.loss for iterate in painting]
    return losses, painting.z.detach()


def test_recorded_networks_paint_the_same(tiny_models, cpu):
    """On a CPU nothing is recorded, but networks and their backward passes are traced for it as on a GPU."""
    losses, z = course(tiny_models, replace(cpu, compiler="graphs"))
    same_losses, same_z = course(tiny_models, cpu)
    assert losses == pytest.approx(same_losses, abs=1e-4)
    torch.testing.assert_close(z, same_z, atol=1e-2, rtol=1e-2)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ for a CPU's kernels")
def test_kernels_written_anew_give_the_same_gradient(cpu):
    def network(x):
        return torch.nn.functional.silu(x * 2).softmax(-1)

    given = torch.randn(4, 8, requires_grad=True)
    direction = torch.randn(4, 8)
    results = [
        torch.autograd.grad(one(given), given, direction)[0]
        for one in (network, replace(cpu, compiler="kernels").compiled(network))
    ]
    torch.testing.assert_close(*results)


def test_without_a_compiler_nothing_is_wrapped(cpu):
    def network(x):
        return x

    assert cpu.compiled(network) is network
    assert replace(cpu, compiler="graphs").compiled(network) is not network


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recorded_networks_paint_the_same_on_a_gpu(tiny_models, precision):
    device = pick_device("cuda", precision)
    losses, z = course(tiny_models, replace(device, compiler="graphs"))
    same_losses, same_z = course(tiny_models, device)
    assert losses == pytest.approx(same_losses, abs=2e-2)
    assert torch.cosine_similarity(z.flatten(), same_z.flatten(), dim=0) > 0.99
