"""What other processes can learn of one that has a secret, and what is left to one that is confined."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot import sandbox

ROOT = Path(sandbox.__file__).parents[1]
SCRIPT = """
import os, subprocess, sys
from bot.sandbox import protect
protect("DISCORD_TOKEN")
child = [sys.executable, "-c", "import os; print(dict(os.environ))"]
print(os.environ.get("DISCORD_TOKEN"), subprocess.check_output(child))
print(open("/proc/self/environ", "rb").read())
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.fixture
def protected():
    """A process that was started with a token in its environment and is protected by now."""
    environment = os.environ | {"BEFORE": "a", "DISCORD_TOKEN": "very-secret", "AFTER": "b"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=pipe, stdout=pipe, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        yield process
        process.kill()


def test_the_token_is_in_no_environment(protected):
    own = protected.stdout.readline() + protected.stdout.readline()
    seen = Path(f"/proc/{protected.pid}/environ").read_bytes()  # by root, who may
    for content in (own, seen):
        assert b"very-secret" not in content
        assert b"BEFORE" in content
        assert b"AFTER" in content


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
def test_another_process_of_the_same_user_cannot_look_into_it():
    script = """
import ctypes, os
from bot.sandbox import protect
os.setgid(12345), os.setuid(12345)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process is that did not change its user
ours, theirs = os.pipe(), os.pipe()
if (other := os.fork()) == 0:
    os.close(ours[1])
    while os.read(ours[0], 1):
        try:
            open(f"/proc/{os.getppid()}/mem", "rb"), open(f"/proc/{os.getppid()}/environ", "rb")
            os.write(theirs[1], b"open")
        except PermissionError:
            os.write(theirs[1], b"shut")
    os._exit(0)
os.write(ours[1], b".")
before = os.read(theirs[0], 4)
protect()
os.write(ours[1], b".")
print(before, os.read(theirs[0], 4))
"""
    assert subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, timeout=60) == b"b'open' b'shut'\n"


def test_confining_leaves_only_computing():
    script = (
        "from bot.sandbox import confine; import os; print(confine(), flush=True); print(sum(range(9)), flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, text=True)
    version = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
    assert done.stdout == f"{('landlock', 'seccomp') if version > 0 else ('seccomp',)}\n36\n"
