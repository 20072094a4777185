import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompts import Prompt
from engine.spec import (
    LARGEST_SEED,
    PLACES,
    Augmentations,
    BadSpecError,
    Cutouts,
    Motion,
    PaintingSpec,
    Penalty,
    PerceptorChoice,
)

SAVED_IN_2026 = (
    '{"version":1,"prompts":[{"kind":"text","content":"a lighthouse","weight":2.0,"stop":null},'
    '{"kind":"text","content":"fog","weight":-0.5,"stop":0.8},'
    '{"kind":"image","content":"/pictures/storm.png","weight":0.25,"stop":null}],'
    '"width":640,"height":384,"steps":300,"seed":4294967295,"preset":"normal","generator":"imagenet-16384",'
    '"perceptors":[{"name":"ViT-B/32","weight":1.0},{"name":"RN50x4","weight":0.5}],'
    '"start":"noise","candidates":16,"init_image":"/pictures/sea.png","init_latent":null,"init_noise":0.0,'
    '"edit_from":"a calm sea","mask":null,"mask_text":"the sky","strength":0.7,'
    '"learning_rate":0.2,"learning_rate_schedule":"cosine",'
    '"cutouts":{"method":"crops","count":32,"power":1.0,"overview":4},'
    '"augmentations":{"flip":0.5,"affine":0.8,"degrees":30.0,"translate":0.1,"shear":0.0,"perspective":0.4,'
    '"distortion":0.2,"padding":"border","jitter":0.7,"brightness":0.0,"contrast":0.0,"saturation":0.01,"hue":0.01,'
    '"greyscale":0.0,"erasing":0.0,"noise":0.1},'
    '"penalties":[{"target":"zero","weight":0.2,"schedule":"linear","rate":1.0}],"total_variation":0.0,'
    '"clamp_latent":true,"average":0.95,"coarse":0.3}'
)
"""What a PNG of the first release carries: it must load for ever."""


def test_a_spec_saved_by_the_first_release_still_loads() -> None:
    spec = PaintingSpec.from_json(SAVED_IN_2026)
    assert spec.prompts[1] == Prompt(content="fog", weight=-0.5, stop=0.8)
    assert spec.prompts[2] == Prompt(kind="image", content="/pictures/storm.png", weight=0.25)
    assert spec.perceptors == (PerceptorChoice(name="ViT-B/32"), PerceptorChoice(name="RN50x4", weight=0.5))
    assert (spec.width, spec.height, spec.steps, spec.seed) == (640, 384, 300, LARGEST_SEED)
    assert (spec.init_image, spec.edit_from, spec.mask_text) == ("/pictures/sea.png", "a calm sea", "the sky")
    assert spec.penalties == (Penalty(weight=0.2, schedule="linear", rate=1.0),)
    saved = json.loads(SAVED_IN_2026)
    saved["ema_decay"] = saved.pop("average")
    saved["cutouts"]["first_power"] = None
    for prompt in saved["prompts"]:
        prompt |= {"where": "everywhere", "since": None}  # what every prompt meant then
    assert saved.items() <= json.loads(spec.to_json()).items()


def test_the_least_that_a_spec_needs_is_a_prompt() -> None:
    assert PaintingSpec.from_json('{"prompts":[{"content":"a"}]}') == PaintingSpec(prompts=(Prompt(content="a"),))


PROMPTS = st.builds(
    Prompt,
    kind=st.sampled_from(["text", "image"]),
    content=st.text(min_size=1).filter(lambda text: text.isprintable()),
    weight=st.floats(0.001, 100),
    stop=st.none() | st.floats(0, 4.9),
)
SHARES = st.floats(0, 0.5)
SPECS = st.builds(
    PaintingSpec,
    prompts=st.lists(PROMPTS, min_size=1, max_size=4).map(tuple),
    width=st.integers(32, 4096),
    steps=st.integers(1, 10_000),
    seed=st.integers(0, LARGEST_SEED),
    perceptors=st.lists(st.builds(PerceptorChoice, name=st.text(), weight=st.floats(0.01, 9)), min_size=1).map(tuple),
    start=st.sampled_from(["noise", "pixels", "gradient", "best-of", "prior"]),
    init_image=st.none() | st.text(),
    strength=st.floats(0.01, 1),
    learning_rate=st.floats(0.0001, 10),
    cutouts=st.builds(Cutouts, method=st.sampled_from(["crops", "pooled"]), count=st.integers(9, 512)),
    augmentations=st.builds(Augmentations, flip=SHARES, hue=SHARES, noise=SHARES, degrees=st.floats(0, 180)),
    penalties=st.lists(st.builds(Penalty, weight=st.floats(0.01, 9), rate=SHARES), max_size=2).map(tuple),
    ema_decay=SHARES,
)


