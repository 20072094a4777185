"""The parts of other packages that are used load on their own, and what is missing is said."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from engine.third_party import CLIP, _clip_submodule, tokenizer


@pytest.mark.parametrize(("name", "holds"), [("model", "CLIP"), ("simple_tokenizer", "SimpleTokenizer")])
def test_a_submodule_loads_without_its_package(monkeypatch, name, holds):
    monkeypatch.delitem(sys.modules, f"clip_{name}", raising=False)
    module = _clip_submodule(name)
    assert sys.modules[f"clip_{name}"] is module
    assert getattr(module, holds).__module__ == f"clip_{name}"
    assert "clip" not in sys.modules, "the package itself needs what is gone"
    assert CLIP.__module__ == "clip_model"


@pytest.mark.parametrize("found", ["nothing", "a folder without the package"])
def test_where_clip_is_not_installed_that_is_said(monkeypatch, found):
    package = ModuleType("clip")
    package.__spec__ = ModuleSpec("clip", None)
    monkeypatch.setitem(sys.modules, "clip", None if found == "nothing" else package)
    with pytest.raises(ImportError, match="openai-clip is not installed: run `make setup`"):
        _clip_submodule("model")


def test_the_tokeniser_is_clips():
    """The numbers are those of clip.tokenize."""
    assert tokenizer().encode("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert tokenizer().decode([320, 2368]).strip() == "a cat"
    assert tokenizer() is tokenizer(), "built once"
