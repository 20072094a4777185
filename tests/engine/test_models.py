"""ModelStore: the embedded pair from files of the real format."""

import pytest
import torch
import yaml
from safetensors.torch import save_file

from engine import catalog, checkpoints
from engine.catalog import Kind, Model, ModelMissingError, RemoteFile, UnknownModelError
from engine.checkpoints import BadCheckpointError
from engine.models import ModelStore
from engine.upscaler import RRDBNet
from tests.conftest import TINY_GENERATOR, TINY_PERCEPTOR
from tests.engine import official


@pytest.fixture(scope="module")
def store(tiny_models, cpu, tmp_path_factory):
    return ModelStore(tmp_path_factory.mktemp("data"), cpu, embedded=tiny_models)


def test_a_model_is_loaded_once(store):
    assert store.generator("embedded") is store.generator("embedded")
    assert store.perceptor("embedded") is store.perceptor("embedded")


def test_the_embedded_pair_paints_and_looks(store):
    generator, perceptor = store.generator("embedded"), store.perceptor("embedded")
    assert (generator.factor, generator.channels) == (4, TINY_GENERATOR["embed_dim"])
    picture = generator.decode(generator.quantise(torch.randn(1, 8, 8, 8)))
    assert picture.shape == (1, 3, 32, 32)
    assert perceptor.encode_image(picture).shape == perceptor.encode_text(["a red apple"]).shape == (1, 16)


def test_networks_are_frozen_and_in_eval_mode(store):
    for network in (store.generator("embedded"), store.perceptor("embedded")):
        assert not any(parameter.requires_grad for parameter in network.parameters())
        assert not any(module.training for module in network.modules())


def test_words_the_pair_does_not_know_share_one_meaning(store):
    perceptor = store.perceptor("embedded")
    castle, forest, apple = perceptor.encode_text(["castle", "forest", "apple"])
    assert torch.equal(castle, forest)
    assert not torch.allclose(castle, apple)


def test_unknown_names_are_refused_in_one_sentence(store):
    with pytest.raises(UnknownModelError, match=r"^There is no generator 'imagenet'[^\n]*\.$"):
        store.generator("imagenet")
    with pytest.raises(UnknownModelError, match=r"^There is no perceptor 'ViT'[^\n]*\.$"):
        store.perceptor("ViT")


def test_a_model_that_was_not_fetched_names_the_address_and_the_folder(store):
    with pytest.raises(ModelMissingError, match=r"^[^\n]+https://openaipublic[^\n]+RN50\.pt[^\n]+\.$") as error:
        store.perceptor("RN50")
    assert str(store.folder) in str(error.value)
    with pytest.raises(ModelMissingError, match=r"imagenet-1024\.yaml and https[^\n]+imagenet-1024\.ckpt"):
        store.generator("imagenet-1024")


def test_a_perceptor_is_no_generator(store):
    with pytest.raises(UnknownModelError, match="imagenet-16384"):
        store.generator("RN50")


def test_only_the_embedded_generator_may_have_a_prior(store):
    assert store.prior("imagenet-16384") is None


def test_the_shipped_pair_loads_and_distinguishes_a_text_from_its_opposite(cpu, tmp_path):
    store = ModelStore(tmp_path, cpu)
    generator, perceptor = store.generator("embedded"), store.perceptor("embedded")
    codes = generator.codebook[:256].view(1, 16, 16, -1).permute(0, 3, 1, 2)
    picture = generator.decode(codes)
    assert picture.isfinite().all()
    red, apple, blue = perceptor.encode_text(["a red apple", "an apple, red", "a blue sky"])
    assert red @ apple > red @ blue


def test_the_shipped_generator_has_its_prior(cpu, tmp_path):
    store = ModelStore(tmp_path, cpu)
    assert store.prior("embedded") is not None
    assert store.prior("embedded") is store.prior("embedded")


