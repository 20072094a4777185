"""Official checkpoints at their real sizes: read safely, converted exactly, equal to the packages' own networks."""

import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from taming.modules.diffusionmodules import model as taming
from taming.modules.vqvae.quantize import VectorQuantizer2
from torch import nn
from torch.nn import functional as F

from engine import third_party
from engine.checkpoints import (
    BadCheckpointError,
    converted,
    read_clip,
    read_safetensors,
    read_upscaler,
    read_vqgan,
)
from engine.generators import build_vqgan
from engine.models import ModelStore
from tests.engine import official

CLIP_MODEL: Any = sys.modules["clip_model"]  # openai's model.py, as engine.third_party loaded it


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    shutil.rmtree(tmp_path)  # hundreds of megabytes, which pytest would keep for three runs


@pytest.fixture
def tamings_silu(monkeypatch):
    """Let taming compute as published, where engine.third_party spells one function in another way."""
    monkeypatch.setattr(taming, "nonlinearity", lambda x: x * torch.sigmoid(x))


def _write_vqgan(folder: Path, name: str, config: dict[str, Any], prefix: str = "") -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    tensors = official.random_vqgan(config, gumbel="Gumbel" in config["model"]["target"])
    official.write_lightning({prefix + key: tensor for key, tensor in tensors.items()}, folder / f"{name}.ckpt")
    official.write_yaml(config, folder / f"{name}.yaml")
    return tensors


def _taming(config, tensors):
    """Build the published networks from the published names."""
    ddconfig = config["model"]["params"]["ddconfig"]
    net = nn.Module()
    net.encoder, net.decoder = third_party.Encoder(**ddconfig), third_party.Decoder(**ddconfig)
    net.quant_conv, net.post_quant_conv = nn.Conv2d(256, 256, 1), nn.Conv2d(256, 256, 1)
    net.load_state_dict({name: t for name, t in tensors.items() if not name.startswith("quantize.")}, assign=True)
    return net.eval()


