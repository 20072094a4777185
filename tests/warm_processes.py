"""Processes forked from one that has imported torch and the bot already: each would take seconds of work else."""

import functools
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

_PRELOADED = ["bot.worker.process", "bot.queue.service", "bot.cli.painting", "tests.bot.worker.tiny_child"]
_PROCESSES = multiprocessing.get_context("forkserver")


def start(*modules: str) -> forkserver.ForkServer:
    """Start the process that others are forked from, with more modules imported; it ends with this one."""
    server = forkserver.ForkServer()
    server.set_forkserver_preload([*_PRELOADED, *modules])
    server.ensure_running()
    return server


@functools.cache
def server() -> forkserver.ForkServer:
    """Return the one of this process's tests."""
    return start()


def use(server: forkserver.ForkServer, setattr_: Callable[..., Any] = setattr) -> None:
    """Let the bot's child processes be forked from `server`; `setattr_` may be monkeypatch's."""
    setattr_(forkserver, "connect_to_new_process", server.connect_to_new_process)
    setattr_(bot.worker.child, "_PROCESSES", _PROCESSES)


def inherit(server: forkserver.ForkServer) -> None:
    """Use the `server` of the process that this one was forked from."""
    server.ensure_running = lambda: None  # type: ignore[method-assign]  # its parent sees to that
    sys.modules["__main__"].__spec__ = None  # else each child would import it first
    vars(sys.modules["__main__"]).pop("__file__", None)
    use(server)


class Program:
    """Run Python code as a program of its own, as `subprocess.Popen([sys.executable, "-c", code, …])` does."""

    def __init__(
        self, code: str, *arguments: object, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.stdout, output = _pipe()
        self.stderr, errors = _pipe()
        given = (code, [*map(str, arguments)], str(folder or Path.cwd()), dict(environment or os.environ))
        self._process = _PROCESSES.Process(target=_live, args=(output, errors, *given), daemon=True)
        usual = forkserver.connect_to_new_process
        forkserver.connect_to_new_process = server().connect_to_new_process
        try:
            self._process.start()
        finally:
            forkserver.connect_to_new_process = usual
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


def _live(
    output: Connection, errors: Connection, code: str, arguments: list[str], folder: str, environment: dict[str, str]
) -> None:
    for pipe, number in ((output, 1), (errors, 2)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})