@given(SPECS)
def test_json_says_the_same_both_ways(spec: PaintingSpec) -> None:
    text = spec.to_json()
    assert "\n" not in text
    assert PaintingSpec.from_json(text) == spec
    assert PaintingSpec.from_json(text.encode()).to_json() == text


def a_spec(**fields: object) -> PaintingSpec:
    return PaintingSpec.checked(**{"prompts": (Prompt(content="a"),), **fields})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"glitter": 1}, "There is no setting called 'glitter'."),
        ({"cutouts": {"glitter": 1}}, "There is no setting called 'cutouts.glitter'."),
        ({"steps": 0}, "steps must be at least 1, not 0."),
        ({"steps": 2.5}, "steps must be a whole number, not 2.5."),
        ({"steps": "many"}, "steps must be a whole number, not 'many'."),
        ({"width": 5000}, "width must be at most 4096, not 5000."),
        ({"seed": -1}, "seed must be at least 0, not -1."),
        ({"strength": 0}, "strength must be more than 0, not 0."),
        ({"ema_decay": 1}, "ema_decay must be less than 1, not 1."),
        ({"learning_rate": float("nan")}, "learning_rate must be a plain number, not nan."),
        ({"learning_rate": "fast"}, "learning_rate must be a number, not 'fast'."),
        ({"clamp_latent": "maybe"}, "clamp_latent must be true or false, not 'maybe'."),
        ({"preset": 3}, "preset must be text, not 3."),
        ({"start": "fog"}, "start must be 'noise', 'pixels', 'gradient', 'best-of' or 'prior', not 'fog'."),
        ({"cutouts": 5}, "cutouts must be a set of named values, not 5."),
        ({"perceptors": 5}, "perceptors must be a list, not 5."),
        ({"perceptors": ()}, "perceptors must not be empty."),
        ({"prompts": ()}, "prompts must not be empty."),
        ({"prompts": [{"content": ""}]}, "prompts.0.content must not be empty."),
        ({"prompts": [{"content": "a"}] * 33}, "prompts can have at most 32 entries."),
        ({"prompts": [{"weight": 1}]}, "prompts.0.content is missing."),
        (
            {"prompts": [{"content": "a", "weight": -1}]},
            "The weights of all prompts must add up to more than zero.",
        ),
        ({"mask": "m.png"}, "Masks and `edit_from` need a picture to edit, or words for --inside or --outside."),
        (
            {"init_image": "a.png", "mask": "m.png", "mask_text": "sky"},
            "Give either a mask picture or mask words, not both.",
        ),
        (
            {"prompts": [{"content": "a", "since": 4}]},
            "Words for a time of a film, such as @4, are for animations.",
        ),
        (
            {"init_image": "a.png", "init_latent": "z"},
            "Give either a picture or a latent to start from, not both.",
        ),
        (
            {"extend": {"right": 0.5}},
            "A canvas is extended around a picture, and all of what is new is painted: no masks, no `from`.",
        ),
        (
            {"prompts": [{"content": "a", "where": "inside"}]},
            f"Words for inside or outside need a mask: a picture, or --mask with one of {', '.join(PLACES)}.",
        ),
        (
            {"prompts": [{"content": "a", "where": "inside"}], "mask_text": "the sky"},
            "Where there is no picture yet, --mask is one of left, right, top, bottom, middle.",
        ),
        ({"looks": {"edges": "Red"}}, "looks.edges: string should match pattern '^#[0-9a-f]{6}$'."),
        ({"cutouts": {"count": 4, "overview": 5}}, "There cannot be more overview cutouts than cutouts."),
    ],
)
def test_a_mistake_is_one_sentence_for_people(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadSpecError) as refusal:
        a_spec(**fields)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"prompts":[{"content":"a"}],"version":2}', b"\xff"])
def test_what_is_no_spec_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadSpecError):
        PaintingSpec.from_json(text)


def test_a_changed_copy_is_checked_too() -> None:
    spec = a_spec(steps=10)
    assert spec.but(steps=20) == a_spec(steps=20)
    assert spec.steps == 10
    with pytest.raises(BadSpecError, match="steps must be at least 1"):
        spec.but(steps=0)


def test_perceptors_may_be_given_by_name() -> None:
    assert a_spec(perceptors=["RN50"]).perceptors == (PerceptorChoice(name="RN50"),)