def _as_if_from_a_gpu(path: Path) -> None:
    """Change where a TorchScript archive says that its tensors were."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            cpu, gpu = (b"X" + len(where).to_bytes(4, "little") + where for where in (b"cpu", b"cuda:0"))
            archive.writestr(name, content.replace(cpu, gpu) if name.endswith("data.pkl") else content)


@torch.no_grad()
def test_f16_16384(folder, cpu, tamings_silu, monkeypatch):
    tensors = _write_vqgan(folder, "imagenet-16384", official.F16)
    official.expect(monkeypatch, "imagenet-16384", folder)
    assert not any(name.startswith("pytorch_lightning") for name in sys.modules)
    generator = ModelStore(folder, cpu).generator("imagenet-16384")  # strict: no key missing, none left over
    assert (generator.factor, generator.channels, len(generator.codebook)) == (16, 256, 16384)

    theirs: Any = _taming(official.F16, tensors)
    quantizer = VectorQuantizer2(16384, 256, beta=0.25)
    quantizer.embedding.weight.data = tensors["quantize.embedding.weight"]
    picture = torch.rand(1, 3, 64, 64)
    z = generator.encode(picture)
    torch.testing.assert_close(z, theirs.quant_conv(theirs.encoder(picture * 2 - 1)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(generator.quantise(z), quantizer(z)[0], rtol=1e-5, atol=1e-5)
    wanted = (theirs.decoder(theirs.post_quant_conv(z)) + 1) / 2
    torch.testing.assert_close(generator.decode(z), wanted, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_gumbel_f8(folder, cpu, tamings_silu, monkeypatch):
    tensors = _write_vqgan(folder, "openimages-8192", official.GUMBEL_F8)
    official.expect(monkeypatch, "openimages-8192", folder)
    generator = ModelStore(folder, cpu).generator("openimages-8192")
    assert (generator.factor, generator.channels, len(generator.codebook)) == (8, 256, 8192)

    theirs: Any = _taming(official.GUMBEL_F8, tensors)
    picture = torch.rand(1, 3, 64, 64)
    hidden = theirs.quant_conv(theirs.encoder(picture * 2 - 1))
    logits = F.conv2d(hidden, tensors["quantize.proj.weight"], tensors["quantize.proj.bias"])
    z = tensors["quantize.embed.weight"][logits.argmax(1)].permute(0, 3, 1, 2)
    torch.testing.assert_close(generator.encode(picture), z, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(generator.quantise(z), z, rtol=0, atol=0)
    wanted = (theirs.decoder(theirs.post_quant_conv(z)) + 1) / 2
    torch.testing.assert_close(generator.decode(z), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "file", "config"), [("ViT-B/32", "ViT-B-32.pt", official.VIT_B_32), ("RN50", "RN50.pt", official.RN50)]
)
@torch.no_grad()
def test_clip(folder, cpu, name, file, config, monkeypatch):
    torch.manual_seed(0)
    tensors = official.random_clip(config)
    official.write_torchscript(tensors, folder / file)
    official.expect(monkeypatch, name, folder)
    with pytest.raises((RuntimeError, pickle.UnpicklingError)), pytest.warns(UserWarning, match="TorchScript archive"):
        torch.load(folder / file, weights_only=True)
    perceptor = ModelStore(folder, cpu).perceptor(name)
    assert perceptor.size == 224

    theirs = CLIP_MODEL.build_model(dict(tensors)).float()
    pictures = torch.rand(2, 3, 224, 224)
    mean, deviation = (
        torch.tensor([0.48145466, 0.4578275, 0.40821073]),
        torch.tensor([0.26862954, 0.26130258, 0.27577711]),
    )
    normed = (pictures - mean[:, None, None]) / deviation[:, None, None]
    wanted = F.normalize(theirs.encode_image(normed), dim=-1)
    torch.testing.assert_close(perceptor.encode_image(pictures), wanted, rtol=1e-5, atol=1e-5)
    tokens = torch.zeros(1, 77, dtype=torch.long)
    tokens[0, :5] = torch.tensor([49406, 320, 736, 3055, 49407])  # "a red apple", from clip.tokenize
    wanted = F.normalize(theirs.encode_text(tokens), dim=-1)
    torch.testing.assert_close(perceptor.encode_text(["a red apple"]), wanted, rtol=1e-5, atol=1e-5)


class TestSmall:
    """The same reading, on files of a few kilobytes."""

    @pytest.fixture
    def config(self):
        from tests.conftest import TINY_GENERATOR

        params = {name: value for name, value in TINY_GENERATOR.items() if name != "kind"}
        return {"model": {"target": "taming.models.vqgan.VQModel", "params": params}}

    def test_conversion_is_exact_and_happens_once(self, config, tmp_path):
        tensors = _write_vqgan(tmp_path, "tiny", config)
        reads = []

        def read():
            reads.append(1)
            return read_vqgan(tmp_path / "tiny.ckpt", tmp_path / "tiny.yaml")

        first, _ = converted(tmp_path / "tiny.safetensors", read)
        model, kept = converted(tmp_path / "tiny.safetensors", read)
        assert len(reads) == 1
        assert first == model
        assert model == {"kind": "vqgan", **config["model"]["params"]}
        assert kept.keys() == tensors.keys()
        assert all(torch.equal(kept[name], tensors[name]) for name in tensors)
        assert not list(tmp_path.glob("*.part"))

    def test_two_processes_convert_once(self, config, tmp_path):
        _write_vqgan(tmp_path, "tiny", config)
        program = f"""
import time
from pathlib import Path
from engine.checkpoints import converted, read_vqgan
folder = Path({str(tmp_path)!r})
def read():
    with (folder / "reads").open("a") as log:
        log.write("read ")
    time.sleep(0.5)
    return read_vqgan(folder / "tiny.ckpt", folder / "tiny.yaml")
