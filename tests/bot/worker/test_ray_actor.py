"""A painter as an actor: its device once, orders in, events out; what keeps a machine from painting is one sentence."""

import functools
import os
import socket
import sys
import threading

import pytest
import torch

from bot.settings import ModelSettings
from bot.worker import ray_actor
from bot.worker.events import Painted, Started, Stopped
from bot.worker.orders import Control
from bot.worker.ray_actor import NodeError, PaintingActor, code_version
from engine.models import ModelStore
from tests.bot.conftest import make_order


@pytest.fixture
def actor(tiny_models, settings, monkeypatch):
    monkeypatch.setattr("bot.worker.thread.ModelStore", functools.partial(ModelStore, embedded=tiny_models))
    logged = []
    monkeypatch.setattr(ray_actor.logs, "set_up", logged.append)
    yield PaintingActor()
    assert logged in ([], [settings.log], [settings.log] * 2)


def test_it_paints_one_order_after_the_other(actor, settings, ask):
    device = actor.ready(settings, code_version())
    assert str(device).startswith("cpu")
    assert actor.here() == (socket.gethostname(), os.getpid())
    for attempt in (1, 2):
        taken, *events = actor.paint(make_order(ask(), attempt=attempt))
        assert taken is None
        assert {of for _, of in events} == {attempt}
        assert (type(events[0][0]), type(events[-1][0])) == (Started, Painted)


def test_controls_find_the_order_that_was_taken(actor, settings, ask, spec):
    actor.ready(settings, code_version())
    stream = actor.paint(make_order(ask(spec=spec.but(steps=4000))))
    assert next(stream) is None
    actor.control(Control("abcdefgh", "end", "drop"))
    assert [event for event, _ in stream][-1] == Stopped("abcdefgh")


def test_its_device_is_set_up_once_however_often_it_is_asked(actor, settings, monkeypatch):
    threads = lambda: [one for one in threading.enumerate() if "_run" in one.name]  # noqa: E731
    before = len(threads())
    assert actor.ready(settings, code_version()) is actor.ready(settings, code_version())
    assert len(threads()) == before + 1
    assert all(thread.daemon for thread in threads()), "the process of an actor can end"


def test_after_a_problem_it_is_tried_again(actor, settings):
    with pytest.raises(NodeError, match="another version of the program"):
        actor.ready(settings, "0123")
    assert str(actor.ready(settings, code_version())).startswith("cpu")


def test_a_problem_names_the_machine(actor, settings):
    worker = settings.worker.model_copy(update={"device": "cuda:9"})
    with pytest.raises(NodeError, match=rf"^{socket.gethostname()}: .*cuda:9"):
        actor.ready(settings.model_copy(update={"worker": worker}), code_version())


def test_a_machine_without_the_weights_does_not_paint(actor, settings, tmp_path):
    weights = ModelSettings(folder=tmp_path / "models", generator="imagenet-16384", perceptors=("ViT-B/32",))
    (tmp_path / "models").write_text("no folder")
    with pytest.raises(NodeError, match=r"models lacks imagenet-16384\.yaml, imagenet-16384\.\w+ of the model 'ima"):
        actor.ready(settings.model_copy(update={"models": weights}), code_version())


@pytest.mark.parametrize("here", [True, False])
def test_each_network_is_fetched_where_it_is_missing_and_verified_where_not(monkeypatch, tmp_path, here):
    done = []
    monkeypatch.setattr(ray_actor, "is_here", lambda name, models: here)
    monkeypatch.setattr(ray_actor, "verify", lambda model, folder: done.append(("verify", model.name, folder)))
    monkeypatch.setattr(ray_actor, "fetch", lambda model, folder: done.append(("fetch", model.name, folder)))
    models = ModelSettings(folder=tmp_path, generator="imagenet-16384", perceptors=("ViT-B/32", "embedded"))
    ray_actor._require_weights(models)
    what = "verify" if here else "fetch"
    assert done == [(what, "imagenet-16384", tmp_path), (what, "ViT-B/32", tmp_path)]


def test_one_that_was_started_anew_takes_no_order_before_it_is_ready(ask):
    with pytest.raises(NodeError, match="not ready"):
        next(PaintingActor().paint(make_order(ask())))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lost_device_ends_the_process(actor, settings, ask, monkeypatch):
    ended = threading.Event()
    codes = []

    def leave(code):
        codes.append(code)
        ended.set()
        sys.exit()

    def lost(*_):
        raise torch.AcceleratorError("CUDA error")

    monkeypatch.setattr(ray_actor.os, "_exit", leave)
    monkeypatch.setattr("bot.worker.runner.JobRunner.paint", lost)
    actor.ready(settings, code_version())
    assert next(actor.paint(make_order(ask()))) is None
    assert ended.wait(60)
    assert codes == [1]


def test_a_version_is_that_of_all_code_that_paints(monkeypatch, tmp_path):
    for name in ("engine/deep/a.py", "bot/worker/ray_actor.py", "bot/chat.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one = 1")
    monkeypatch.setattr(ray_actor, "__file__", str(tmp_path / "bot/worker/ray_actor.py"))

    def version():
        code_version.cache_clear()
        return code_version()

    first = version()
    assert len(first) == 16
    (tmp_path / "bot/chat.py").write_text("one = 2")
    assert version() == first, "it paints nothing"
    (tmp_path / "engine/deep/a.py").write_text("one = 2")
    second = version()
    assert second != first
    (tmp_path / "engine/deep/a.py").rename(tmp_path / "engine/deep/b.py")
    third = version()
    assert third not in (first, second)
    (tmp_path / "bot/worker/ray_actor.py").write_text("one = 2")
    assert version() != third
    code_version.cache_clear()
