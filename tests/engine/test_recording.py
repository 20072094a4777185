"""A recorded step paints what the plain step paints: on a GPU, and everywhere with a stand-in for the CUDA graph."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.devices import Device, pick_device
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.recording import Recorder, _stream
from engine.spec import Cutouts


def tensors(*things):
    return [leaf for leaf in tree_leaves(things) if isinstance(leaf, torch.Tensor)]


class Tape(TorchDispatchMode):
    """Stand in for a CUDA graph: keep every operation with the memory it uses, to be done again on that memory.

    As with the real one, recording changes nothing, and a number that the host hands over is kept as it was.
    """

    made = 0

    def __init__(self):
        super().__init__()
        self.operations, self.before, self.fresh, self.rngs = [], [], set(), []
        Tape.made += 1

    def register_generator_state(self, rng):
        self.rngs.append((rng, rng.get_state()))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert func is not torch.ops.aten._local_scalar_dense.default, "a recorded step reads a number"
        given = [*args, *kwargs.values()]
        for argument, value in zip(func._schema.arguments, given, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.before += [(t, t.clone()) for t in tensors(value) if t.untyped_storage()._cdata not in self.fresh]
        out = func(*args, **kwargs)
        old = {tensor.untyped_storage()._cdata for tensor in tensors(given)}
        made = [t if t.untyped_storage()._cdata not in old else None for t in tensors(out)]
        self.fresh |= {tensor.untyped_storage()._cdata for tensor in made if tensor is not None}
        self.operations.append((func, args, kwargs, made))
        return out

    def __exit__(self, *exception):
        super().__exit__(*exception)
        for tensor, value in reversed(self.before):
            tensor.detach().copy_(value)
        for rng, state in self.rngs:
            rng.set_state(state)

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, made in self.operations:
            for tensor, value in zip(made, tensors(func(*args, **kwargs)), strict=True):
                if tensor is not None:
                    tensor.detach().copy_(value)


class WithAdamOfGpu(Device):
    def adam(self, rate):
        return {"lr": torch.tensor(rate), "fused": True}


@pytest.fixture
def tape(monkeypatch):
    Tape.made = 0
    _stream.cache_clear()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Tape)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "graph", lambda tape, stream: tape)
    yield
    _stream.cache_clear()


def spec_of(preset="paper", **changes):
    base = {"width": 48, "height": 32, "steps": 8, "seed": 7, "start": "noise", "cutouts": Cutouts(count=4)}
    return spec_from_preset((Prompt(content="a red apple"),), preset, **{**base, **changes})


def stores(tiny_models, cpu):
    """Return one whose paintings record, as if the CPU were a GPU, and one whose do not."""
    devices = (WithAdamOfGpu(cpu.torch_device, cpu.dtype, cpu.name, records=records) for records in (True, False))
    return [ModelStore(tiny_models, device, embedded=tiny_models) for device in devices]


@pytest.mark.parametrize(
    ("preset", "changes", "made"),
    [
        ("paper", {}, 1),
        ("normal", {"coarse": 0.5, "learning_rate_schedule": "cosine"}, 2),
        ("nerdyrodent", {"total_variation": 0.1, "strength": 0.5}, 1),
        ("mse", {"steps": 56, "ema_decay": 0.9}, 2),  # a new Adam at the stair
    ],
)
def test_a_recorded_step_paints_the_same(tape, tiny_models, cpu, preset, changes, made):
    recorded, plain = (Painting(spec_of(preset, **changes), store) for store in stores(tiny_models, cpu))
    losses = [[iterate.losses for iterate in painting] for painting in (recorded, plain)]
    assert losses[0] == losses[1]
    assert torch.equal(recorded._ema, plain._ema)
    assert recorded.picture().tobytes() == plain.picture().tobytes()
    assert Tape.made == made


def test_a_report_is_not_overwritten_by_the_next_step(tape, tiny_models, cpu):
    recorded, plain = (list(Painting(spec_of(), store)) for store in stores(tiny_models, cpu))
    assert [one.loss for one in recorded] == [one.loss for one in plain]
    assert [one.picture().tobytes() for one in recorded] == [one.picture().tobytes() for one in plain]


def test_a_recorded_painting_is_steered_and_resumed(tape, tiny_models, cpu):
    def course(store):
        painting = Painting(spec_of(steps=12), store)
        for _ in range(5):
            next(painting)
        state = painting.state_dict()
        painting.steer((Prompt(content="a grey lighthouse"),))
        steered = [iterate.loss for iterate in painting]
        resumed = Painting(spec_of(steps=12), store).load_state_dict(state)
        return steered, [iterate.loss for iterate in resumed], resumed.z.detach()

    recorded, plain = (course(store) for store in stores(tiny_models, cpu))
    assert recorded[:2] == plain[:2]
    assert recorded[0] != recorded[1]
    assert torch.equal(recorded[2], plain[2])
    assert Tape.made == 3


def test_what_does_not_fit_a_second_time_is_painted_unrecorded(tape, tiny_models, cpu, monkeypatch):
    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    recorded, plain = (Painting(spec_of(), store) for store in stores(tiny_models, cpu))
    monkeypatch.setattr(Tape, "__enter__", full)
    assert [iterate.losses for iterate in recorded] == [iterate.losses for iterate in plain]
    assert Tape.made == 1  # it is not tried again and again


def test_memory_that_runs_short_in_a_recording_is_not_tried_again_inside(tiny_models, cpu, monkeypatch):
    guide = Painting(spec_of(), ModelStore(tiny_models, cpu, embedded=tiny_models))._guides[0]

    def scarce(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(guide, "_prompt_losses", scarce)
    monkeypatch.setattr("engine.memory.is_recording", lambda: True)
    with pytest.raises(torch.OutOfMemoryError):
        guide.backward(torch.rand(1, 3, 32, 48, requires_grad=True), [torch.Generator()])
    assert guide.notices == []
    assert guide.at_once > 1


def test_all_paintings_record_on_one_stream(tape, tiny_models, cpu, monkeypatch):
    streams = []
    monkeypatch.setattr(torch.cuda, "graph", lambda tape, stream: streams.append(stream) or tape)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: object())
    store = stores(tiny_models, cpu)[0]
    for _ in range(2):
        list(Painting(spec_of(steps=4), store))
    assert len(streams) == 2
    assert len(set(streams)) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_paints_the_same_from_its_recording(tiny_models, precision):
    device = pick_device("cuda", precision)

    def course(resumed_at, *, records):
        store = ModelStore(tiny_models, replace(device, records=records), embedded=tiny_models)
        painting = Painting(spec_of(steps=12, learning_rate_schedule="cosine"), store)
        for _ in range(resumed_at):
            next(painting)
        painting = Painting(painting.spec, store).load_state_dict(painting.state_dict())
        losses = [iterate.loss for iterate in painting]
        assert (painting._recorder._graph is not None) == records
        return losses, painting.z.detach()

    (losses, z), (wanted, wanted_z) = course(6, records=True), course(6, records=False)
    assert losses == pytest.approx(wanted, abs=2e-2)
    assert torch.cosine_similarity(z.flatten(), wanted_z.flatten(), dim=0) > 0.99


class NoGraph:
    """Fail to be recorded."""

    error: BaseException = RuntimeError()

    def register_generator_state(self, rng):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        raise self.error


def noise(rng):
    drawn = torch.rand(2, generator=rng)
    return drawn, drawn + 1


def chained(outer, inner):
    outer.__context__ = inner
    return outer


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        chained(RuntimeError("the recording was not ended"), torch.OutOfMemoryError("CUDA out of memory.")),
    ],
)
def test_where_a_recording_does_not_fit_the_same_numbers_are_drawn(tape, monkeypatch, error):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", NoGraph)
    monkeypatch.setattr(NoGraph, "error", error)
    rng, plain = (torch.Generator().manual_seed(5) for _ in range(2))
    recorder = Recorder([rng])
    for _ in range(5):
        first, second = recorder.run(lambda: noise(rng))
        wanted = torch.rand(2, generator=plain)
        assert torch.equal(first, wanted)
        assert torch.equal(second, wanted + 1)


@pytest.mark.parametrize(
    "error", [RuntimeError("illegal memory access"), chained(RuntimeError("not ended"), ValueError("a mistake"))]
)
def test_what_else_goes_wrong_in_a_recording_is_said(tape, monkeypatch, error):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", NoGraph)
    monkeypatch.setattr(NoGraph, "error", error)
    rng = torch.Generator()
    recorder = Recorder([rng])
    for _ in range(2):
        recorder.run(lambda: noise(rng))
    with pytest.raises(RuntimeError, match=str(error)):
        recorder.run(lambda: noise(rng))


def test_work_is_run_twice_as_it_is_before_it_is_recorded_and_again_when_forgotten(tape):
    rng = torch.Generator()
    recorder, done = Recorder([rng]), []

    def work():
        done.append(1)
        return torch.zeros(1), torch.ones(1)

    made = []
    for _ in range(4):
        recorder.run(work)
        made.append(Tape.made)
    assert (made, len(done)) == ([0, 0, 1, 1], 3), "the last from the recording"
    recorder.forget()
    for _ in range(3):
        recorder.run(work)
    assert (Tape.made, len(done)) == (2, 6)
