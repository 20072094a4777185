"""A cluster's painters come and go with its machines; what keeps one from painting is one sentence."""

import os
import signal
import sys

import pytest

from bot.settings import ModelSettings
from bot.worker.events import Checkpointed, Rendered, Started
from bot.worker.pool import PoolCallbacks
from bot.worker.ray_actor import NodeError, PaintingActor, code_version
from bot.worker.ray_pool import RayPool
from engine.devices import BadDeviceError
from tests.bot.conftest import make_order, until
from tests.bot.worker import tiny_actor
from tests.bot.worker.clusters import PATIENCE, add_machine, free_port, on_cluster, ray_cluster, with_worker


async def test_painters_come_and_go_with_gpus_and_a_driver_that_dies_is_replaced(
    open_queue, settings, tiny_models, ask, spec, monkeypatch
):
    monkeypatch.setattr("bot.worker.ray_pool.drive", tiny_actor.drive)
    with ray_cluster(machines=0) as cluster:
        queue, audience = await open_queue(on_cluster(settings, cluster, tiny_models, painters=None))
        job = await queue.submit(ask(spec=spec.but(steps=4000)))
        assert list(queue.painters) == []
        assert not queue.worker_alive
        machine = add_machine(cluster, num_gpus=1)
        await audience.wait(job.id, Checkpointed, PATIENCE)
        [painter] = queue.painters
        assert painter.alive
        assert painter.node
        os.kill(queue._pool.driver_pid, signal.SIGKILL)
        await until(lambda: len(audience.of(job.id, Started)) == 2, PATIENCE)
        assert audience.of(job.id, Started)[1].step > 0
        assert await queue.stop(job.id)
        await audience.wait(job.id, Rendered, PATIENCE)
        cluster.remove_node(machine, allow_graceful=False)
        await until(lambda: not queue.painters, PATIENCE)
        await queue.close()


async def test_a_head_that_was_started_again_is_found(open_queue, settings, tiny_models, ask, spec, monkeypatch):
    monkeypatch.setattr("bot.worker.ray_pool.drive", tiny_actor.drive)
    port = free_port()
    with ray_cluster(machines=1, port=port) as cluster:
        queue, audience = await open_queue(on_cluster(settings, cluster, tiny_models, painters=1))
        job = await queue.submit(ask(spec=spec.but(steps=4000)))
        await audience.wait(job.id, Checkpointed, PATIENCE)
    with ray_cluster(machines=1, port=port):
        await until(lambda: len(audience.of(job.id, Started)) == 2, PATIENCE)
        assert audience.of(job.id, Started)[1].step > 0
        assert await queue.stop(job.id)
        await audience.wait(job.id, Rendered, PATIENCE)
        await queue.close()


async def test_without_ray_one_sentence_says_how_to_get_it(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    pool = RayPool(with_worker(settings, isolation="ray"), PoolCallbacks(print, print, print, print))
    with pytest.raises(BadDeviceError, match=r"pip install \.\[cluster\]"):
        await pool.start()
    await pool.close(1)


def test_a_machine_with_other_code_or_without_the_weights_does_not_paint(settings, tmp_path):
    with pytest.raises(NodeError, match="another version of the program"):
        PaintingActor().ready(settings, "0123")
    weights = ModelSettings(folder=tmp_path / "models", generator="imagenet-16384", perceptors=("ViT-B/32",))
    (tmp_path / "models").write_text("no folder")
    with pytest.raises(NodeError, match=r"models lacks imagenet-16384\.yaml"):
        PaintingActor().ready(settings.model_copy(update={"models": weights}), code_version())


def test_a_painter_that_was_started_anew_takes_no_order_before_it_is_ready(ask):
    with pytest.raises(NodeError, match="not ready"):
        next(PaintingActor().paint(make_order(ask())))
