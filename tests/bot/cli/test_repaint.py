import shlex
from pathlib import Path

import pytest
from PIL import Image

from bot.cli.repaint import Wish, command_for, name_for, spec_for, unchecked_spec
from bot.settings import ModelSettings
from engine.pictures import BadPictureError
from engine.presets import PRESETS, spec_from_preset
from engine.prompts import BadPromptError, Prompt
from engine.spec import BadSpecError, Cutouts, PaintingSpec, PerceptorChoice

MODELS = ModelSettings()


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "a picture:2.png"
    Image.new("RGB", (96, 48), "red").save(path)
    return str(path)


def test_a_prompt_alone_is_painted_as_the_settings_say() -> None:
    spec = spec_for(Wish(prompt="a lighthouse", seed=7), MODELS)
    assert spec == spec_from_preset((Prompt(content="a lighthouse"),), "normal", "embedded", seed=7)


def test_without_a_seed_each_painting_has_its_own() -> None:
    assert len({spec_for(Wish(prompt="a"), MODELS).seed for _ in range(4)}) == 4


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("96x64", (96, 64)),
        ("512 × 384", (512, 384)),
        ("square", (128, 128)),
        ("portrait", (112, 160)),
        ("landscape", (160, 112)),
        ("widescreen", (176, 96)),
    ],
)
def test_sizes_are_numbers_or_shapes_of_the_presets_area(size: str, expected: tuple[int, int]) -> None:
    spec = spec_for(Wish(prompt="a", size=size), MODELS)
    assert (spec.width, spec.height) == expected


def test_perceptors_have_weights_and_suit_the_generator() -> None:
    wish = Wish(prompt="a", generator="coco", perceptors=("ViT-B/32", "ViT-L/14@336px:0.5"))
    assert spec_for(wish, MODELS).perceptors == (
        PerceptorChoice(name="ViT-B/32"),
        PerceptorChoice(name="ViT-L/14@336px", weight=0.5),
    )
    assert spec_for(Wish(prompt="a"), MODELS).perceptors == (PerceptorChoice(name="embedded"),)
    assert spec_for(Wish(prompt="a", generator="coco"), MODELS).perceptors == (PerceptorChoice(name="ViT-B/32"),)


def test_image_prompts_have_weights_and_need_no_words(picture: str) -> None:
    spec = spec_for(Wish(prompt="a", image_prompts=(picture, f"{picture}:0.25")), MODELS)
    assert [(p.kind, p.content, p.weight) for p in spec.prompts[1:]] == [
        ("image", picture, 1),
        ("image", picture, 0.25),
    ]
    assert [p.kind for p in spec_for(Wish(prompt="", image_prompts=(picture,)), MODELS).prompts] == ["image"]


def test_an_edit_keeps_the_pictures_proportions_and_starts_from_it(picture: str) -> None:
    spec = spec_for(Wish(prompt="a", picture=picture, edit_from="b", mask_text="the sky"), MODELS)
    assert (spec.init_image, spec.edit_from, spec.mask_text) == (picture, "b", "the sky")
    assert (spec.width, spec.height) == (176, 96)
    assert (spec.start, spec.coarse, spec.strength) == ("noise", 0, 0.7)
    assert spec_for(Wish(prompt="a", picture=picture, size="64x64"), MODELS).height == 64


