"""What a process is confined and protected by, asked of a kernel that the test answers for."""

import ctypes
import errno
import os
import struct
from types import SimpleNamespace

import pytest

from bot import sandbox

ENVIRONMENT = b"BEFORE=a\0TOKEN=very-secret\0NO_TOKEN=mine\0AFTER=b\0EMPTY=\0TOKEN=again\0"


@pytest.mark.parametrize(
    ("name", "values"),
    [(b"TOKEN", [b"very-secret", b"again"]), (b"AFTER", [b"b"]), (b"EMPTY", [b""]), (b"TOK", []), (b"NONE", [])],
)
def test_the_values_of_a_variable_are_found_in_memory(name, values):
    begins = sandbox._values(ENVIRONMENT, name)
    assert [ENVIRONMENT[begin:].partition(b"\0")[0] for begin in begins] == values


class Libc:
    """What is asked of the kernel, which answers as it is told to."""

    def __init__(self, *answers):
        self.answers, self.calls = list(answers), []
        self.prctl = lambda *what: self.calls.append(what)

    def syscall(self, *what):
        self.calls.append(tuple(getattr(one, "value", one) for one in what))
        return self.answers.pop(0)


def test_secrets_leave_the_environment_and_the_memory_that_it_came_from(monkeypatch):
    memory, libc = ctypes.create_string_buffer(ENVIRONMENT, len(ENVIRONMENT)), Libc()
    begin = ctypes.addressof(memory)
    fields = [b"0"] * 47 + [str(begin).encode(), str(begin + len(ENVIRONMENT)).encode(), b"0"]
    stat = b"123 (a) strange (name) " + b" ".join(fields)
    monkeypatch.setattr(sandbox, "Path", {"/proc/self/stat": SimpleNamespace(read_bytes=lambda: stat)}.__getitem__)
    monkeypatch.setattr(sandbox.ctypes, "CDLL", lambda name: libc)
    for name in ("TOKEN", "AFTER"):
        monkeypatch.setenv(name, "x")
    sandbox.protect("TOKEN", "NOT_SET")
    assert "TOKEN" not in os.environ
    assert os.environ["AFTER"] == "x"
    blanked = ENVIRONMENT.replace(b"=very-secret", b"=xxxxxxxxxxx").replace(b"=again", b"=xxxxx")
    assert memory.raw == blanked, "nothing else is touched"
    assert libc.calls == [(4, 0, 0, 0, 0)], "nobody may look into it"


def test_where_there_is_no_linux_the_environment_is_all_that_there_is(monkeypatch):
    def missing():
        raise FileNotFoundError

    monkeypatch.setattr(sandbox, "Path", lambda name: SimpleNamespace(read_bytes=missing))
    monkeypatch.setenv("TOKEN", "x")
    sandbox.protect("TOKEN")
    assert "TOKEN" not in os.environ


@pytest.mark.parametrize(
    ("landlock", "seccomp", "means"),
    [(True, True, ("landlock", "seccomp")), (False, True, ("seccomp",)), (True, False, ("landlock",))],
)
def test_a_process_is_confined_by_what_there_is(monkeypatch, landlock, seccomp, means):
    libc = Libc()
    monkeypatch.setattr(sandbox.ctypes, "CDLL", lambda name, use_errno: libc)
    monkeypatch.setattr(sandbox, "_landlock", lambda given: given is libc and landlock)
    monkeypatch.setattr(sandbox, "_seccomp", lambda given: given is libc and seccomp)
    assert sandbox.confine() == means
    assert libc.calls == [(38, 1, 0, 0, 0), (4, 0, 0, 0, 0)], "no new privileges, and nobody may look into it"


def test_where_nothing_confines_it_is_said(monkeypatch):
    monkeypatch.setattr(sandbox.ctypes, "CDLL", lambda name, use_errno: Libc(-1))
    monkeypatch.setattr(sandbox.platform, "machine", lambda: "riscv64")
    with pytest.raises(sandbox.SandboxError):
        sandbox.confine()


