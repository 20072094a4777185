"""Painters that are processes."""

from collections.abc import Iterator
from multiprocessing.forkserver import ForkServer

import pytest

from tests import warm_processes


@pytest.fixture(scope="session")
def painting_processes() -> Iterator[ForkServer]:
    """What painting processes are forked from, for `tests.warm_processes.use`."""
    server = warm_processes.start()
    yield server
    server._stop()
