"""Flags in a prompt are obeyed or named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.flags import flags, with_flags
from bot.options import Defaults, EditOptions, PaintingOptions, painting_spec
from bot.refusals import Refusal
from bot.settings import ModelSettings
from engine.prompts import BadPromptError, Prompt, parse_prompts
from engine.spec import BadSpecError, Looks


def spec_of(prompt: str, **options):
    read = with_flags(PaintingOptions(prompt=prompt, **options))
    return painting_spec(read, Defaults(preset="normal", generator="embedded"), ModelSettings())


@pytest.mark.parametrize(
    ("prompt", "words", "expected"),
    [
        ("a cat", "a cat", {}),
        ("a cat --seed 5 --steps 20", "a cat", {"seed": 5, "steps": 20}),
        ("a cat --ar 16:9", "a cat", {"width": 176, "height": 96}),
        ("a cat --ar 1x2", "a cat", {"width": 96, "height": 176}),
        ("a cat —ar 16:9 –seed 5", "a cat", {"width": 176, "seed": 5}),
        ("--seed 5 a cat --preset fine on grass", "a cat on grass", {"seed": 5, "preset": "fine"}),
        ("a cat --size 192x128", "a cat", {"width": 192, "height": 128}),
        ("a cat --size landscape", "a cat", {"width": 160, "height": 112}),
        ("a cat --seed=5", "a cat", {"seed": 5}),
        ("a cat --tile on grass", "a cat on grass", {"tile": True}),
        ("a cat --SEED 5", "a cat", {"seed": 5}),
        ("a well-known cat — at night", "a well-known cat — at night", {}),
        ("a cat –sleeping", "a cat –sleeping", {}),
        ("a cat --ar 16/2 --count 4", "a cat", {"width": 368, "height": 48, "count": 4}),
        ("a cat --ar 1:8", "a cat", {"width": 48, "height": 368}),
        ("a cat --count 1", "a cat", {"count": 1}),
        ("a cat--seed 5", "a cat--seed 5", {}),
        ("a cat ― at night ――seed 5", "a cat ― at night", {"seed": 5}),
        ("a cat --seed  5  on grass", "a cat on grass", {"seed": 5}),
        ("a cat --seed\t5", "a cat", {"seed": 5}),
        ("a cat --tile --seed 5 --seed 6", "a cat", {"tile": True, "seed": 6}),
    ],
)
def test_flags_are_obeyed(prompt, words, expected):
    spec = spec_of(prompt)
    assert [part.content for part in spec.prompts] == [words]
    assert {name: getattr(spec, name) for name in expected} == expected


def test_words_for_inside_and_outside_need_a_mask():
    spec = spec_of("a beach --inside a red ball --ar 1:1 --outside the sea --mask left")
    assert [(part.content, part.where) for part in spec.prompts] == [
        ("a beach", "everywhere"),
        ("a red ball", "inside"),
        ("the sea", "outside"),
    ]
    assert spec.mask_text == "left"
    edit = spec_of("a cat --inside a hat --mask the head", edit=EditOptions(picture="a.png"))
    assert edit.mask_text == "the head"
    with pytest.raises(BadSpecError, match="need a mask"):
        spec_of("a beach --inside a red ball")
    with pytest.raises(BadSpecError, match="--mask is one of left, right"):
        spec_of("a beach --inside a red ball --mask the ball")
    with pytest.raises(BadSpecError, match="need a picture to edit, or words"):
        spec_of("a beach --mask left")
    with pytest.raises(Refusal, match="after --mask one of"):
        spec_of("a beach --mask")


def test_looks_are_flags():
    spec = spec_of("a cat --palette red,SkyBlue,#FF8800 --symmetry 1 --saturation -0.5 --smoothness 2 --edges white")
    assert spec.looks == Looks(
        palette=("#ff0000", "#87ceeb", "#ff8800"), symmetry=1, saturation=-0.5, smoothness=2, edges="#ffffff"
    )
    assert spec_of("a cat").looks == Looks()


def test_no_takes_the_words_up_to_the_next_flag():
    spec = spec_of("a cat::3 --no text, frame --ar 16:9 --no dogs --seed 3")
    assert [(part.content, part.weight) for part in spec.prompts] == [
        ("a cat", 3),
        ("text", -0.5),
        ("frame", -0.5),
        ("dogs", -0.5),
    ]
    assert (spec.seed, spec.width) == (3, 176)


def test_pictures_and_edits_have_flags_of_their_own():
    picture = Prompt(kind="image", content="a.png")
    assert spec_of("a cat --iw 0.5", image_prompts=(picture,)).prompts[1].weight == 0.5
    for written, strength in (("0.3", 0.3), ("0,3", 0.3), ("1", 1.0), ("1e-3", 1e-3)):
        assert spec_of(f"a cat --strength {written}", edit=EditOptions(picture="a.png")).strength == strength
    both = spec_of("a cat --iw 0.25", image_prompts=(picture, picture.model_copy(update={"content": "b.png"})))
    assert [prompt.weight for prompt in both.prompts] == [1.0, 0.25, 0.25]
    held = spec_of("a cat --init-pixels 2 --init-embedding 0.5", edit=EditOptions(picture="a.png"))
    assert (held.init_pixels, held.init_embedding, held.prompts[0].content) == (2, 0.5, "a cat")
    with pytest.raises(Refusal, match="--init-pixels takes a weight from 0 to 10, not 11"):
        spec_of("a cat --init-pixels 11", edit=EditOptions(picture="a.png"))


@pytest.mark.parametrize("strength", ["0", "1.01", "-1"])
def test_an_edit_goes_as_far_as_its_picture_allows(strength):
    with pytest.raises(Refusal, match="--strength takes more than 0 and at most 1, not"):
        spec_of(f"a cat --strength {strength}", edit=EditOptions(picture="a.png"))


def test_a_ratio_wins_over_the_size_of_an_option_and_a_size_over_the_ratio_before_it():
    assert with_flags(PaintingOptions(prompt="a cat --ar 3:2", size="64x64")).size is None
    both = with_flags(PaintingOptions(prompt="a cat --ar 3:2 --size 64x64"))
    assert (both.size, both.ratio) == ("64x64", (3, 2))
    assert spec_of("a cat --ar 3:2 --size 64x96").width == 64


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("a cat --stylize 100", "I do not know --stylize; I know --no, "),
        ("a cat --v 5", "I do not know --v; "),
        ("a cat --ar", "Write a value after --ar, such as 16:9."),
        ("a cat --ar wide", "--ar takes two numbers such as 16:9"),
        ("a cat --ar 100:1", "one at most 8 times the other, not 100:1."),
        ("a cat --ar 0:1", "--ar takes"),
        ("a cat --palette red,mauvish", "“mauvish” is no colour that I know"),
        ("a cat --symmetry much", "--symmetry takes a number"),
        ("a cat --smoothness -1", "--smoothness takes a weight from 0 to 10, not -1."),
        ("a cat --saturation 11", "--saturation takes a weight from -10 to 10"),
        ("a cat --palette " + ",".join(["red"] * 17), "--palette takes at most 16 colours"),
        ("a cat --seed many", "--seed takes a whole number, not many."),
        ("a cat --seed 1.5", "--seed takes a whole number"),
        ("a cat --seed 1000000000000", "--seed takes a whole number"),
        ("a cat --symmetry inf", "--symmetry takes a number, not inf."),
        ("a cat --symmetry nan", "--symmetry takes a number, not nan."),
        ("a cat --symmetry -1", "--symmetry takes a weight from 0 to 10, not -1."),
        ("a cat --ar 9:1", "one at most 8 times the other, not 9:1."),
        ("a cat --ar 1:0", "--ar takes"),
        ("a cat --ar 16:9:1", "--ar takes"),
        ("a cat --count 0", "--count takes 1 to 4, not 0."),
        ("a cat --count 5", "--count takes 1 to 4, not 5."),
        ("a cat --edges mauvish", "“mauvish” is no colour that I know"),
        ("a cat --seed " + "9" * 50, "--seed takes a whole number, not " + "9" * 39 + "…."),
        ("a cat --" + "x" * 40, "I do not know --" + "x" * 29 + "…; I know --no, --inside, --outside, --ar, "),
        ("a cat --iw 1", "add one to paint towards"),
        ("a cat --strength 1", "it needs a picture to edit"),
        ("a cat --init-pixels 1", "it needs a picture to edit"),
        ("a cat --init-embedding", "Write a value after --init-embedding, such as 1."),
        ("a cat --size 8x8", "Each side is from 32 to 4096 pixels"),
    ],
)
def test_what_cannot_be_obeyed_is_named(prompt, sentence):
    with pytest.raises(Refusal) as refusal:
        spec_of(prompt)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_where_there_are_no_flags_they_are_named_too():
    with pytest.raises(BadPromptError, match="no --ar here"):
        parse_prompts("a cat --ar 16:9")
    with pytest.raises(BadPromptError, match="no --ar here"):
        parse_prompts("a cat --no text --ar 16:9")


@given(
    st.lists(st.sampled_from(["a cat", "--no", "--seed", "5", "--ar", "16:9", "—", "--", "x", "--zoom"]), max_size=12)
)
def test_any_prompt_is_read_or_answered_in_one_sentence(words):
    try:
        prompt = with_flags(PaintingOptions(prompt=" ".join(words))).prompt
    except Refusal:
        return
    assert not any(f"--{name}" in prompt for name in flags() if name != "no")
