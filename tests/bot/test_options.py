import pytest

from bot.options import Canvas, Options, Orders, like, parse_size, with_suffix
from bot.queue.preferences import GuildSettings, UserSettings
from bot.refusals import Refusal
from bot.settings import LimitSettings, ModelSettings, Settings


def orders(guild=None, user=None, **models) -> Orders:
    settings = Settings(
        models=ModelSettings(preset="draft", **models), limits=LimitSettings(largest_side=256, most_steps=100)
    )
    return Orders(settings, guild or GuildSettings(), user or UserSettings())


def test_what_is_said_wins_over_ones_own_over_the_servers_over_the_configurations():
    guild = GuildSettings(preset="fine", size="64x64")
    user = UserSettings(preset="normal", size="96x64")
    said = orders(guild, user).imagine(Options(prompt="a cat", preset="draft", size="128x128"))
    own = orders(guild, user).imagine(Options(prompt="a cat"))
    servers = orders(guild).imagine(Options(prompt="a cat", steps=3))
    configured = orders(size="32x32").imagine(Options(prompt="a cat"))
    assert [(one.preset, one.width, one.height) for one in (said, own, servers, configured)] == [
        ("draft", 128, 128),
        ("normal", 96, 64),
        ("fine", 64, 64),
        ("draft", 32, 32),
    ]


def test_a_start_can_be_chosen_but_a_prior_only_where_there_is_one():
    assert orders().imagine(Options(prompt="a cat")).start == "prior"
    assert orders().imagine(Options(prompt="a cat", start="noise")).start == "noise"
    with pytest.raises(Refusal, match="choose another start"):
        orders().imagine(Options(prompt="a cat", model="imagenet-16384", start="prior"))


@pytest.mark.parametrize("text", ["512x384", "512 X 384", "512×384", " 512*384 ", "512 384"])
def test_sizes_are_read_as_people_write_them(text):
    assert parse_size(text) == (512, 384)


@pytest.mark.parametrize("text", ["", "512", "x", "1x1", "99999x5", "512x384x2", "-5x7"])
def test_other_sizes_are_refused(text):
    with pytest.raises(Refusal):
        parse_size(text)


@pytest.mark.parametrize(
    ("prompt", "whole"),
    [
        ("a cat", "a cat on grey"),
        ("a cat --no text", "a cat on grey --no text"),
        ("a cat --NO text --no fog", "a cat on grey --NO text --no fog"),
        ("a no--no thing", "a no--no thing on grey"),
    ],
)
def test_a_suffix_goes_before_what_is_unwanted(prompt, whole):
    assert with_suffix(prompt, "on grey") == whole
    assert with_suffix(prompt, "") == prompt


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 100), (128, 128)), ((200, 100), (176, 96)), ((1, 400), (32, 2560))]
)
def test_an_edit_has_the_pictures_proportions(size, expected):
    assert like(size[0], size[1], 128 * 128) == expected


def test_limits_hold_for_presets_and_options():
    with pytest.raises(Refusal, match="256 pixels"):
        orders().imagine(Options(prompt="a cat", size="512x64"))
    with pytest.raises(Refusal, match="100 steps"):
        orders().imagine(Options(prompt="a cat", steps=101))


def test_models_that_are_not_here_are_refused():
    with pytest.raises(Refusal, match="not available here"):
        orders().imagine(Options(prompt="a cat", model="imagenet-16384"))
    with pytest.raises(Refusal, match="ViT-B/32"):
        orders(perceptors=("ViT-B/32",)).imagine(Options(prompt="a cat"))


def test_an_edit_starts_from_the_picture_at_full_size():
    canvas = Canvas(picture="inputs/a.png", width=64, height=32, mask_text="the sky", shows="a day", strength=0.4)
    spec = orders().edit(Options(prompt="a night"), canvas)
    assert (spec.init_image, spec.mask_text, spec.edit_from, spec.strength) == ("inputs/a.png", "the sky", "a day", 0.4)
    assert (spec.coarse, spec.candidates) == (0.0, 1)
    assert spec.width > spec.height
