"""Painters that are processes."""

from multiprocessing.forkserver import ForkServer

import pytest

from tests import warm_processes


@pytest.fixture(scope="session")
def painting_processes() -> ForkServer:
    """What painting processes are forked from, for `tests.warm_processes.use`."""
    return warm_processes.start()
