"""The child process that decodes strangers' pictures, and the parent that outlives it."""

import io
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bot.chat import attachments
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
    script = f"import sys, bot.chat.decoding as d; d._LIMITS[{limit}] = {value}; sys.exit(d.main('picture', 10**9))"
    return subprocess.run([sys.executable, "-c", script], input=content, capture_output=True, cwd=ROOT, check=False)


def replace_child(monkeypatch, tmp_path, script):
    """Run a shell script in the child's place."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_picture_and_a_mask_come_back_as_png():
    picture = attachments.decode(png(), "picture", 10**6)
    assert (picture.width, picture.height) == (64, 48)
    assert Image.open(io.BytesIO(picture.png)).getpixel((5, 5)) == (255, 0, 0)
    mask = attachments.decode(png(mode="L", colour="white"), "mask", 10**6)
    assert Image.open(io.BytesIO(mask.png)).mode == "L"


def test_what_is_larger_than_any_painting_is_kept_smaller():
    upload = attachments.decode(png((5000, 2500), "L", 7), "picture", 10**7)
    assert (upload.width, upload.height) == (4096, 2048)


def test_the_largest_picture_allowed_fits_the_limits(costly):
    upload = attachments.decode(costly, "picture", 10**8)
    assert (upload.width, upload.height) == (4096, 4096)


def test_a_decoder_that_wants_too_much_memory_says_so(costly):
    done = child(resource.RLIMIT_AS, 500 * 2**20, costly)
    assert done.returncode == 3
    assert done.stderr == b"That picture needs too much memory; send a smaller one."
    assert not done.stdout


def test_a_decoder_that_takes_too_much_time_is_ended():
    loop = "import bot.chat.decoding as d; d._LIMITS[0] = 1; d.read_picture = lambda *_: exec('while True: pass')"
    script = f"import sys; {loop}; sys.exit(d.main('picture', 10**9))"
    assert resource.RLIMIT_CPU == 0
    done = subprocess.run([sys.executable, "-c", script], input=b"", capture_output=True, cwd=ROOT, check=False)
    assert done.returncode < 0
    assert not done.stdout


def test_a_decoder_cannot_write_files(tmp_path):
    target = tmp_path / "there"
    write = f"d.read_picture = lambda *_: open({str(target)!r}, 'wb').write(b'x')"
    script = f"import sys, bot.chat.decoding as d; {write}; sys.exit(d.main('picture', 10**9))"
    done = subprocess.run([sys.executable, "-c", script], input=b"", capture_output=True, cwd=ROOT, check=False)
    assert done.returncode != 0
    assert not target.exists() or target.stat().st_size == 0


@pytest.mark.parametrize("script", ["kill -SEGV $$", "kill -KILL $$", "exit 1", "echo Traceback >&2; exit 1"])
def test_a_child_that_dies_is_a_refusal(monkeypatch, tmp_path, script):
    replace_child(monkeypatch, tmp_path, script)
    with pytest.raises(Refusal) as refused:
        attachments.decode(png(), "picture", 10**6)
    assert str(refused.value) == "That picture cannot be read; save it anew as a PNG."


def test_a_child_that_hangs_is_ended_and_refused(monkeypatch, tmp_path):
    replace_child(monkeypatch, tmp_path, "exec sleep 600")
    monkeypatch.setattr(attachments, "_DECODING_SECONDS", 0.2)
    with pytest.raises(Refusal, match="takes too long"):
        attachments.decode(png(), "picture", 10**6)


def test_the_child_knows_no_secret(monkeypatch, tmp_path):
    monkeypatch.setenv("DISCORD_TOKEN", "a secret")
    monkeypatch.setenv("PAINTER__DISCORD__API_BASE", "http://somewhere")
    replace_child(monkeypatch, tmp_path, "env >&2; exit 3")
    with pytest.raises(Refusal) as refused:
        attachments.decode(png(), "picture", 10**6)
    assert "OMP_NUM_THREADS=1" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "somewhere" not in str(refused.value)
