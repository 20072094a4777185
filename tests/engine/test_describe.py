"""Words for pictures, with the pair that ships."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from engine.describe import Description, describe, known_words, word_lists
from engine.pictures import read_picture
from tests.engine.test_saved import SAVED


def test_the_list_has_thousands_of_words_of_four_kinds():
    lists = word_lists()
    assert list(lists) == ["things", "colours", "styles", "places"]
    assert sum(map(len, lists.values())) > 2000
    for words in lists.values():
        assert len(words) == len(set(words))


def test_only_words_that_the_perceptor_knows_are_said(shipped_models):
    perceptor = shipped_models.perceptor("embedded")
    assert perceptor.vocabulary is not None
    known = known_words(perceptor)
    assert 500 < len(known["things"]) <= len(word_lists()["things"])
    found = describe(Image.new("RGB", (64, 64), "red"), perceptor)
    assert {word for words in found.words.values() for word, _ in words} <= perceptor.vocabulary.phrases
    for words in found.words.values():
        assert [cosine for _, cosine in words] == sorted((cosine for _, cosine in words), reverse=True)
    assert found.prompt.startswith(("a ", "an "))


@pytest.mark.parametrize("thing", ["apple"])
def test_a_painted_thing_is_named(shipped_models, thing):
    found = describe(read_picture(SAVED / "shipped-draft.png"), shipped_models.perceptor("embedded"))
    assert any(thing in word for word, _ in found.words["things"]), found.words


def test_a_list_is_read_by_its_headings(monkeypatch, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# a note\n[things]\napple\n\nred cherry\n[styles]\n# another\ncafé sketch\n", encoding="utf-8")
    monkeypatch.setattr("engine.describe._WORDS", path)
    word_lists.cache_clear()
    assert word_lists() == {"things": ("apple", "red cherry"), "styles": ("café sketch",)}
    word_lists.cache_clear()


class Knows:
    """A perceptor to which every picture is red, and the list's words are as near as they are said to be."""

    size, mean, vocabulary = 8, torch.zeros(3, 1, 1), None

    def __init__(self, near):
        self.near, self.asked = near, []

    def encode_image(self, pictures):
        assert pictures.shape == (1, 3, 8, 8)
        return torch.tensor([[1.0, 0.0]])

    def encode_list(self, texts):
        self.asked += texts
        return torch.tensor([[self.near.get(text, 0.0), 0.0] for text in texts])


def test_the_nearest_of_each_kind_are_named_best_first(monkeypatch):
    lists = {
        "things": ("apple", "dog", "car", "cup"),
        "colours": ("red", "blue", "grey"),
        "styles": ("sketch", "photo"),
        "places": ("on a table",),
    }
    monkeypatch.setattr("engine.describe.word_lists", lambda: lists)
    near = {
        "an apple": 0.5,
        "a cup": 0.9,
        "a car": 0.7,
        "a dog": 0.1,
        "something red": 0.25,
        "something blue": 0.75,
        "photo": 0.5,
    }
    perceptor: Any = Knows(near)
    found = describe(Image.new("RGBA", (20, 10)), perceptor)
    assert found.words == {
        "things": (("cup", pytest.approx(0.9)), ("car", pytest.approx(0.7)), ("apple", 0.5)),
        "colours": (("blue", 0.75), ("red", 0.25)),
        "styles": (("photo", 0.5),),
        "places": (("on a table", 0.0),),
    }
    assert found.prompt == "a cup, blue, on a table, photo"
    assert Description({"colours": (("red", 0.5),), "styles": ()}).prompt == "a picture, red"


def test_of_a_kind_of_which_it_knows_nothing_nothing_is_said(monkeypatch):
    monkeypatch.setattr("engine.describe.word_lists", lambda: {"things": ("apple", "dog"), "styles": ("sketch",)})
    perceptor: Any = Knows({})
    perceptor.vocabulary = SimpleNamespace(phrases={"dog"})
    assert known_words(perceptor) == {"things": ("dog",)}
