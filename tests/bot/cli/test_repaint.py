import shlex
from typing import Any

import pytest

from bot.cli.arguments import checked_spec, painting_options
from bot.cli.repaint import command_for
from bot.options import configured_defaults, painting_spec
from bot.settings import ModelSettings
from engine.presets import PRESETS, spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts, PaintingSpec

MODELS = ModelSettings()


def options_of(command: str) -> dict[str, list[str]]:
    """Split a printed command as the shell and the parser do."""
    words = shlex.split(command)[4:]
    end = words.index("--")
    options: dict[str, list[str]] = {"": words[end + 1 :]}
    for word in words[:end]:
        name, _, value = word.partition("=")
        options.setdefault(name, []).append(value)
    return options


def arguments_of(command: str) -> dict[str, Any]:
    given = options_of(command)
    one = {name: values[0] for name, values in given.items() if name and len(values) == 1}
    return {
        "prompt": given[""][-1],
        "picture": given[""][0] if len(given[""]) == 2 else None,
        "size": one["--size"],
        "steps": int(one["--steps"]),
        "seed": int(one["--seed"]),
        "preset": one["--preset"],
        "generator": one["--generator"],
        "perceptors": tuple(given["--perceptor"]),
        "image_prompts": tuple(given.get("--image-prompt", ())),
        "start": one.get("--start"),
        "edit_from": one.get("--from"),
        "mask": one.get("--mask"),
        "mask_text": one.get("--mask-text"),
        "strength": float(one["--strength"]) if "--strength" in one else None,
        "sets": tuple(given.get("--set", ())),
    }


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
    options = painting_options(**arguments_of(command_for(spec, "a.png")))
    assert painting_spec(options, configured_defaults(MODELS), MODELS) == spec


def test_a_plain_painting_is_repainted_by_plain_options() -> None:
    spec = checked_spec(painting_options("a red apple | fog:-0.5", seed=3, start="pixels"), MODELS)
    assert command_for(spec, "b.png").partition(" ")[2] == (
        f"-m bot imagine --size=128x128 --steps={spec.steps} --seed=3 --preset=normal --generator=embedded "
        "--start=pixels --perceptor=embedded --output=b.png -- 'a red apple | fog::-0.5'"
    )
