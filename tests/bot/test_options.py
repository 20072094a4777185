"""What was asked for as a spec: what is said, what holds otherwise, and back to the same options."""

import pytest

from bot.options import (
    LARGE_SIZES,
    SMALL_SIZES,
    Defaults,
    EditOptions,
    PaintingOptions,
    blended,
    configured_defaults,
    like,
    options_of,
    painting_spec,
    parse_size,
    preset_names,
    read_colours,
    remixed,
    require_allowed,
    sizes,
    whole_number,
)
from bot.queue.preferences import GuildSettings, UserSettings, defaults_for
from bot.refusals import Refusal
from bot.settings import LimitSettings, ModelSettings
from engine.presets import PRESETS
from engine.prompts import BadPromptError, Prompt
from engine.spec import LARGEST_SEED, Extend, Looks, Motion, PaintingSpec, PerceptorChoice

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


def test_what_is_said_reaches_the_spec():
    looks = Looks(symmetry=1)
    said = {"steps": 7, "start": "noise", "mask_text": "left", "looks": looks, "count": 3}
    spec = asked(prompt="a cat --inside a hat", negative="text, frame", **said)
    assert {name: getattr(spec, name) for name in said} == said
    assert [(prompt.content, prompt.where, prompt.weight < 0) for prompt in spec.prompts] == [
        ("a cat", "everywhere", False),
        ("text", "everywhere", True),
        ("frame", "everywhere", True),
        ("a hat", "inside", False),
    ]
    assert [asked(tile=tile).tile for tile in (True, False)] == [True, False]
    masked = asked(prompt="a cat --inside a hat", mask="inputs/m.png")
    assert (masked.mask, masked.mask_text) == ("inputs/m.png", None)
    assert asked(fields={"ema_decay": 0.5}, steps=7).ema_decay == 0.5
    assert asked(fields={"steps": 9}, steps=7).steps == 9
    perceptors = (PerceptorChoice(name="embedded", weight=2.0),)
    assert asked(perceptors=perceptors).perceptors == perceptors


@pytest.mark.parametrize(
    ("prompt", "pictures", "start"),
    [("a cat", 0, "prior"), ("a cat", 1, "prior"), ("", 1, "best-of"), (" ", 1, "best-of")],
)
def test_a_prior_proposes_by_words_and_without_any_the_best_of_some_is_taken(prompt, pictures, start):
    picture = Prompt(kind="image", content="inputs/a.png")
    assert asked(prompt=prompt, image_prompts=(picture,) * pictures).start == start


def test_without_words_or_pictures_nothing_is_painted():
    with pytest.raises(BadPromptError):
        asked(prompt=" ")


def test_several_pictures_are_the_usual_number_unless_one_is_edited():
    several = ModelSettings(preset="draft", count=3)
    assert configured_defaults(several) == Defaults(preset="draft", generator="embedded", size=None, count=3)
    edit = EditOptions(picture="a.png", picture_size=(64, 32))
    assert painting_spec(PaintingOptions(prompt="a cat"), configured_defaults(several), several).count == 3
    assert painting_spec(PaintingOptions(prompt="a cat", count=2), configured_defaults(several), several).count == 2
    for count, made in ((None, 1), (2, 2)):
        options = PaintingOptions(prompt="a cat", edit=edit, count=count)
        assert painting_spec(options, configured_defaults(several), several).count == made


def test_an_edit_keeps_its_proportions_before_a_default_size_and_gives_them_up_for_a_ratio():
    edit = EditOptions(picture="a.png", picture_size=(64, 32))
    assert asked(edit=edit, ratio=(1, 2)).height / asked(edit=edit, ratio=(1, 2)).width == pytest.approx(2, rel=0.15)
    masked = asked(edit=EditOptions(picture="a.png", picture_size=(64, 32), mask="inputs/m.png"))
    assert masked.mask == "inputs/m.png"
    assert masked.start == "noise"


def test_what_lies_around_a_picture_is_painted_from_what_its_borders_show():
    extend = Extend(left=0.5)
    spec = asked(edit=EditOptions(picture="a.png", picture_size=(64, 32), extend=extend, strength=0.3))
    assert (spec.extend, spec.edit_start, spec.strength) == (extend, "original", 0.8)


def test_a_film_has_the_steps_before_its_first_frame_and_neither_cools_down_nor_grows():
    motion = Motion(seconds=1, fps=4, begin=1, each=3)
    spec = asked(motion=motion, steps=10)
    assert spec.motion == motion.model_copy(update={"begin": 10})
    assert spec.steps == 10 + 3 * 3
    assert (spec.learning_rate_schedule, spec.coarse) == ("constant", 0.0)
    usual = asked(motion=motion)
    assert usual.motion is not None
    assert usual.motion.begin == asked().steps


@pytest.mark.parametrize(
    ("text", "colours"),
    [
        ("red", ("#ff0000",)),
        ("Sky Blue,#FF8800", ("#87ceeb", "#ff8800")),
        ("#f80", ("#ff8800",)),
        ("#01020304", ("#010203",)),
    ],
)
def test_colours_are_read_as_people_write_them(text, colours):
    assert read_colours(text) == colours


