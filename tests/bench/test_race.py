"""Races, with a peer's checkout that has the shape of the published ones."""

import pytest

from bench.race import Pace, Racer, race, report, spread
from bench.racer import device_of
from bench.setting import Setting

TINY = Setting(32, 2, "tiny", "tiny")
SCRIPT = """
import argparse
from omegaconf import OmegaConf
from taming.models import cond_transformer, vqgan
from torchvision import transforms
from torch_optimizer import DiffGrad, AdamP
from CLIP import clip
from tqdm import tqdm
import imageio
import torch

parser = argparse.ArgumentParser()
parser.add_argument("-p")
parser.add_argument("-s", nargs=2, type=int)
parser.add_argument("-se")
parser.add_argument("-cd")
arguments, _ = parser.parse_known_args()
config = OmegaConf.load("anywhere.yaml")
model = vqgan.VQModel(**config.model.params)
model.eval().requires_grad_(False)
model.init_from_ckpt("anywhere.ckpt")
perceptor = clip.load("tiny", jit=False)[0].eval().requires_grad_(False).to(arguments.cd)
normalize = transforms.Normalize(mean=[0.5, 0.5, 0.5], std=[0.2, 0.2, 0.2])
print("Using text prompts:", arguments.p)
z = torch.zeros(1, 32, arguments.s[0] // 2, arguments.s[1] // 2, requires_grad=True)
with tqdm() as bar:
    while True:
        target = perceptor.encode_text(clip.tokenize(arguments.p)).float()
        seen = perceptor.encode_image(normalize(model.decode(z)))
        (seen - target).square().sum().backward()
        bar.update()
"""


def test_a_peer_is_driven_from_its_own_loop(tmp_path):
    (tmp_path / "generate.py").write_text(SCRIPT)
    ours, peer = race(2, ("ours", str(tmp_path)), TINY)
    assert len(ours.seconds) == len(peer.seconds) == 2
    assert min(*ours.seconds, *peer.seconds, ours.peak, peer.peak) > 0
    assert ours.process.returncode == peer.process.returncode == 0
    assert f"| {tmp_path.name} |" in report([ours, peer])


def test_a_side_that_cannot_start_is_named(tmp_path, capfd):
    with pytest.raises(RuntimeError, match=f"{tmp_path.name} stopped"):
        race(1, (str(tmp_path),), TINY)
    assert "neither generate.py nor src/vqgan_clip" in capfd.readouterr().err


def test_ratios_are_of_the_same_turn():
    ours = Racer("ours", seconds=[1.0, 2.0, 1.0], peak=2**30)
    other = Racer("/peers/other", seconds=[4.0, 4.0, 3.0], peak=2**31)
    assert report([ours, other]).splitlines()[-1] == "| other | 3 / 4 / 4 | 2 / 3 / 4 | 0.0 | 2.00 |"


def test_a_spread_is_written_with_three_digits():
    assert spread([0.12345, 2.0, 1.0]) == "0.123 / 1 / 2"


def test_a_side_that_fails_is_out_and_the_race_goes_on(tmp_path):
    (tmp_path / "generate.py").write_text("raise SystemExit('no such network')")
    ours, peer = race(2, ("ours", str(tmp_path)), TINY, Pace(each=3, at_once=True))
    assert len(ours.seconds) == 2
    assert f"| {tmp_path.name} | {tmp_path.name} stopped: no answer |" in report([ours, peer])


def test_a_side_takes_too_long(tmp_path):
    (tmp_path / "generate.py").write_text("import time; time.sleep(60)")
    with pytest.raises(RuntimeError, match="nothing for 1 s"):
        race(1, (str(tmp_path),), TINY, Pace(patience=1))


def test_a_change_that_is_none_is_named():
    with pytest.raises(ValueError, match="no wings"):
        device_of("ours+launched+wings")
