"""Which networks paint when nobody says, as more of them are fetched."""

import pytest

from bot.available_models import (
    PERCEPTOR,
    generators,
    is_here,
    pair,
    perceptors,
    require_generator,
    usual_generator,
    usual_pair,
)
from bot.options import PaintingOptions, configured_defaults, painting_spec
from bot.queue.preferences import GuildSettings, UserSettings, defaults_for
from bot.refusals import Refusal
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


def test_a_network_is_here_where_all_of_its_files_are(models):
    assert [is_here(name, models) for name in ("embedded", "imagenet-16384", "no-such")] == [True, False, False]
    lay_down(models, "imagenet-16384")
    assert is_here("imagenet-16384", models)


def test_a_model_that_is_not_here_or_not_for_everybody_is_refused_and_the_others_named(models):
    lay_down(models, "imagenet-16384")
    for name in ("embedded", "imagenet-16384"):
        require_generator(name, models)
    with pytest.raises(Refusal) as refusal:
        require_generator("*" * 60, models)
    assert str(refusal.value) == (
        "The model '" + r"\*" * 49 + "…' is not available here; there is embedded, imagenet-16384."
    )
    only = models.model_copy(update={"allowed": ("imagenet-16384",)})
    require_generator("imagenet-16384", only)
    with pytest.raises(Refusal, match=r"there is imagenet-16384\.$"):
        require_generator("embedded", only)


def test_a_pair_is_named_by_one_name_where_both_have_it(models):
    assert pair("embedded", models) == "embedded"
    assert pair("coco", models) == "coco, seen by ViT-B/32"
