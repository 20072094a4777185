"""Painting processes forked from one that has imported torch already: each would take seconds of work else."""

import multiprocessing
from collections.abc import Callable
from multiprocessing import forkserver
from typing import Any

import bot.worker.child

_PRELOADED = ["bot.worker.process", "tests.bot.worker.tiny_child"]


def start() -> forkserver.ForkServer:
    """Start the process that others are forked from; it ends with this one."""
    server = forkserver.ForkServer()
    server.set_forkserver_preload(_PRELOADED)
    server.ensure_running()
    return server


def use(server: forkserver.ForkServer, setattr_: Callable[..., Any] = setattr) -> None:
    """Let the bot's child processes be forked from `server`; `setattr_` may be monkeypatch's."""
    setattr_(forkserver, "connect_to_new_process", server.connect_to_new_process)
    setattr_(bot.worker.child, "_PROCESSES", multiprocessing.get_context("forkserver"))


def inherit(server: forkserver.ForkServer) -> None:
    """Use the `server` of the process that this one was forked from."""
    server.ensure_running = lambda: None  # type: ignore[method-assign]  # its parent sees to that
    use(server)