@pytest.mark.parametrize(
    ("text", "named"), [("red,", "“”"), ("red, mauvish", "“mauvish”"), ("x" * 40, f"“{'x' * 29}…”")]
)
def test_what_is_no_colour_is_named(text, named):
    with pytest.raises(Refusal) as refusal:
        read_colours(text)
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("weights", "numbers"), [(None, [1, 1]), ("2 1", [2, 1]), ("0.5, 100", [0.5, 100]), ("2,1", [2, 1])]
)
def test_pictures_are_blended_by_weights(weights, numbers):
    prompts = blended(["a.png", "b.png"], weights)
    assert [(one.kind, one.content, one.weight) for one in prompts] == [
        ("image", name, number) for name, number in zip(("a.png", "b.png"), numbers, strict=True)
    ]


@pytest.mark.parametrize("weights", ["", "2", "2 1 1", "2 x", "0 1", "-1 1", "101 1", "nan 1"])
def test_other_weights_are_refused(weights):
    with pytest.raises(Refusal, match="Write 2 weights above 0"):
        blended(["a.png", "b.png"], weights)


@pytest.mark.parametrize(("text", "number"), [("7", 7), (" 0 ", 0), ("9999999999", 9999999999)])
def test_whole_numbers_are_read(text, number):
    assert whole_number(text, "the seed") == number


@pytest.mark.parametrize("text", ["", "-1", "1.5", "seven", "٣", "99999999999", "1 2"])
def test_what_is_no_whole_number_is_refused_by_name(text):
    with pytest.raises(Refusal, match="Write the seed as a whole number"):
        whole_number(text, "the seed")


@pytest.fixture
def specs() -> list[PaintingSpec]:
    """One of each kind."""
    edit = EditOptions(
        picture="inputs/a.png", picture_size=(64, 32), mask_text="the sky", edit_from="a day", strength=0.4
    )
    return [
        asked(seed=1),
        asked(seed=2, size="64x96", steps=9, preset="fine", tile=True, count=3, looks=Looks(saturation=2)),
        asked(prompt="a cat::2 | fog --no text --inside a hat", mask="inputs/m.png"),
        asked(prompt="a cat --inside a hat", mask_text="left", start="noise"),
        asked(image_prompts=(Prompt(kind="image", content="inputs/b.png", weight=0.5),)),
        asked(edit=edit),
        asked(edit=EditOptions(picture="inputs/a.png", picture_size=(64, 32), mask="inputs/m.png")),
        asked(edit=EditOptions(picture="inputs/a.png", picture_size=(64, 32), extend=Extend(left=0.5))),
        asked(motion=Motion(seconds=1, fps=4), steps=5),
        asked().but(learning_rate=0.7, prompts=(Prompt(content="a --b | c"),)),
        asked(perceptors=(PerceptorChoice(name="embedded", weight=2.0),)),
    ]


def test_options_of_a_spec_build_it_again(specs):
    for spec in specs:
        built = painting_spec(options_of(spec), Defaults(preset="fine", generator="embedded", count=4), ModelSettings())
        assert built == spec
        assert not options_of(spec).suffixed


def test_what_options_can_say_does_not_stand_in_their_fields(specs):
    options = options_of(specs[1])
    assert dict(options.fields) == {}
    assert (options.size, options.steps, options.seed, options.preset, options.count) == ("64x96", 9, 2, "fine", 3)
    masked, edited = options_of(specs[3]), options_of(specs[5])
    assert (masked.edit, masked.mask_text) == (None, "left")
    assert edited.edit is not None
    assert (edited.mask_text, edited.edit.mask_text, edited.edit.picture) == (None, "the sky", "inputs/a.png")
    filmed = options_of(specs[8])
    assert (filmed.steps, filmed.motion and filmed.motion.begin) == (5, 5)
    assert list(options_of(specs[9]).fields) == ["prompts", "learning_rate"]


def test_a_remix_has_other_words_and_keeps_the_numbers_unless_another_preset_brings_its_own():
    spec = asked(seed=1, steps=9, tile=True).but(learning_rate=0.7)
    models = ModelSettings()
    defaults = configured_defaults(models)
    same = painting_spec(remixed(spec, "a dog", "64x96", "draft", 5), defaults, models)
    assert [prompt.content for prompt in same.prompts] == ["a dog"]
    assert (same.seed, same.width, same.height, same.steps, same.learning_rate, same.tile) == (5, 64, 96, 9, 0.7, True)
    other = painting_spec(remixed(spec, "a dog", "64x96", "fine", None), defaults, models)
    assert (other.preset, other.steps, other.tile) == ("fine", asked(preset="fine").steps, True)
    assert other.learning_rate == asked(preset="fine").learning_rate


def test_presets_and_sizes_that_are_offered():
    assert preset_names()[:3] == ("draft", "normal", "fine")
    assert set(preset_names()) == set(PRESETS)
    assert (sizes("embedded"), sizes("imagenet-16384")) == (SMALL_SIZES, LARGE_SIZES)


def test_pictures_at_once_are_limited_and_the_limit_itself_is_allowed():
    few = LimitSettings(most_pictures=2)
    require_allowed(asked(count=2), ModelSettings(), few)
    with pytest.raises(Refusal, match="--count is at most 2"):
        require_allowed(asked(count=3), ModelSettings(), few)
