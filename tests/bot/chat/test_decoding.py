"""The child process that decodes strangers' pictures, and the parent that outlives it."""

import io
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bot.chat import attachments, decoding
from bot.refusals import Refusal

ROOT = Path(attachments.__file__).parents[2]


def png(size=(64, 48), mode="RGB", colour: str | int = "red"):
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.fixture(scope="module")
def costly():
    """The largest size allowed, in the form that takes the most memory: a palette with a clear colour."""
    file = io.BytesIO()
    Image.new("P", (8000, 8000)).save(file, "PNG", transparency=0, compress_level=1)
    return file.getvalue()


def child(limit, value, content):
    """Run the child with one of its limits lowered."""
    script = (
        f"import sys, bot.chat.decoding as d; d._LIMITS[{limit}] = {value}; sys.exit(d.main('picture', 10**9, 4096))"
    )
    return subprocess.run([sys.executable, "-c", script], input=content, capture_output=True, cwd=ROOT, check=False)


def replace_child(monkeypatch, tmp_path, script):
    """Run a shell script in the child's place."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_picture_and_a_mask_come_back_as_png():
    picture = attachments.decode(png(), "picture", 10**6, 4096)
    assert (picture.width, picture.height) == (64, 48)
    assert Image.open(io.BytesIO(picture.png)).getpixel((5, 5)) == (255, 0, 0)
    mask = attachments.decode(png(mode="L", colour="white"), "mask", 10**6, 4096)
    assert Image.open(io.BytesIO(mask.png)).mode == "L"


def test_what_is_larger_than_any_painting_is_kept_smaller():
    upload = attachments.decode(png((5000, 2500), "L", 7), "picture", 10**7, 4096)
    assert (upload.width, upload.height) == (4096, 2048)


def test_the_largest_picture_allowed_fits_the_limits(costly):
    upload = attachments.decode(costly, "picture", 10**8, 4096)
    assert (upload.width, upload.height) == (4096, 4096)


def test_a_decoder_that_wants_too_much_memory_says_so(costly):
    done = child(resource.RLIMIT_AS, 500 * 2**20, costly)
    assert done.returncode == 3
    assert done.stderr == b"That picture needs too much memory; send a smaller one."
    assert not done.stdout


def test_a_decoder_that_takes_too_much_time_is_ended():
    loop = "import bot.chat.decoding as d; d._LIMITS[0] = 1; d.read_picture = lambda *_: exec('while True: pass')"
    script = f"import sys; {loop}; sys.exit(d.main('picture', 10**9, 4096))"
    assert resource.RLIMIT_CPU == 0
    done = subprocess.run([sys.executable, "-c", script], input=b"", capture_output=True, cwd=ROOT, check=False)
    assert done.returncode < 0
    assert not done.stdout


@pytest.fixture
def taken_over(tmp_path):
    """Run Python in the place of the decoder of a bot that knows a secret; return what became of each attempt."""
    mine = tmp_path / "picture.png"
    mine.write_bytes(png())

    def attack(attempts):
        script = f"""
import ctypes, mmap, os, signal, socket, subprocess, sys, threading
import bot.chat.decoding as d
libc = ctypes.CDLL(None, use_errno=True)
parent, mine = os.getppid(), {str(mine)!r}
def attack(*_):
    for attempt in {attempts!r}:
        try:
            print(repr(eval(attempt)), file=sys.stderr)
        except BaseException as error:
            print(type(error).__name__, file=sys.stderr)
    raise d.BadPictureError("")
