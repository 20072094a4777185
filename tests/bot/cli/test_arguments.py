from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.cli.arguments import checked_spec, name_for, painting_options
from bot.refusals import Refusal
from bot.settings import ModelSettings
from engine.pictures import BadPictureError
from engine.presets import spec_from_preset
from engine.prompts import BadPromptError, Prompt
from engine.spec import BadSpecError, PaintingSpec, PerceptorChoice

MODELS = ModelSettings()


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "a picture:2.png"
    Image.new("RGB", (96, 48), "red").save(path)
    return str(path)


def spec_for(*, prompt: str = "a", models: ModelSettings = MODELS, **arguments: Any) -> PaintingSpec:
    return checked_spec(painting_options(prompt, **arguments), models)


def test_a_prompt_alone_is_painted_as_the_settings_say() -> None:
    spec = spec_for(prompt="a lighthouse", seed=7)
    assert spec == spec_from_preset((Prompt(content="a lighthouse"),), "normal", "embedded", seed=7)


def test_without_a_seed_each_painting_has_its_own() -> None:
    assert len({spec_for(prompt="a").seed for _ in range(4)}) == 4


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
    spec = spec_for(prompt="a", size=size)
    assert (spec.width, spec.height) == expected


def test_perceptors_have_weights_and_suit_the_generator() -> None:
    assert spec_for(generator="coco", perceptors=("ViT-B/32", "ViT-L/14@336px:0.5")).perceptors == (
        PerceptorChoice(name="ViT-B/32"),
        PerceptorChoice(name="ViT-L/14@336px", weight=0.5),
    )
    assert spec_for(prompt="a").perceptors == (PerceptorChoice(name="embedded"),)
    assert spec_for(prompt="a", generator="coco").perceptors == (PerceptorChoice(name="ViT-B/32"),)


def test_image_prompts_have_weights_and_need_no_words(picture: str) -> None:
    spec = spec_for(prompt="a", image_prompts=(picture, f"{picture}:0.25"))
    assert [(p.kind, p.content, p.weight) for p in spec.prompts[1:]] == [
        ("image", picture, 1),
        ("image", picture, 0.25),
    ]
    assert [p.kind for p in spec_for(prompt="", image_prompts=(picture,)).prompts] == ["image"]


def test_an_edit_keeps_the_pictures_proportions_and_starts_from_it(picture: str) -> None:
    spec = spec_for(prompt="a", picture=picture, edit_from="b", mask_text="the sky")
    assert (spec.init_image, spec.edit_from, spec.mask_text) == (picture, "b", "the sky")
    assert (spec.width, spec.height) == (176, 96)
    assert (spec.start, spec.coarse, spec.strength) == ("noise", 0, 0.7)
    assert spec_for(prompt="a", picture=picture, size="64x64").height == 64


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"prompt": ""}, BadPromptError, "Write what"),
        ({"size": "big"}, Refusal, "512x384, or as one of square"),
        ({"steps": 0}, BadSpecError, "steps must be at least 1"),
        ({"preset": "best"}, BadSpecError, "no preset 'best'"),
        ({"start": "fog"}, BadSpecError, "start must be"),
        ({"sets": ("steps",)}, BadSpecError, "--set name=value"),
        ({"sets": ("glitter=1",)}, BadSpecError, "no setting called 'glitter'"),
        ({"perceptors": ("embedded:-1",)}, BadSpecError, "greater than zero"),
        ({"picture": "/none.png"}, BadPictureError, "There is no file /none.png"),
        ({"picture": "/none.png", "size": "64x64"}, BadPictureError, "There is no file /none.png"),
        ({"image_prompts": ("/none.png:2",)}, BadPictureError, "There is no file /none.png"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_loaded(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        spec_for(**arguments)


def test_files_are_named_after_the_prompt_and_never_overwritten(tmp_path: Path) -> None:
    spec = spec_for(prompt="Ein Größter/Apfel: ../rot! " + "x" * 100)
    first = name_for(spec, tmp_path)
    assert first.parent == tmp_path
    assert first.name == f"ein-größter-apfel-rot-{'x' * 28}.png"
    first.touch()
    assert name_for(spec, tmp_path).name.endswith("-2.png")
    assert name_for(spec_for(prompt="🍎"), tmp_path).name == "painting.png"
