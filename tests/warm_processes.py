"""Processes forked from one that has imported everything and loaded the pair: each would take seconds of work else."""

import contextlib
import functools
import importlib
import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bot.worker.child

_PRELOADED = (
    "tests.end_to_end.wrong_clock",  # before what takes the time by its name
    "bot.cli.painting",
    "bot.queue.service",
    "bot.worker.process",
    "tests.bot.worker.tiny_child",
    "tests.end_to_end.bot_program",
    "tests.loaded_pair",
)
_ROOT = Path(__file__).parents[1]
_PROCESSES = multiprocessing.get_context("forkserver")


@functools.cache
def server() -> forkserver.ForkServer:
    """Start what this process's tests fork from; it ends with this one."""
    server = forkserver.ForkServer()
    server.set_forkserver_preload([*_PRELOADED])
    with contextlib.chdir(_ROOT):  # it imports from where it is, and says nothing where it cannot
        server.ensure_running()
    forkserver.connect_to_new_process = server.connect_to_new_process
    return server


def process(module: str, function: str, *arguments: Any, daemon: bool = True) -> Any:
    """Start a process that calls a function; one that is to have processes of its own may be no daemon."""
    server()
    started = _PROCESSES.Process(target=_call, args=(module, function, *arguments), daemon=daemon)
    started.start()
    return started


def _call(module: str, function: str, *arguments: Any) -> None:
    getattr(importlib.import_module(module), function)(*arguments)


def fork_painters(setattr_: Callable[..., Any] = setattr) -> None:
    """Let the bot fork its painting processes here, too; `setattr_` may be monkeypatch's."""
    server()
    setattr_(bot.worker.child, "_PROCESSES", _PROCESSES)


def fork_painters_from(address: str) -> None:
    """Do so in a process that was forked itself, from the server at `address`."""
    same = forkserver.ForkServer()
    same._forkserver_address = address  # type: ignore[attr-defined]
    same._forkserver_alive_fd = forkserver._forkserver._forkserver_alive_fd  # type: ignore[attr-defined]
    same.ensure_running = lambda: None  # type: ignore[method-assign]  # whoever started it sees to that
    forkserver.connect_to_new_process = same.connect_to_new_process
    bot.worker.child._PROCESSES = _PROCESSES  # type: ignore[assignment]


class Program:
    """Run Python code as a program of its own, as `subprocess.Popen([sys.executable, "-c", code, …])` does."""

    def __init__(
        self, code: str, *arguments: object, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.stdout, output = _pipe()
        self.stderr, errors = _pipe()
        given = (code, [*map(str, arguments)], str(folder or Path.cwd()), dict(environment or os.environ))
        self._process = process(__name__, "live", output, errors, *given)
        output.close()
        errors.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raise `TimeoutError` where it does not come."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end and return what it wrote and was not read; a pipe holds 64 KiB."""
        self.wait(timeout)
        return self.stdout.read(), self.stderr.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()


def run(code: str, *arguments: object) -> str:
    """Run a program to its end and return what it printed; fail where it fails."""
    program = Program(code, *arguments)
    output, errors = program.communicate()
    assert program.returncode == 0, errors
    return output


def _pipe() -> tuple[io.TextIOWrapper, Connection]:
    reader, writer = _PROCESSES.Pipe(duplex=False)
    return os.fdopen(os.dup(reader.fileno()), encoding="utf-8"), writer


def live(
    output: Connection, errors: Connection, code: str, arguments: list[str], folder: str, environment: dict[str, str]
) -> None:
    """Be the program that was asked for."""
    for pipe, number in ((output, 1), (errors, 2)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})