@pytest.mark.parametrize(
    ("wish", "error", "words"),
    [
        (Wish(prompt=""), BadPromptError, "Write what"),
        (Wish(prompt="a", size="big"), BadSpecError, "512x384, or as one of square"),
        (Wish(prompt="a", steps=0), BadSpecError, "steps must be at least 1"),
        (Wish(prompt="a", preset="best"), BadSpecError, "no preset 'best'"),
        (Wish(prompt="a", start="fog"), BadSpecError, "start must be"),
        (Wish(prompt="a", sets=("steps",)), BadSpecError, "--set name=value"),
        (Wish(prompt="a", sets=("glitter=1",)), BadSpecError, "no setting called 'glitter'"),
        (Wish(prompt="a", perceptors=("embedded:-1",)), BadSpecError, "greater than zero"),
        (Wish(prompt="a", picture="/none.png"), BadPictureError, "There is no file /none.png"),
        (Wish(prompt="a", picture="/none.png", size="64x64"), BadPictureError, "There is no file /none.png"),
        (Wish(prompt="a", image_prompts=("/none.png:2",)), BadPictureError, "There is no file /none.png"),
    ],
)
def test_bad_wishes_are_refused_before_anything_is_loaded(wish: Wish, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        spec_for(wish, MODELS)


def arguments(command: str) -> dict[str, list[str]]:
    """Split a printed command as the shell and the parser do."""
    words = shlex.split(command)[4:]
    end = words.index("--")
    options: dict[str, list[str]] = {"": words[end + 1 :]}
    for word in words[:end]:
        name, _, value = word.partition("=")
        options.setdefault(name, []).append(value)
    return options


def wish_of(command: str) -> Wish:
    given = arguments(command)
    one = {name: values[0] for name, values in given.items() if name and len(values) == 1}
    return Wish(
        prompt=given[""][-1],
        picture=given[""][0] if len(given[""]) == 2 else None,
        size=one["--size"],
        steps=int(one["--steps"]),
        seed=int(one["--seed"]),
        preset=one["--preset"],
        generator=one["--generator"],
        perceptors=tuple(given["--perceptor"]),
        image_prompts=tuple(given.get("--image-prompt", ())),
        start=one.get("--start"),
        edit_from=one.get("--from"),
        mask=one.get("--mask"),
        mask_text=one.get("--mask-text"),
        strength=float(one["--strength"]) if "--strength" in one else None,
        sets=tuple(given.get("--set", ())),
    )


PROMPTS = (Prompt(content='--no it\'s "quoted" $HOME; rm'), Prompt(content="at 9:30:1"))
SPECS = [
    *(
        spec_from_preset((Prompt(content="a", weight=2.5),), preset, g)
        for preset in PRESETS
        for g in ("embedded", "coco")
    ),
    spec_from_preset(PROMPTS, "fine"),
    spec_from_preset((Prompt(content="-a"), Prompt(content="b", weight=-0.1, stop=0.8)), "paper"),
    spec_from_preset((Prompt(content="a | b"), Prompt(content="\n")), "paper"),
    spec_from_preset((Prompt(content="a", weight=-1), Prompt(kind="image", content="/b:2", weight=3)), "paper"),
    spec_from_preset((Prompt(kind="image", content="/b.png", stop=0.5), Prompt(content="a")), "draft"),
    spec_from_preset((Prompt(content="a"),), "draft", learning_rate=0.3, cutouts=Cutouts(count=5), start="gradient"),
    spec_from_preset((Prompt(content="a"),), "draft", init_latent="/z.safetensors", init_noise=0.25),
    PaintingSpec(prompts=(Prompt(content="a"),), preset="of another version"),
    spec_from_preset(
        (Prompt(content="a"),), "normal", init_image="-c.png", mask="/m.png", edit_from="=b", strength=1, coarse=0.5
    ),
]


@pytest.mark.parametrize("spec", SPECS)
def test_the_printed_command_asks_for_exactly_the_same(spec: PaintingSpec) -> None:
    assert unchecked_spec(wish_of(command_for(spec, "a.png")), MODELS) == spec


def test_a_plain_painting_is_repainted_by_plain_options() -> None:
    spec = spec_for(Wish(prompt="a red apple | fog:-0.5", seed=3, start="pixels"), MODELS)
    assert command_for(spec, "b.png").partition(" ")[2] == (
        f"-m bot imagine --size=128x128 --steps={spec.steps} --seed=3 --preset=normal --generator=embedded "
        "--start=pixels --perceptor=embedded --output=b.png -- 'a red apple | fog::-0.5'"
    )


def test_files_are_named_after_the_prompt_and_never_overwritten(tmp_path: Path) -> None:
    spec = spec_for(Wish(prompt="Ein Größter/Apfel: ../rot! " + "x" * 100), MODELS)
    first = name_for(spec, tmp_path)
    assert first.parent == tmp_path
    assert first.name == f"ein-größter-apfel-rot-{'x' * 28}.png"
    first.touch()
    assert name_for(spec, tmp_path).name.endswith("-2.png")
    assert name_for(spec_for(Wish(prompt="🍎"), MODELS), tmp_path).name == "painting.png"
