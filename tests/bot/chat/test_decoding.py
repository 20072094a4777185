"""The child process that decodes strangers' pictures."""

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
from bot.sandbox import SandboxError

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


def test_where_nothing_confines_it_nothing_is_read():
    script = "import sys, bot.sandbox as s, bot.chat.decoding as d; s._landlock = s._seccomp = lambda _: False;"
    script += "d.read_picture = lambda *_: sys.stderr.write('read'); sys.exit(d.main('picture', 10**9, 4096))"
    done = subprocess.run([sys.executable, "-c", script], input=png(), capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (decoding.NOT_CONFINED, b"")


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


class Program:
    """The child's program in this process: its streams are here, and so are its limits, which are noted only."""

    def __init__(self, monkeypatch):
        self.limits, self._patch = {}, monkeypatch
        monkeypatch.setattr(resource, "setrlimit", lambda kind, both: self.limits.update({kind: both}))
        monkeypatch.setattr(decoding, "confine", lambda: None)  # the tests above are about what holds it

    def __call__(self, content, purpose="picture", file_bytes=10**6, longest_side=4096):
        """Return the status, the mode, the size and the pixels that it writes, and the sentence."""
        written, said = (io.TextIOWrapper(io.BytesIO()) for _ in range(2))
        for name, stream in (("stdin", io.TextIOWrapper(io.BytesIO(content))), ("stdout", written), ("stderr", said)):
            self._patch.setattr(sys, name, stream)
        status = decoding.main(purpose, file_bytes, longest_side)
        said.seek(0)
        output = written.buffer.getvalue()
        header, pixels = output[: decoding.HEADER.size], output[decoding.HEADER.size :]
        return status, decoding.HEADER.unpack(header) if header else None, pixels, said.read()


@pytest.fixture
def program(monkeypatch):
    return Program(monkeypatch)


def test_what_is_written_is_the_size_and_the_pixels(program):
    assert program(png((12, 8))) == (0, (b"RGB\0", 12, 8), b"\xff\0\0" * 96, "")
    assert program(png((12, 8), "L", 200), "mask") == (0, (b"L\0\0\0", 12, 8), b"\xc8" * 96, "")
    assert program(png((12, 8), "L", 200)) == (0, (b"RGB\0", 12, 8), b"\xc8" * 288, ""), "a grey picture is no mask"
    assert program(png((40, 30)), longest_side=20)[1] == (b"RGB\0", 20, 15)
    assert program(png((30, 40)), longest_side=40)[1] == (b"RGB\0", 30, 40), "no smaller than it must be"


def test_what_is_refused_is_said_and_nothing_is_written(program, monkeypatch):
    status, header, pixels, said = program(b"<html>")
    assert (status, header, pixels) == (decoding.REFUSED, None, b"")
    assert "no picture that can be read" in said
    content = png()
    assert program(content, file_bytes=len(content))[0] == 0
    status, header, pixels, said = program(content, file_bytes=len(content) - 1)
    assert (status, header, pixels) == (decoding.REFUSED, None, b"")
    assert "is larger than" in said

    def starved(*_):
        raise MemoryError

    monkeypatch.setattr(decoding, "read_picture", starved)
    assert program(content) == (
        decoding.REFUSED, None, b"", "That picture needs too much memory; send a smaller one.",
    )  # fmt: skip


def test_each_limit_is_set_for_good_and_where_nothing_confines_nothing_is_read(program, monkeypatch):
    program(png())
    assert program.limits == {kind: (limit, limit) for kind, limit in decoding._LIMITS.items()}

    def nothing():
        raise SandboxError("no Landlock")

    monkeypatch.setattr(decoding, "confine", nothing)
    monkeypatch.setattr(decoding, "read_picture", lambda *_: pytest.fail("it was read"))
    assert program(png()) == (decoding.NOT_CONFINED, None, b"", "")
