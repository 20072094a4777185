"""Which networks paint when nobody says, as more of them are fetched."""

import pytest

from bot.available_models import PERCEPTOR, generators, perceptors, usual_generator, usual_pair
from bot.options import PaintingOptions, configured_defaults, painting_spec
from bot.queue.preferences import GuildSettings, UserSettings, defaults_for
from bot.settings import ModelSettings
from engine.catalog import find


@pytest.fixture
def models(tmp_path):
    return ModelSettings(folder=tmp_path)


def lay_down(models, name):
    """Let a model look fetched: it is recognised by its files' names alone, before it is loaded."""
    for file in find(name).files:
        (models.folder / file.name).touch()


def test_the_embedded_pair_paints_until_the_published_one_is_complete(models):
    assert usual_pair(models) == "embedded"
    lay_down(models, "imagenet-16384")
    assert usual_pair(models) == "embedded"
    lay_down(models, PERCEPTOR)
    assert usual_pair(models) == "imagenet-16384, seen by ViT-B/32"
    (models.folder / find("imagenet-16384").files[-1].name).unlink()  # half of a download
    assert usual_pair(models) == "embedded"


def test_commands_and_command_line_take_the_usual_pair(models):
    def both():
        options = PaintingOptions(prompt="a cat")
        everywhere = (defaults_for(UserSettings(), GuildSettings(), models), configured_defaults(models))
        specs = [painting_spec(options, defaults, models) for defaults in everywhere]
        return [(spec.generator, spec.perceptors[0].name) for spec in specs]

    assert both() == [("embedded", "embedded")] * 2
    for name in ("imagenet-16384", PERCEPTOR):
        lay_down(models, name)
    assert both() == [("imagenet-16384", "ViT-B/32")] * 2


def test_what_is_configured_wins(models):
    for name in ("imagenet-16384", PERCEPTOR):
        lay_down(models, name)
    chosen = models.model_copy(update={"generator": "embedded"})
    assert (usual_generator(chosen), perceptors("embedded", chosen)) == ("embedded", ("embedded",))
    several = models.model_copy(update={"perceptors": ("ViT-B/32", "RN50")})
    assert perceptors("embedded", several) == ("ViT-B/32", "RN50")
    assert usual_pair(several) == "imagenet-16384, seen by ViT-B/32 + RN50"


def test_what_people_may_not_choose_is_not_chosen_for_them(models):
    for name in ("imagenet-16384", PERCEPTOR):
        lay_down(models, name)
    assert generators(models) == ("embedded", "imagenet-16384")
    only = models.model_copy(update={"allowed": ("embedded",)})
    assert (generators(only), usual_generator(only)) == (("embedded",), "embedded")


def test_the_embedded_perceptor_is_no_match_for_a_published_generator(models):
    named = models.model_copy(update={"perceptors": ("embedded",)})
    assert perceptors("coco", models) == perceptors("coco", named) == ("ViT-B/32",)
