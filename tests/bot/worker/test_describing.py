"""Describing in a process of its own: what it is handed, what it hands back, and what is said where it fails."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from bot.refusals import Refusal
from bot.worker import describing
from bot.worker.describing import described, main


@pytest.fixture
def process(monkeypatch):
    """A process that ends as the test says; `asked` is what it was started with."""
    one = SimpleNamespace(returncode=0, stdout=b"{}", asked=[])

    def run(command, **options):
        one.asked.append((command, options))
        if isinstance(one.returncode, Exception):
            raise one.returncode
        return one

    monkeypatch.setattr(describing.subprocess, "run", run)
    return one


def test_the_picture_goes_in_and_words_come_out(process, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process.stdout = json.dumps({"words": {"things": [["apple", 0.5]]}, "prompt": "an apple"}).encode()
    assert described(b"a picture", tmp_path.relative_to(tmp_path), "ViT-B/32")["prompt"] == "an apple"
    ((command, options),) = process.asked
    assert command == [sys.executable, "-m", "bot.worker.describing", str(tmp_path), "ViT-B/32"]
    assert options["input"] == b"a picture"
    assert (options["timeout"], options["capture_output"]) == (600, True)
    assert (options["cwd"] / "bot" / "worker" / "describing.py").is_file()
    assert options["env"] == {"OMP_NUM_THREADS": "1"}, "and none of our secrets"
    assert not options["check"]


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (1, "could not be described"),
        (-9, "could not be described"),
        (subprocess.TimeoutExpired("", 1), "takes too long"),
    ],
)
def test_what_cannot_be_described_is_said(process, tmp_path, end, sentence):
    process.returncode = end
    with pytest.raises(Refusal, match=sentence):
        described(b"", tmp_path, "embedded")


def test_the_process_reads_a_picture_and_writes_words(monkeypatch, shipped_models, tmp_path):
    picture, out, stores, niced = io.BytesIO(), io.StringIO(), [], []
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")
    monkeypatch.setattr(sys, "argv", ["describing", str(tmp_path), "embedded"])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(picture.getvalue())))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(describing.os, "nice", niced.append)
    monkeypatch.setattr("engine.models.ModelStore", lambda *what: stores.append(what) or shipped_models)
    main()
    ((folder, device),) = stores
    assert (folder, str(device).startswith("cpu"), str(device).endswith("fp32")) == (tmp_path, True, True)
    found = json.loads(out.getvalue())
    assert set(found) == {"words", "prompt"}
    assert len(found["words"]["things"]) == 3
    assert found["prompt"].startswith(("a ", "an "))
    assert niced == [5]