@pytest.mark.parametrize("field", ["init_image", "mask_text", "edit_from", "mask"])
def test_what_cannot_be_saved_is_refused_before_it_is_painted(field):
    fields = {"init_image": "a.png", field: "caf\udce9.png"}
    with pytest.raises(BadSpecError, match="bytes that are no UTF-8"):
        PaintingSpec.checked(prompts=(Prompt(content="a red apple"),), **fields)


def test_numbers_are_written_out():
    with pytest.raises(BadSpecError, match=r"^seed must be at most 4294967295, not 12345678901234567890\.$"):
        PaintingSpec.checked(prompts=(Prompt(content="a red apple"),), seed=12345678901234567890)


def test_what_tiles_is_not_edited_in_part():
    with pytest.raises(BadSpecError, match="edited as a whole"):
        PaintingSpec.checked(prompts=(Prompt(content="a"),), init_image="a.png", mask_text="the sky", tile=True)


FILM = Motion(seconds=2, fps=4, begin=5, each=3)
ONE_PAINTING = "An animation is one painting from words."


def said_at(*times: float | None) -> tuple[Prompt, ...]:
    return tuple(Prompt(content="a", since=time) for time in times)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, None),
        ({"count": 2}, ONE_PAINTING),
        ({"init_image": "a.png"}, ONE_PAINTING),
        ({"steps": 25}, "This animation takes 26 steps, not 25."),
        ({"prompts": said_at(0, 1)}, None),
        ({"prompts": said_at(1, 0)}, None),
        ({"prompts": said_at(None, 1)}, None),
        ({"prompts": said_at(0.5, 1)}, "The first words of a story begin @0."),
        ({"motion": None, "prompts": said_at(0)}, "Words for a time of a film, such as @4, are for animations."),
    ],
)
def test_what_a_film_is_made_of(fields: dict[str, object], sentence: str | None) -> None:
    wanted = {"motion": FILM, "steps": 26, **fields}
    if sentence is None:
        assert a_spec(**wanted).steps == 5 + 3 * 7
        return
    with pytest.raises(BadSpecError) as refusal:
        a_spec(**wanted)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompts": (Prompt(content="a"), Prompt(content="b", weight=-1))}, "add up to more than zero"),
        ({"prompts": (Prompt(content="a"), Prompt(content="b", weight=-0.9))}, None),
        ({"cutouts": Cutouts(count=4, overview=4)}, None),
        ({"cutouts": Cutouts(count=4, overview=5)}, "more overview cutouts than cutouts"),
        ({"init_pixels": 1.0}, "about the picture that an edit starts from"),
        ({"init_embedding": 1.0}, "about the picture that an edit starts from"),
        ({"init_pixels": 1.0, "init_embedding": 1.0, "init_image": "a.png"}, None),
        ({"init_image": "a.png", "mask": "m.png"}, None),
        ({"init_image": "a.png", "mask_text": "the hat"}, None),
        ({"init_image": "a.png", "edit_from": "a cat"}, None),
        ({"edit_from": "a cat"}, "need a picture to edit"),
        ({"mask_text": "left"}, "need a picture to edit"),
        *(({"init_image": "a.png", "tile": True, part: "a"}, "edited as a whole")
          for part in ("mask", "mask_text", "edit_from")),
        *(({"init_image": "a.png", "extend": {"left": 0.5}, part: "a"}, "extended around a picture")
          for part in ("mask", "mask_text", "edit_from")),
        ({"init_image": "a.png", "extend": {"left": 0.5}}, None),
        ({"prompts": (Prompt(content="a", where="inside"),)}, "need a mask"),
        ({"prompts": (Prompt(content="a", where="outside"),), "mask_text": "left"}, None),
        ({"prompts": (Prompt(content="a", where="outside"),), "mask": "m.png"}, None),
        ({"prompts": (Prompt(content="a", where="inside"),), "mask_text": "the hat"}, "where there is no picture yet"),
        ({"prompts": (Prompt(content="a", where="inside"),), "mask_text": "the hat", "init_image": "a.png"}, None),
    ],
)  # fmt: skip
def test_what_fits_together(fields: dict[str, object], words: str | None) -> None:
    if words is None:
        a_spec(**fields)
        return
    with pytest.raises(BadSpecError, match=f"(?i){words}"):
        a_spec(**fields)


def test_one_of_several_pictures_is_asked_for_by_itself() -> None:
    several = a_spec(seed=LARGEST_SEED, count=3)
    assert several.seeds == (LARGEST_SEED, 0, 1)
    assert [(one.seed, one.count) for one in map(several.alone, range(3))] == [(LARGEST_SEED, 1), (0, 1), (1, 1)]
