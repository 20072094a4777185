"""A cluster's painters come and go with its machines; `tests/end_to_end/test_ray.py` loses its head, too."""

import os
import signal

from bot.worker.events import Checkpointed, Rendered, Started
from tests.bot.conftest import until
from tests.bot.worker import tiny_actor
from tests.bot.worker.clusters import PATIENCE, add_machine, on_cluster, ray_cluster


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