class TestPublishedFiles:
    """In taming's format, small."""

    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        urls = ("https://example.org/x",)
        files = (RemoteFile("tiny.yaml", urls=urls), RemoteFile("tiny.ckpt", urls=urls))
        model = Model("tiny", "generator", "MIT", "https://example.org", files)
        monkeypatch.setattr(catalog, "catalogue", lambda: {"tiny": model})
        official.write_lightning(official.random_vqgan(self.describe(tmp_path), gumbel=False), tmp_path / "tiny.ckpt")
        return tmp_path

    def describe(self, folder, **changes):
        params = {name: value for name, value in TINY_GENERATOR.items() if name != "kind"} | changes
        config = {"model": {"target": "taming.models.vqgan.VQModel", "params": params}}
        (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
        return config

    @pytest.mark.parametrize("changes", [{"embed_dim": 4}, {"n_embed": 31}, {"ddconfig": {"ch": 1}}])
    def test_a_yaml_of_another_network_costs_nothing(self, folder, cpu, changes):
        self.describe(folder, **changes)
        with pytest.raises(BadCheckpointError, match=r"tiny\.ckpt and [^\n]+tiny\.yaml are not of the same VQGAN"):
            ModelStore(folder, cpu).generator("tiny")
        self.describe(folder)  # the right one, put there later
        assert ModelStore(folder, cpu).generator("tiny").channels == TINY_GENERATOR["embed_dim"]

    def test_a_folder_that_cannot_be_written_paints_too(self, folder, cpu, monkeypatch):
        monkeypatch.setattr(checkpoints.os, "access", lambda *_: False)  # root may write anywhere
        assert ModelStore(folder, cpu).generator("tiny").channels == TINY_GENERATOR["embed_dim"]
        assert sorted(path.name for path in folder.iterdir()) == ["tiny.ckpt", "tiny.yaml"]


def test_each_kind_of_published_model_is_read_in_its_own_format(tmp_path, cpu, monkeypatch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = RRDBNet(features=4, blocks=1, growth=4)
        clip = official.random_clip({**TINY_PERCEPTOR, "transformer_width": 64, "vocab_size": 100})
    torch.save({"params_ema": net.state_dict()}, tmp_path / "net.pth")
    official.write_torchscript(clip, tmp_path / "clip.pt")
    save_file({name: tensor.contiguous() for name, tensor in clip.items()}, tmp_path / "laion.safetensors")
    kinds: dict[str, Kind] = {"real-esrgan-x4plus": "upscaler", "RN0": "perceptor", "laion2b-ViT-L/14": "perceptor"}
    files = ("net.pth", "clip.pt", "laion.safetensors")
    models = {
        name: Model(name, kind, "MIT", "here", (RemoteFile(file, ("https://example.org/x",)),))
        for (name, kind), file in zip(kinds.items(), files, strict=True)
    }
    monkeypatch.setattr(catalog, "catalogue", lambda: models)
    for _ in range(2):  # from their own files, then from what they were converted to
        store, picture = ModelStore(tmp_path, cpu), torch.rand(1, 3, 40, 40)
        upscaler, perceptor, laion = store.upscaler("coco"), store.perceptor("RN0"), store.perceptor("laion2b-ViT-L/14")
        assert not upscaler.projected
        torch.testing.assert_close(upscaler._run(picture), net(picture).detach(), rtol=1e-4, atol=1e-5)
        assert {perceptor.size, laion.size} == {32}
        assert (perceptor.vocabulary, perceptor.finds_by) == (None, "crops")
        assert laion.mean.flatten().tolist() == [0.5] * 3
        assert perceptor.mean.flatten().tolist() == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    with pytest.raises(UnknownModelError):
        ModelStore(tmp_path, cpu).generator("RN0")


def test_what_belongs_to_the_pair_is_loaded_once_and_knows_its_words(shipped_models):
    vocabulary = shipped_models.vocabulary()
    assert vocabulary is not None
    prior = shipped_models.prior("embedded")
    assert prior is shipped_models.prior("embedded")
    assert prior.vocabulary is vocabulary
    assert shipped_models.perceptor("embedded").vocabulary is vocabulary
    assert shipped_models.prior("imagenet-1024") is None


def test_an_upscaler_is_loaded_once(tiny_models, cpu, tmp_path):
    store = ModelStore(tmp_path, cpu, embedded=tiny_models)
    upscaler = store.upscaler("embedded")
    assert upscaler is store.upscaler("embedded")
    assert upscaler._device == store.device.torch_device
    with pytest.raises(ModelMissingError, match=r"real-esrgan-x4plus"):
        store.upscaler("imagenet-1024")
    assert store.vocabulary() is None, "the tiny pair comes without"
    assert store.perceptor("embedded").finds_by == "colours"


def test_a_model_that_is_missing_says_how_to_get_it(store):
    with pytest.raises(ModelMissingError) as error:
        store.perceptor("RN50")
    assert str(error.value).startswith(
        "The model 'RN50' is not on this machine: run `models fetch RN50`, or put https://"
    )
    assert str(error.value).endswith(f" as RN50.pt into {store.folder}.")
