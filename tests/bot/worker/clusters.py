"""Small real Ray clusters on this machine, and what stands for one painter of them."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from bot.settings import RaySettings, Settings
from bot.worker.painter import Callbacks
from bot.worker.pool import PoolCallbacks
from bot.worker.ray_pool import RayPool
from tests.bot.conftest import until

_STORE = 80_000_000
"""Bytes of shared memory for each machine."""
PATIENCE = 200.0


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@contextlib.contextmanager
def ray_cluster(machines: int, port: int | None = None, **resources: Any) -> Iterator[Cluster]:
    """A head that paints nothing, and machines with one CPU each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112, so it is spelled; else whatever else runs here goes first
    head = {
        "gcs_server_port": port or free_port(),
        "num_cpus": 0,
        "include_dashboard": False,
        "object_store_memory": _STORE,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(machines):
            add_machine(cluster, **resources)
        yield cluster
    finally:
        cluster.shutdown()


def add_machine(cluster: Cluster, **resources: Any) -> Any:
    node: Any = {"num_cpus": 1, "object_store_memory": _STORE} | resources
    return cluster.add_node(**node)


def with_worker(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update={"worker": settings.worker.model_copy(update=changes)})


def on_cluster(settings: Settings, cluster: Cluster, models: Path, painters: int | None) -> Settings:
    """Settings under which the cluster paints, with the networks in `models`."""
    return with_worker(settings, isolation="ray").model_copy(
        update={
            "ray": RaySettings(address=str(cluster.address), painters=painters),
            "models": settings.models.model_copy(update={"folder": models}),
        }
    )


class LoneRayPainter:
    """The only painter of a cluster, with the methods of any other."""

    def __init__(self, settings: Settings, callbacks: Callbacks) -> None:
        self._pool = RayPool(
            settings, PoolCallbacks(callbacks.on_event, callbacks.on_free, callbacks.on_lost, callbacks.on_lost)
        )

    async def start(self) -> None:
        await self._pool.start()
        await until(lambda: self._pool.alive, PATIENCE)

    async def close(self, seconds: float) -> None:
        await self._pool.close(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool.painters[0], name)
