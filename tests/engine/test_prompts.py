import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompts import LARGEST_WEIGHT, BadPromptError, Prompt, format_prompts, parse_prompts, with_suffix


def read(text: str, negative: str = "") -> list[tuple[str, float, float | None]]:
    return [(prompt.content, prompt.weight, prompt.stop) for prompt in parse_prompts(text, negative)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a lighthouse", [("a lighthouse", 1, None)]),
        (
            "a lighthouse | storm:0.5 | text:-0.3",
            [("a lighthouse", 1, None), ("storm", 0.5, None), ("text", -0.3, None)],
        ),
        ("a lighthouse::2 storm::0.5", [("a lighthouse", 2, None), ("storm", 0.5, None)]),
        ("hot:: dog", [("hot", 1, None), ("dog", 1, None)]),
        ("a::2, b", [("a", 2, None), ("b", 1, None)]),
        ("a::2 b:0.5", [("a", 2, None), ("b", 0.5, None)]),
        ("a::2b", [("a", 1, None), ("2b", 1, None)]),
        ("storm:0.5:0.8", [("storm", 0.5, 0.8)]),
        ("a | storm::-0.5:0.8", [("a", 1, None), ("storm", -0.5, 0.8)]),
        ("a::0,5 b::+1e-1", [("a", 0.5, None), ("b", 0.1, None)]),
        ("a || b |", [("a", 1, None), ("b", 1, None)]),
        ("a:", [("a", 1, None)]),
        ("a | storm : 0.5", [("a", 1, None), ("storm", 0.5, None)]),
        ("a | storm :-0.5 : 0.8", [("a", 1, None), ("storm", -0.5, 0.8)]),
        ("a｜storm：０．５", [("a", 1, None), ("storm", 0.5, None)]),
        ("a：：2，b", [("a", 2, None), ("b", 1, None)]),
    ],
)
def test_parts_and_their_weights(text: str, expected: list[tuple[str, float, float | None]]) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "at 9:30: a sign",
        "a clock at 9:30",
        "ratio 16:9",
        "chapter 3:2",
        "chapter 3 : 2",
        "at 9 : 30",
        "http://x.y/z:1",
        "rating: 5",
        "a cat: a portrait",
        ":) a smile",
        "a well-known place — at night",
        "agent 007",
        "an emoji 👩‍🚀 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    ],
)
def test_a_colon_in_ordinary_text_is_text(text: str) -> None:
    assert read(text) == [(text, 1, None)]


def test_a_double_colon_weighs_what_a_single_one_leaves_alone() -> None:
    assert read("ratio 16:9::2") == [("ratio 16:9", 2, None)]
    assert read("storm:0.5::1") == [("storm:0.5", 1, None)]


@pytest.mark.parametrize(
    ("text", "negative"),
    [
        ("a castle::3 --no fog, people", ""),
        ("a castle::3 --no fog --no people", ""),
        ("a castle::3 —no fog, people", ""),
        ("a castle::3 –NO fog", "people"),
        ("a castle::3", "fog, people"),
        ("a castle::3", "fog | people"),
        ("a castle::3", "|fog|people"),
    ],
)
def test_unwanted_words_are_pushed_away_by_half(text: str, negative: str) -> None:
    assert read(text, negative) == [("a castle", 3, None), ("fog", -0.5, None), ("people", -0.5, None)]


def test_unwanted_words_may_say_how_strongly() -> None:
    assert read("a::9", "b:1, c:-2, d::0.25, 1,5 m") == [
        ("a", 9, None),
        ("b", -1, None),
        ("c", -2, None),
        ("d", -0.25, None),
        ("1,5 m", -0.5, None),
    ]


def test_phones_and_invisible_characters_are_mended() -> None:
    assert read("“a cat’s”\u202e:–0.3\x00 |\n\ta  dog\ud800") == [('"a cat\'s"', -0.3, None), ("a dog", 1, None)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Write what the picture should show"),
        (" | \n", "Write what the picture should show"),
        ("\u202e\x00", "Write what the picture should show"),
        ("--no fog", "Write what the picture should show"),
        (":0.5", "needs words before it"),
        ("::2 ::3", "needs words before it"),
        ("a | :0.5", "needs words before it"),
        ("a | ,:0.5", "needs words before it"),
        ("a:nan", "'nan' must be from"),
        ("a::inf", "'inf' must be from"),
        ("a:-Infinity", "'-Infinity' must be from"),
        ("a:1e309", "'1e309' must be from"),
        ("a:" + "1" * 5000, "from -100 to 100"),
        ("a::101", "from -100 to 100"),
        ("a:1:-0.5", "a distance from 0 to 4.93"),
        ("a:1:5", "a distance from 0 to 4.93"),
        ("a:-1", "more than zero"),
        ("a:0", "more than zero"),
        ("a | b:-1", "more than zero"),
        ("a --no b, c", "more than zero"),
        ("a --no", "after `--no`"),
        ("a --no , --no b", "after `--no`"),
        ("a --no b | c", "`--no` last"),
        ("|".join("a" * 33), "at most 32 parts"),
        ("a" * 2001, "at most 2000 characters"),
        ("a" * 1_000_000, "at most 2000 characters"),
    ],
)
def test_refusals_are_one_clear_sentence(text: str, words: str) -> None:
    with pytest.raises(BadPromptError, match=words) as refusal:
        parse_prompts(text)
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 100


TRICKY = st.text("ab ñ0123456789:.,;-+|–—−eE'\"\n\u202e\u200d") | st.lists(
    st.sampled_from(
        ["a", "b c", ":", "::", "0.5", "-0.3", "2", "|", " ", "--no", "—no ", ",", "inf", "nan", "1e309", "9:30"]
    )
).map("".join)


