"""Ours beside the published loops, written out plainly (`plain.py`), step by step.

Only the random numbers are shared: the starting latent, and what each step's generator draws.
"""

from typing import Any

import pytest
import torch
from PIL import Image

from bench.kornia_cutouts import use_kornia
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts
from tests.engine.plain import DirectionalLoop, MseLoop, NerdyrodentLoop, PaperLoop

APPLE = (Prompt(content="a red apple"),)
SMALL: dict[str, Any] = {"width": 48, "height": 48, "seed": 3}


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    ramp = Image.linear_gradient("L").resize((48, 48))
    Image.merge("RGB", (ramp, ramp.rotate(90), ramp.rotate(180))).save(path)
    return str(path)


def follows(ours, plain, start):
    """Compare every step's loss, and where both end."""
    for iterate in ours:
        assert iterate.loss == pytest.approx(plain.step(), rel=2e-3, abs=2e-4)
    assert (ours.z - start).abs().mean() > 0.1  # it went somewhere
    agree = (ours._vqgan.quantise(ours.z.detach()) == ours._vqgan.quantise(plain.z.detach())).float().mean()
    assert agree > 0.95


@pytest.mark.parametrize(("preset", "kind"), [("nerdyrodent", NerdyrodentLoop), ("paper", PaperLoop)])
def test_a_preset_tracks_a_plain_loop(tiny_models, cpu, preset, kind):
    spec = spec_from_preset(APPLE, preset, **SMALL, steps=30)
    spec = spec.but(cutouts=spec.cutouts.model_copy(update={"count": 6}).model_dump())
    ours = use_kornia(Painting(spec, ModelStore(tiny_models, cpu, embedded=tiny_models)))
    start = ours.z.detach().clone()
    follows(ours, kind(tiny_models, spec, start), start)


@pytest.mark.parametrize("from_picture", [False, True])
def test_mse_tracks_a_plain_loop_from_stair_to_stair(tiny_models, cpu, photo, from_picture):
    begin = {"init_image": photo} if from_picture else {"start": "noise"}
    spec = spec_from_preset(APPLE, "mse", **SMALL, **begin, steps=500, cutouts=Cutouts(count=2), learning_rate=0.05)
    ours = use_kornia(Painting(spec, ModelStore(tiny_models, cpu, embedded=tiny_models)))
    plain = MseLoop(tiny_models, spec, ours.z.detach())
    for stair in (0, 48, 248, 298):  # where nothing falls any more, nothing begins anew
        ours.step = plain.taken = stair
        plain.weight = max(0.0, 1.5 - 0.3 * (stair // 50))
        for _ in range(4):
            assert next(ours).loss == pytest.approx(plain.step(), rel=2e-3, abs=2e-4)
    torch.testing.assert_close(ours.z, plain.z, atol=1e-2, rtol=1e-2)


def test_a_directional_edit_tracks_a_plain_loop(gumbel_models, cpu, photo, tmp_path):
    mask = Image.new("L", (48, 48), 0)
    mask.paste(255, (16, 8, 48, 40))
    mask.save(tmp_path / "mask.png")
    edit = {"init_image": photo, "edit_from": "grey", "mask": str(tmp_path / "mask.png")}
    spec = spec_from_preset(APPLE, "directional", **SMALL, **edit, steps=20)
    spec = spec.but(cutouts=spec.cutouts.model_copy(update={"count": 6}).model_dump())
    ours = use_kornia(Painting(spec, ModelStore(gumbel_models, cpu, embedded=gumbel_models)))
    assert ours._edit is not None
    start = ours.z.detach().clone()
    plain = DirectionalLoop(gumbel_models, spec, start, ours._edit.original, ours._edit.mask)
    for iterate in ours:
        assert iterate.loss == pytest.approx(plain.step(), rel=2e-3, abs=5e-4)
    torch.testing.assert_close(ours.z, plain.z, atol=2e-2, rtol=2e-2)
    assert (ours.z - start).abs().max() > 0.5