@pytest.mark.parametrize(
    ("version", "rules"),
    [
        (1, (0x1FFF, 0, 0, 8)),
        (2, (0x3FFF, 0, 0, 8)),
        (3, (0x7FFF, 0, 0, 8)),
        (4, (0x7FFF, 3, 0, 16)),
        (5, (0xFFFF, 3, 0, 16)),
        (6, (0xFFFF, 3, 3, 24)),
        (9, (0xFFFF, 3, 3, 24)),
    ],
)
@pytest.mark.parametrize("taken", [True, False])
def test_landlock_allows_nothing_of_what_its_version_knows(monkeypatch, version, rules, taken):
    closed, libc = [], Libc(version, 77, 0 if taken else -1)
    monkeypatch.setattr(sandbox.os, "close", closed.append)
    assert sandbox._landlock(libc) is taken  # pyright: ignore[reportArgumentType]
    *handled, size = rules
    assert libc.calls == [(444, None, 0, 1), (444, struct.pack("QQQ", *handled), size, 0), (446, 77, 0)]
    assert closed == [77]


@pytest.mark.parametrize("answers", [(-1,), (0,), (4, -1)])
def test_a_kernel_without_landlock_is_not_asked_further(answers):
    assert not sandbox._landlock(Libc(*answers))  # pyright: ignore[reportArgumentType]


class Filters(Libc):
    """A kernel that takes a filter of system calls, as linux/filter.h describes it."""

    program: list[tuple[int, int, int, int]]

    def syscall(self, *what):
        length, address = struct.unpack("HxxxxxxP", what[3])
        self.program = list(struct.iter_unpack("HBBI", ctypes.string_at(address, 8 * length)))
        return super().syscall(*what[:3])

    def judge(self, number, architecture, third=0):
        """Run the filter on a system call; return what becomes of it."""
        seen = {0: number, 4: architecture, 32: third}
        value = place = 0
        while True:
            code, if_so, if_not, constant = self.program[place]
            place += 1
            if code == 0x20:
                value = seen[constant]
            elif code == 0x15:
                place += if_so if value == constant else if_not
            elif code == 0x45:
                place += if_so if value & constant else if_not
            else:
                assert code == 0x06
                return constant


ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
X86, ARM = 0xC000003E, 0xC00000B7


@pytest.mark.parametrize(
    ("machine", "architecture", "seccomp", "computing", "mapping", "other"),
    [
        # read, write, close, brk, munmap, futex, clock_gettime, exit_group; mmap, mprotect;
        # openat, execve, clone, socket, kill, ptrace
        ("x86_64", X86, 317, (0, 1, 3, 12, 11, 202, 228, 231), (9, 10), (257, 59, 56, 41, 62, 101, 2)),
        ("aarch64", ARM, 277, (63, 64, 57, 214, 215, 98, 113, 94), (222, 226), (56, 221, 220, 198, 129, 117)),
    ],
)
def test_the_filter_lets_computing_through_and_nothing_else(
    monkeypatch, machine, architecture, seccomp, computing, mapping, other
):
    monkeypatch.setattr(sandbox.platform, "machine", lambda: machine)
    kernel = Filters(0)
    assert sandbox._seccomp(kernel)  # pyright: ignore[reportArgumentType]
    assert kernel.calls == [(seccomp, 1, 1)]
    assert [kernel.judge(number, architecture) for number in computing] == [ALLOW] * len(computing)
    assert [kernel.judge(number, architecture) for number in other] == [REFUSE] * len(other)
    for number in mapping:
        assert [kernel.judge(number, architecture, third) for third in (0, 1, 3, 4, 5, 7)] == [ALLOW] * 3 + [REFUSE] * 3
    wrong = ARM if architecture == X86 else X86
    assert kernel.judge(computing[0], wrong) == KILL


def test_a_filter_that_is_not_taken_and_a_machine_that_is_not_known_confine_nothing(monkeypatch):
    monkeypatch.setattr(sandbox.platform, "machine", lambda: "x86_64")
    assert not sandbox._seccomp(Filters(-1))  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(sandbox.platform, "machine", lambda: "riscv64")
    assert not sandbox._seccomp(Filters(0))  # pyright: ignore[reportArgumentType]