d.read_picture = attack
sys.exit(d.main('picture', 10**9, 4096))
"""
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, input=png(), capture_output=True, cwd=ROOT, check=False, env={})
        assert mine.read_bytes() == png()
        return done.stderr.decode().splitlines()

    return attack


def test_a_taken_over_decoder_computes_and_no_more(taken_over):
    attempts = [
        "open(f'/proc/{parent}/environ').read()",
        "open(f'/proc/{parent}/mem', 'rb').read(1)",
        "open(mine, 'rb').read()",
        "open(mine, 'wb')",
        "open('/tmp/left-behind', 'x')",
        "os.unlink(mine)",
        "os.rename(mine, mine + '2')",
        "os.chmod(mine, 0)",
        "os.listdir('/')",
        "os.stat(mine)",
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "os.kill(parent, signal.SIGTERM)",
        "os.fork()",
        "subprocess.run(['/bin/true'])",
        "os.execv('/bin/true', ['true'])",
        "threading.Thread(target=print).start()",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
        "__import__('wave')",
    ]
    refusals = {"PermissionError", "RuntimeError", "ModuleNotFoundError", "SubprocessError"}
    outcomes = taken_over(attempts)
    assert len(outcomes) == len(attempts)
    assert not {
        attempt: outcome for attempt, outcome in zip(attempts, outcomes, strict=True) if outcome not in refusals
    }


def test_a_taken_over_decoder_reaches_no_memory_by_number(taken_over):
    """What libc is asked for directly: process_vm_readv, ptrace, prctl to become dumpable, io_uring, bpf."""
    calls = {"x86_64": (310, 101, 157, 425, 321), "aarch64": (270, 117, 167, 425, 280)}[platform.machine()]
    outcomes = taken_over([f"libc.syscall({number}, parent, 0, 0, 0, 0, 0)" for number in calls])
    assert outcomes == ["-1"] * len(calls)


def test_what_a_taken_over_decoder_writes_is_no_picture_unless_it_is_pixels(monkeypatch, tmp_path):
    header = decoding.HEADER
    good = header.pack(b"RGB", 2, 1) + bytes(6)
    bad = [b"", png(), good[:-1], good + b"x", header.pack(b"RGB", 2**31, 2**31), header.pack(b"P", 2, 1) + bytes(2)]
    assert attachments.from_pixels(good, 10**6) is not None
    assert [attachments.from_pixels(written, 10**6) for written in bad] == [None] * len(bad)


def test_where_nothing_confines_it_nothing_is_read(monkeypatch, tmp_path):
    script = "import sys, bot.sandbox as s, bot.chat.decoding as d; s._landlock = s._seccomp = lambda _: False;"
    script += "d.read_picture = lambda *_: sys.stderr.write('read'); sys.exit(d.main('picture', 10**9, 4096))"
    done = subprocess.run([sys.executable, "-c", script], input=png(), capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (decoding.NOT_CONFINED, b"")
    replace_child(monkeypatch, tmp_path, f"exit {decoding.NOT_CONFINED}")
    with pytest.raises(Refusal, match="cannot be read safely on this machine"):
        attachments.decode(png(), "picture", 10**6, 4096)


def passes(times):
    """A small JPEG that a decoder has to go over `times` times: its last scan, again and again."""
    file = io.BytesIO()
    Image.effect_noise((512, 512), 90).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * times + data[-2:]


def test_a_jpeg_of_many_passes_is_refused_before_it_is_decoded():
    assert attachments.decode(passes(1), "picture", 10**7, 4096).width == 512
    with pytest.raises(Refusal, match="far too many passes"):
        attachments.decode(passes(900), "picture", 10**8, 4096)


def test_what_a_jpeg_becomes_is_bounded_too():
    file = io.BytesIO()
    Image.effect_noise((1500, 1500), 90).convert("RGB").save(file, "JPEG", quality=60)
    upload = attachments.decode(file.getvalue(), "picture", 2 * 10**6, 4096)
    assert len(upload.png) <= 2 * 10**6
    assert upload.width == upload.height < 1500


@pytest.mark.parametrize("script", ["kill -SEGV $$", "kill -KILL $$", "exit 1", "echo Traceback >&2; exit 1"])
def test_a_child_that_dies_is_a_refusal(monkeypatch, tmp_path, script):
    replace_child(monkeypatch, tmp_path, script)
    with pytest.raises(Refusal) as refused:
        attachments.decode(png(), "picture", 10**6, 4096)
    assert str(refused.value) == "That picture cannot be read; save it anew as a PNG."


def test_a_child_that_hangs_is_ended_and_refused(monkeypatch, tmp_path):
    replace_child(monkeypatch, tmp_path, "exec sleep 600")
    monkeypatch.setattr(attachments, "_DECODING_SECONDS", 0.2)
    with pytest.raises(Refusal, match="takes too long"):
        attachments.decode(png(), "picture", 10**6, 4096)


def test_the_child_knows_no_secret(monkeypatch, tmp_path):
    monkeypatch.setenv("DISCORD_TOKEN", "a secret")
    monkeypatch.setenv("PAINTER__DISCORD__API_BASE", "http://somewhere")
    replace_child(monkeypatch, tmp_path, "env >&2; exit 3")
    with pytest.raises(Refusal) as refused:
        attachments.decode(png(), "picture", 10**6, 4096)
    assert "OMP_NUM_THREADS=1" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "somewhere" not in str(refused.value)
