"""What a process may do to others, and others to it: Linux' own means, without any privilege.

`confine` is for a process that reads what strangers send: from there on it computes, and talks through what is open.
`protect` is for the process that has something to lose: the token, and everybody's pictures.
"""

import ctypes
import errno
import os
import platform
import struct
from pathlib import Path

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT, _LANDLOCK_ASK_VERSION = 444, 446, 1
_FILES_OF_VERSION = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_FILES, _TCP, _SIGNALS_AND_SOCKETS = 0xFFFF, 0b11, 0b11
_SECCOMP_SET_FILTER, _SECCOMP_ALL_THREADS = 1, 1
_KILL, _ALLOW, _REFUSE = 0x80000000, 0x7FFF0000, 0x00050000 | errno.EPERM
_LOAD, _IF_EQUAL, _IF_BITS, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _THIRD_ARGUMENT = 0, 4, 32
"""Where these lie in the kernel's `struct seccomp_data`."""
_PROT_EXEC = 4

_ALLOWED = (
    ("read write writev close lseek", (0, 1, 20, 3, 8), (63, 64, 66, 57, 62)),
    ("brk mmap mprotect munmap mremap madvise", (12, 9, 10, 11, 25, 28), (214, 222, 226, 215, 216, 233)),
    ("rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack", (13, 14, 15, 131), (134, 135, 139, 132)),
    ("futex restart_syscall sched_yield", (202, 219, 24), (98, 128, 124)),
    ("nanosleep clock_nanosleep clock_gettime times getrusage", (35, 230, 228, 100, 98), (101, 115, 113, 153, 165)),
    ("getrandom getpid gettid exit exit_group", (318, 39, 186, 60, 231), (278, 172, 178, 93, 94)),
)
"""What computing takes, and talking through pipes that are open: no path, no socket, no process, no thread.

System calls, with their numbers on x86_64 and on aarch64."""
_MACHINES = {"x86_64": (1, 0xC000003E, 317), "aarch64": (2, 0xC00000B7, 277)}
"""For each machine: the column of its numbers, its AUDIT_ARCH, and the number of seccomp(2)."""


class SandboxError(Exception):
    """A system that offers nothing to confine a process with."""


def confine() -> tuple[str, ...]:
    """Give up all but computing, for good; return by what: "landlock", "seccomp". Raise `SandboxError` if by neither.

    Import and open what is needed before: afterwards no file can be opened, no program, process or thread be started,
    no other process be looked into or ended, no network be reached, and no memory become code.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    means = tuple(name for name, take in (("landlock", _landlock), ("seccomp", _seccomp)) if take(libc))
    if not means:
        raise SandboxError("This system has neither seccomp nor Landlock.")
    return means


def protect(*secrets: str) -> None:
    """Keep other processes of the same user out of this one's memory, and its `secrets` out of its environment.

    A variable that is only deleted can still be read in /proc, where the kernel shows the memory that the program was
    started with: that is blanked too.
    """
    for name in secrets:
        os.environ.pop(name, None)
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        begin, end = int(fields[47]), int(fields[48])
    except OSError:  # no Linux
        return
    block = ctypes.string_at(begin, end - begin) if begin else b""
    for name in secrets:
        for start in _values(block, name.encode()):
            ctypes.memset(begin + start, ord("x"), block.index(b"\0", start) - start)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _values(block: bytes, name: bytes) -> list[int]:
    """Return where the values of a variable begin."""
    found, place = [], 0
    for entry in block.split(b"\0")[:-1]:
        if entry.startswith(name + b"="):
            found.append(place + len(name) + 1)
        place += len(entry) + 1
    return found


def _landlock(libc: ctypes.CDLL) -> bool:
    """Allow no file, no TCP and no signal to anybody: a set of rules without a rule."""
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_ASK_VERSION)
    if version < 1:
        return False
    tcp, signals = (_TCP if version >= 4 else 0), (_SIGNALS_AND_SOCKETS if version >= 6 else 0)
    handled = struct.pack("QQQ", _FILES_OF_VERSION.get(version, _FILES), tcp, signals)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(_LANDLOCK_CREATE, handled, ctypes.c_size_t(size), 0)
    if rules < 0:
        return False
    done = libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(rules)
    return done


def _seccomp(libc: ctypes.CDLL) -> bool:
    """Refuse every system call but `_ALLOWED`, and those where they would make memory executable."""
    if platform.machine() not in _MACHINES:
        return False
    column, architecture, seccomp = _MACHINES[platform.machine()]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for name, number in ((n, k) for row in _ALLOWED for n, k in zip(row[0].split(), row[column], strict=True)):
        if name in ("mmap", "mprotect"):
            program += [
                (_IF_EQUAL, 0, 4, number),
                (_LOAD, 0, 0, _THIRD_ARGUMENT),
                (_IF_BITS, 0, 1, _PROT_EXEC),
                (_RETURN, 0, 0, _REFUSE),
                (_RETURN, 0, 0, _ALLOW),
            ]
        else:
            program += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    program.append((_RETURN, 0, 0, _REFUSE))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    return libc.syscall(seccomp, _SECCOMP_SET_FILTER, _SECCOMP_ALL_THREADS, header) == 0


if __name__ == "__main__":  # what this system offers, tried on this process
    print(*confine())  # noqa: T201
