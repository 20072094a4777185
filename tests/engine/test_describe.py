"""Words for pictures, with the pair that ships."""

import pytest
from PIL import Image

from engine.describe import describe, known_words, word_lists
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