@given(st.text() | TRICKY, st.just("") | TRICKY)
def test_any_text_is_read_or_refused_and_read_prompts_survive_a_round_trip(text: str, negative: str) -> None:
    try:
        prompts = parse_prompts(text, negative)
    except BadPromptError:
        return
    assert sum(prompt.weight for prompt in prompts) > 0
    assert parse_prompts(format_prompts(prompts)) == prompts
    "".join(prompt.content for prompt in prompts).encode()


WEIGHTS = st.floats(0.001, LARGEST_WEIGHT) | st.floats(-0.001, 0.0) | st.integers(1, 100).map(float)


@given(st.lists(st.tuples(st.text("abc de", min_size=1).filter(str.strip), WEIGHTS), min_size=1, max_size=8))
def test_weights_survive_a_round_trip(parts: list[tuple[str, float]]) -> None:
    prompts = tuple(Prompt(content=" ".join(words.split()), weight=weight + 0.0) for words, weight in parts)
    if sum(prompt.weight for prompt in prompts) <= 0:
        prompts += (Prompt(content="more"),)
    assert parse_prompts(format_prompts(prompts)) == prompts


def test_words_to_push_away_are_split_before_digits_too() -> None:
    assert read("a::3", "|0") == [("a", 3, None), ("0", -0.5, None)]


def test_image_prompts_are_no_text() -> None:
    assert format_prompts((Prompt(content="a"), Prompt(kind="image", content="b.png", weight=2))) == "a"


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ("a lighthouse", "oil on canvas", [("a lighthouse, oil on canvas", 1, None)]),
        (
            "a lighthouse | storm:0.5:0.8 | dog:-0.2 --no fog",
            "oil on canvas",
            [
                ("a lighthouse, oil on canvas", 1, None),
                ("storm, oil on canvas", 0.5, 0.8),
                ("dog", -0.2, None),
                ("fog", -0.5, None),
            ],
        ),
        ("a cat", "oil:0.5 | dusk", [("a cat", 1, None), ("oil", 0.5, None), ("dusk", 1, None)]),
        ("a cat::3", "dusk --no text, frame", [("a cat, dusk", 3, None), ("text", -0.5, None), ("frame", -0.5, None)]),
        ("a cat", "--no text", [("a cat", 1, None), ("text", -0.5, None)]),
        ("a cat", " ; ", [("a cat", 1, None)]),
    ],
)
def test_a_suffix_speaks_the_language_of_prompts(text, suffix, expected) -> None:
    prompts = with_suffix(parse_prompts(text), suffix)
    assert [(prompt.content, prompt.weight, prompt.stop) for prompt in prompts] == expected


@given(st.text(max_size=200), st.text(max_size=60))
def test_no_suffix_loses_a_weight_or_a_stop(text: str, suffix: str) -> None:
    try:
        prompts = parse_prompts(text)
        longer = with_suffix(prompts, suffix)
    except BadPromptError:
        return
    for before, after in zip(prompts, longer, strict=False):
        assert after.content.startswith(before.content)
        assert (after.weight, after.stop) == (before.weight, before.stop)


def test_flags_that_nobody_read_are_named_wherever_they_stand() -> None:
    for text, negative in (("a --zoom", ""), ("a::9 --no b --zoom", ""), ("a::9", "b --zoom")):
        with pytest.raises(BadPromptError, match="no --zoom here"):
            parse_prompts(text, negative)
    with pytest.raises(BadPromptError, match="no --zoom here"):
        with_suffix(parse_prompts("a"), "dusk --zoom 2")


def test_a_suffix_that_makes_it_too_long_is_refused() -> None:
    with pytest.raises(BadPromptError, match="at most 2000 characters"):
        with_suffix(parse_prompts("a" * 1990), "oil on canvas")


def test_noise_is_a_prompt_with_a_seed():
    prompts = parse_prompts("a | noise=7::0.5 | noise=8::-0.1:0.3")
    assert prompts[1:] == (
        Prompt(kind="noise", content="7", weight=0.5),
        Prompt(kind="noise", content="8", weight=-0.1, stop=0.3),
    )
    assert parse_prompts(format_prompts(prompts)) == prompts
    assert parse_prompts("white noise=7 tape")[0].kind == "text"


def test_words_for_inside_and_outside_are_read_and_written_back():
    prompts = parse_prompts("a beach —inside a ball | red::0.5 --no text --outside the sea:0.7 --inside foam")
    assert [(p.content, p.weight, p.where) for p in prompts] == [
        ("a beach", 1.0, "everywhere"),
        ("text", -0.5, "everywhere"),
        ("a ball", 1.0, "inside"),
        ("red", 0.5, "inside"),
        ("foam", 1.0, "inside"),
        ("the sea", 0.7, "outside"),
    ]
    assert parse_prompts(format_prompts(prompts)) == prompts
    assert format_prompts(parse_prompts("--inside a ball")) == "--inside a ball"
    with pytest.raises(BadPromptError, match="after `--inside` what is to be there"):
        parse_prompts("a beach --inside --outside sea")


def test_times_of_a_story_are_read_and_written_back():
    prompts = parse_prompts("a seed::2 @0 | a tree @4.5s | fog:0.5 @8", timed=True)
    assert [(p.content, p.weight, p.since) for p in prompts] == [("a seed", 2, 0), ("a tree", 1, 4.5), ("fog", 0.5, 8)]
    assert parse_prompts(format_prompts(prompts), timed=True) == prompts
    assert parse_prompts("meet me @4")[0].content == "meet me @4"
