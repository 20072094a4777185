"""An order's inputs as files: each content under a path that the engine can open, and gone at the end."""

from pathlib import Path

import pytest

from bot.worker.inputs import InputFolder
from engine.prompts import Prompt


@pytest.fixture(autouse=True)
def temporary(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def read(path):
    return Path(path).read_bytes()


def test_everything_that_a_spec_names_becomes_a_file(spec, temporary):
    prompts = (Prompt(content="b.png"), Prompt(kind="image", content="b.png", weight=0.5))
    wanted = spec.but(init_image="a.png", mask="m.png", prompts=prompts)
    with InputFolder({"a.png": b"picture", "m.png": b"mask", "b.png": b"wanted"}) as folder:
        found = folder.spec(wanted)
        assert (read(found.init_image), read(found.mask), read(found.prompts[1].content)) == (
            b"picture",
            b"mask",
            b"wanted",
        )
        assert {Path(name).suffix for name in (found.init_image, found.mask) if name} == {".png"}
        assert found.prompts[0] == prompts[0], "words stay words, whatever files are called"
        assert found.prompts[1].weight == 0.5
        latent = spec.but(init_latent="z.safetensors")
        folder.add({"z.safetensors": b"latent"})
        assert read(folder.spec(latent).init_latent) == b"latent"
        assert [path.name.startswith("painting-") for path in temporary.iterdir()] == [True], "one folder"
    assert list(temporary.iterdir()) == []


def test_a_name_that_is_there_keeps_its_content(spec):
    with InputFolder({"a.png": b"first"}) as folder:
        folder.add({"a.png": b"second", "b.png": b"other"})
        found = folder.prompts((Prompt(kind="image", content="a.png"), Prompt(kind="image", content="b.png")))
        assert [read(prompt.content) for prompt in found] == [b"first", b"other"]


def test_without_inputs_there_is_no_folder(spec, temporary):
    with InputFolder({}) as folder:
        assert list(temporary.iterdir()) == []
        assert folder.spec(spec) == spec
        assert folder.spec(spec.but(init_image="elsewhere.png")).init_image == "elsewhere.png"


def test_files_go_also_when_painting_fails(temporary):
    with pytest.raises(RuntimeError), InputFolder({"a.png": b""}):
        raise RuntimeError
    assert list(temporary.iterdir()) == []