assert converted(folder / "tiny.safetensors", read)[0]["kind"] == "vqgan"
"""
        root = Path(__file__).resolve().parents[2]
        both = [subprocess.Popen([sys.executable, "-c", program], cwd=root) for _ in range(2)]
        assert [process.wait(60) for process in both] == [0, 0]
        assert (tmp_path / "reads").read_text() == "read "

    def test_a_missing_file_is_one_sentence(self, tmp_path):
        with pytest.raises(BadCheckpointError, match=r"^[^\n]+none\.safetensors is missing[^\n]+\.$"):
            read_safetensors(tmp_path / "none.safetensors")

    def test_a_transformer_checkpoint_gives_its_first_stage(self, config, tmp_path, cpu):
        whole = {
            "model": {
                "target": "taming.models.cond_transformer.Net2NetTransformer",
                "params": {"first_stage_config": config["model"], "transformer_config": {}},
            }
        }
        torch.manual_seed(0)
        tensors = official.random_vqgan(config, gumbel=False)
        named = {f"first_stage_model.{name}": tensor for name, tensor in tensors.items()}
        named["first_stage_model.loss.logvar"] = torch.zeros(())
        named["transformer.tok_emb.weight"] = torch.zeros(2, 2)
        official.write_lightning(named, tmp_path / "big.ckpt")
        official.write_yaml(whole, tmp_path / "big.yaml")
        model, kept = read_vqgan(tmp_path / "big.ckpt", tmp_path / "big.yaml")
        assert kept.keys() == tensors.keys()
        assert build_vqgan(model, kept, cpu).factor == 4

    def test_torchs_old_format_is_read(self, config, tmp_path):
        tensors = official.random_vqgan(config, gumbel=False)
        torch.save({"state_dict": tensors}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
        official.write_yaml(config, tmp_path / "old.yaml")
        assert read_vqgan(tmp_path / "old.ckpt", tmp_path / "old.yaml")[1].keys() == tensors.keys()

    @pytest.mark.parametrize(
        ("name", "rest"), [("a.pt", {}), ("a.bin", {}), ("a.safetensors", {"gelu": "exact"}), ("a.pth", {})]
    )
    def test_tensors_are_read_from_each_format_wherever_they_were_saved(self, tmp_path, monkeypatch, name, rest):
        """Published files are often saved from a GPU, which not every machine has."""
        path, tensors = tmp_path / name, {"proj": torch.rand(2, 3), "ln.weight": torch.rand(4)}
        monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
        if name == "a.pt":
            official.write_torchscript(tensors, path)
            _as_if_from_a_gpu(path)
        elif name == "a.safetensors":
            save_file(tensors, path)
        else:
            torch.save(tensors if name == "a.bin" else {"epoch": 3, "params": {**tensors, "steps": 5}}, path)
        config, read = read_upscaler(path) if name == "a.pth" else read_clip(path)
        assert config == rest
        assert read.keys() == tensors.keys()
        for key, tensor in tensors.items():
            torch.testing.assert_close(read[key], tensor, rtol=0, atol=0)  # which is on the CPU

    def test_of_an_upscaler_s_tensors_the_averaged_ones_are_taken(self, tmp_path):
        torch.save({"params": {"a": torch.zeros(2)}, "params_ema": {"a": torch.ones(2)}}, tmp_path / "both.pth")
        assert read_upscaler(tmp_path / "both.pth")[1]["a"].tolist() == [1, 1]

    @pytest.mark.parametrize("new", [True, False])
    def test_a_checkpoint_saved_from_a_gpu_is_read_without_one(self, config, tmp_path, monkeypatch, new):
        tensors = official.random_vqgan(config, gumbel=False)
        monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
        torch.save({"state_dict": tensors}, tmp_path / "gpu.ckpt", _use_new_zipfile_serialization=new)
        official.write_yaml(config, tmp_path / "gpu.yaml")
        read = read_vqgan(tmp_path / "gpu.ckpt", tmp_path / "gpu.yaml")[1]
        assert {tensor.device.type for tensor in read.values()} == {"cpu"}

    def test_a_checkpoint_that_wants_to_run_code_is_refused(self, config, tmp_path):
        class Evil:
            def __reduce__(self):
                return Path.touch, (tmp_path / "ran",)

        torch.save({"state_dict": {}, "callbacks": Evil()}, tmp_path / "evil.ckpt")
        official.write_yaml(config, tmp_path / "evil.yaml")
        with pytest.raises(BadCheckpointError, match=r"^[^\n]+evil\.ckpt is not a VQGAN checkpoint[^\n]+\.$"):
            read_vqgan(tmp_path / "evil.ckpt", tmp_path / "evil.yaml")
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html></html>", b"PK\x03\x04 truncated", bytes(1000)])
    def test_what_is_no_checkpoint_is_one_sentence(self, config, tmp_path, content):
        official.write_yaml(config, tmp_path / "bad.yaml")
        for name in ("bad.ckpt", "bad.pt", "bad.safetensors", "bad.bin", "bad.pth"):
            (tmp_path / name).write_bytes(content)
        for read in (
            lambda: read_vqgan(tmp_path / "bad.ckpt", tmp_path / "bad.yaml"),
            lambda: read_clip(tmp_path / "bad.pt"),
            lambda: read_clip(tmp_path / "bad.safetensors"),
            lambda: read_clip(tmp_path / "bad.bin"),
            lambda: read_upscaler(tmp_path / "bad.pth"),
            lambda: read_safetensors(tmp_path / "bad.safetensors"),
        ):
            with pytest.raises(BadCheckpointError, match=r"^[^\n]+\.$"):
                read()

    @pytest.mark.parametrize("text", ["", "- a list", "model: {target: other.Network, params: {}}", "\x00", "<html>"])
    def test_a_yaml_that_describes_no_vqgan_is_one_sentence(self, tmp_path, text):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(BadCheckpointError, match=r"^[^\n]+bad\.yaml does not describe[^\n]+\.$"):
            read_vqgan(tmp_path / "none.ckpt", tmp_path / "bad.yaml")
