import pytest

from bot.options import EditOptions, PaintingOptions, like, painting_spec, parse_size, require_allowed
from bot.queue.preferences import GuildSettings, UserSettings, defaults_for
from bot.refusals import Refusal
from bot.settings import LimitSettings, ModelSettings
from engine.prompts import Prompt
from engine.spec import LARGEST_SEED, PaintingSpec

LIMITS = LimitSettings(largest_side=256, most_steps=100)


def asked(guild=None, user=None, models=None, **options) -> PaintingSpec:
    """Build a spec as a command does, with everything that refuses it."""
    models = models or ModelSettings(preset="draft")
    defaults = defaults_for(user or UserSettings(), guild or GuildSettings(), models)
    spec = painting_spec(PaintingOptions(**{"prompt": "a cat", **options}), defaults, models)
    require_allowed(spec, models, LIMITS)
    return spec


def test_what_is_said_wins_over_ones_own_over_the_servers_over_the_configurations():
    guild = GuildSettings(preset="fine", size="64x64")
    user = UserSettings(preset="normal", size="96x64")
    said = asked(guild, user, preset="draft", size="128x128")
    own = asked(guild, user)
    servers = asked(guild, steps=3)
    configured = asked(models=ModelSettings(preset="draft", size="32x32"))
    assert [(one.preset, one.width, one.height) for one in (said, own, servers, configured)] == [
        ("draft", 128, 128),
        ("normal", 96, 64),
        ("fine", 64, 64),
        ("draft", 32, 32),
    ]


def test_a_start_can_be_chosen_but_a_prior_only_where_there_is_one():
    assert asked().start == "prior"
    assert asked(start="noise").start == "noise"
    with pytest.raises(Refusal, match="choose another start"):
        asked(generator="imagenet-16384", start="prior")


@pytest.mark.parametrize("text", ["512x384", "512 X 384", "512×384", " 512*384 ", "512 384"])
def test_sizes_are_read_as_people_write_them(text):
    assert parse_size(text) == (512, 384)


@pytest.mark.parametrize("text", ["", "512", "x", "1x1", "99999x5", "512x384x2", "-5x7"])
def test_other_sizes_are_refused(text):
    with pytest.raises(Refusal):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 100), (128, 128)), ((200, 100), (176, 96)), ((1, 400), (32, 2560))]
)
def test_an_edit_has_the_pictures_proportions(size, expected):
    assert like(size[0], size[1], 128 * 128) == expected


def test_limits_hold_for_presets_and_options():
    with pytest.raises(Refusal, match="256 pixels"):
        asked(size="512x64")
    with pytest.raises(Refusal, match="100 steps"):
        asked(steps=101)


@pytest.mark.parametrize("side", ["width", "height"])
def test_each_side_is_limited_and_the_limit_itself_is_allowed(side):
    at, over = ("256x64", "272x64") if side == "width" else ("64x256", "64x272")
    assert getattr(asked(size=at), side) == 256
    with pytest.raises(Refusal, match="256 pixels"):
        asked(size=over)


def test_the_most_steps_are_allowed():
    assert asked(steps=100).steps == 100
    assert asked(steps=1).steps == 1


@pytest.mark.parametrize("seed", [0, 1, LARGEST_SEED])
def test_a_seed_that_is_said_is_kept_0_too(seed):
    assert asked(seed=seed).seed == seed


def test_a_seed_that_is_not_said_is_another_each_time():
    seeds = {asked().seed for _ in range(20)}
    assert len(seeds) > 15
    assert all(0 <= seed <= LARGEST_SEED for seed in seeds)


@pytest.mark.parametrize(
    "defaults",
    [
        {"models": ModelSettings(preset="draft", size="64x64")},
        {"guild": GuildSettings(size="64x64")},
        {"user": UserSettings(size="64x64")},
    ],
)
def test_no_default_size_bends_an_edit(defaults):
    edit = EditOptions(picture="a.png", picture_size=(64, 32))
    spec = asked(edit=edit, **defaults)
    assert spec.width / spec.height == pytest.approx(2, rel=0.15)
    assert (asked(**defaults).width, asked(**defaults).height) == (64, 64)


def test_an_edit_is_bent_where_somebody_says_so():
    spec = asked(edit=EditOptions(picture="a.png", picture_size=(64, 32)), size="64x64")
    assert (spec.width, spec.height) == (64, 64)


def test_a_ratio_wins_over_a_default_size_and_keeps_the_pixels():
    spec = asked(models=ModelSettings(preset="draft", size="64x64"), ratio=(2, 1))
    usual = asked()
    assert spec.width / spec.height == pytest.approx(2, rel=0.15)
    assert spec.width * spec.height == pytest.approx(usual.width * usual.height, rel=0.15)


@pytest.mark.parametrize(
    ("shape", "ratio"), [("square", 1), ("portrait", 2 / 3), (" Landscape", 3 / 2), ("WIDESCREEN", 16 / 9)]
)
def test_a_shape_is_a_size_by_name(shape, ratio):
    spec = asked(size=shape)
    assert spec.width / spec.height == pytest.approx(ratio, rel=0.15)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("32x32", (32, 32)),
        ("4096x4096", (4096, 4096)),
        ("31x64", None),
        ("64x31", None),
        ("4097x64", None),
        ("64x4097", None),
    ],
)
def test_the_smallest_and_the_largest_size_are_sizes(text, size):
    if size is None:
        with pytest.raises(Refusal, match="Each side is from 32 to 4096"):
            parse_size(text)
    else:
        assert parse_size(text) == size


def test_models_that_are_not_here_are_refused():
    with pytest.raises(Refusal, match="not available here"):
        asked(generator="imagenet-16384")
    with pytest.raises(Refusal, match="ViT-B/32"):
        asked(models=ModelSettings(perceptors=("ViT-B/32",)))


def test_an_edit_starts_from_the_picture_at_full_size():
    edit = EditOptions(
        picture="inputs/a.png", picture_size=(64, 32), mask_text="the sky", edit_from="a day", strength=0.4
    )
    spec = asked(prompt="a night", edit=edit)
    assert (spec.init_image, spec.mask_text, spec.edit_from, spec.strength) == ("inputs/a.png", "the sky", "a day", 0.4)
    assert (spec.coarse, spec.candidates) == (0.0, 1)
    assert spec.width > spec.height


def test_a_suffix_is_added_to_the_words_and_not_to_pictures():
    picture = Prompt(kind="image", content="inputs/a.png")
    spec = asked(user=UserSettings(suffix="on grey"), image_prompts=(picture,))
    assert [prompt.content for prompt in spec.prompts] == ["a cat, on grey", "inputs/a.png"]
