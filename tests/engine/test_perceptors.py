"""Perceptors: tokens as clip.tokenize makes them, what lies beyond the context, shapes, precision, gradients."""

import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from engine import third_party
from engine.checkpoints import BadCheckpointError, read_clip, read_safetensors
from engine.devices import pick_device
from engine.layers import swap
from engine.models import ModelStore
from engine.perceptors import build_perceptor, config_of, tokenise, whole_vocabulary


@pytest.fixture(scope="module")
def perceptor(tiny_models, cpu, tmp_path_factory):
    return ModelStore(tmp_path_factory.mktemp("data"), cpu, embedded=tiny_models).perceptor("embedded")


# openai/CLIP, the nine models' arguments: embed_dim, image_resolution, vision layers, width, patch, text width.
OFFICIAL = {
    "ViT-B/32": (512, 224, 12, 768, 32, 512),
    "ViT-B/16": (512, 224, 12, 768, 16, 512),
    "ViT-L/14": (768, 224, 24, 1024, 14, 768),
    "ViT-L/14@336px": (768, 336, 24, 1024, 14, 768),
    "RN50": (1024, 224, (3, 4, 6, 3), 64, None, 512),
    "RN101": (512, 224, (3, 4, 23, 3), 64, None, 512),
    "RN50x4": (640, 288, (4, 6, 10, 6), 80, None, 640),
    "RN50x16": (768, 384, (6, 8, 18, 8), 96, None, 768),
    "RN50x64": (1024, 448, (3, 15, 36, 10), 128, None, 1024),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_config_is_read_off_the_shapes(name):
    embed_dim, resolution, layers, width, patch, text_width = OFFICIAL[name]
    config = {
        "embed_dim": embed_dim,
        "image_resolution": resolution,
        "vision_layers": layers,
        "vision_width": width,
        "vision_patch_size": patch,
        "context_length": 77,
        "vocab_size": 49408,
        "transformer_width": text_width,
        "transformer_heads": text_width // 64,
        "transformer_layers": 12,
    }
    with torch.device("meta"):
        tensors = third_party.CLIP(**config).state_dict()
    assert config_of(tensors) == config


def test_tokens_of_a_known_text():
    # clip.tokenize("a diagram"), as openai/CLIP's README has it.
    assert tokenise("a diagram", 6).tolist() == [49406, 320, 22697, 49407, 0, 0]


@settings(max_examples=60)
@given(st.text(max_size=60), st.integers(3, 20))
def test_tokens_as_clip_makes_them(text, context):
    tokens = [49406, *third_party.tokenizer().encode(text), 49407]
    if len(tokens) > context:
        tokens = tokens[:context]
        tokens[-1] = 49407
    assert tokenise(text, context).tolist() == tokens + [0] * (context - len(tokens))


def test_words_beyond_the_context_are_named(perceptor):
    words = [f"word{number}" for number in range(20)]
    cut = perceptor.cut_off("  ".join(words))
    assert cut
    assert cut == " ".join(words[len(words) - len(cut.split()) :])
    kept = words[: len(words) - len(cut.split())]
    room = perceptor.context - 2
    encode = third_party.tokenizer().encode
    assert len(encode(" ".join(kept))) <= room < len(encode(" ".join([*kept, cut.split()[0]])))


def test_a_text_that_fits_loses_nothing(perceptor):
    assert perceptor.cut_off("a red apple") == ""
    assert perceptor.cut_off(" ".join(["apple"] * (perceptor.context - 2))) == ""
    assert perceptor.cut_off(" ".join(["apple"] * (perceptor.context - 1))) == "apple"


def test_one_endless_word_loses_its_tail(perceptor):
    cut = perceptor.cut_off("猫" * 60)
    assert 0 < cut.count("猫") < 60


@settings(max_examples=40)
@given(text=st.text(max_size=120))
def test_cut_off_never_fails(perceptor, text):
    fits = len(third_party.tokenizer().encode(text)) <= perceptor.context - 2
    assert (perceptor.cut_off(text) == "") == fits


def test_embeddings_have_unit_length(perceptor):
    pictures = perceptor.encode_image(torch.rand(3, 3, 32, 32))
    texts = perceptor.encode_text(["a red apple", "grey", "apple " * 50])
    for vectors in (pictures, texts):
        assert vectors.dtype == torch.float32
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_a_text_is_embedded_once(perceptor):
    perceptor.encode_text(["on", "on"])
    before = perceptor._embed_one.cache_info()
    assert torch.equal(*perceptor.encode_text(["on", "on"]))
    after = perceptor._embed_one.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (2, 0)


def test_bf16_agrees_with_fp32_in_vector_and_gradient(perceptor, tiny_models, tmp_path):
    half = ModelStore(tmp_path, pick_device("cpu", "bf16"), embedded=tiny_models).perceptor("embedded")
    assert half.clip.visual.conv1.weight.dtype == torch.bfloat16
    pictures = torch.rand(2, 3, 32, 32)
    vectors, gradients = [], []
    for network in (perceptor, half):
        leaf = pictures.clone().requires_grad_()
        vector = network.encode_image(leaf)
        vector[:, 0].sum().backward()
        vectors.append(vector.detach())
        assert leaf.grad is not None
        gradients.append(leaf.grad.flatten())
    assert torch.cosine_similarity(*vectors).min() > 0.99
    assert torch.cosine_similarity(*gradients, dim=0) > 0.9
    assert torch.equal(half.encode_text(["apple"]), perceptor.encode_text(["apple"]))


def test_logit_scale_is_clips(perceptor):
    assert perceptor.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)  # its value at the start of training


def test_open_clips_file_is_read_with_its_own_activation(tmp_path, cpu):
    """At the real size of LAION-2B's ViT-B/32, with random values, beside the whole network computed plainly."""
    embed_dim, resolution, layers, width, patch, text_width = OFFICIAL["ViT-B/32"]
    torch.manual_seed(0)
    plain = third_party.CLIP(embed_dim, resolution, layers, width, patch, 77, 49408, text_width, 8, 12).eval()
    swap(plain, third_party.QuickGELU, lambda _: nn.GELU())
    save_file(plain.state_dict(), tmp_path / "laion2b-ViT-B-32.safetensors", metadata={"format": "pt"})
    perceptor = ModelStore(tmp_path, cpu).perceptor("laion2b-ViT-B/32")
    pictures = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        seen = plain.encode_image((pictures - perceptor.mean) / perceptor.std)
        read = plain.encode_text(tokenise("a cat", 77)[None])
    assert torch.allclose(perceptor.encode_image(pictures), nn.functional.normalize(seen, dim=-1), atol=1e-4)
    assert torch.allclose(perceptor.encode_text(["a cat"]), nn.functional.normalize(read, dim=-1), atol=1e-4)


@pytest.mark.parametrize("name", ["ViT-B/16", "ViT-L/14"])
def test_open_clips_layout_is_read_at_the_real_size(name, tmp_path, cpu):
    """Every name and shape; the file is one hole, which takes no disk. `bench perceptors` compares the numbers."""
    embed_dim, resolution, layers, width, patch, text_width = OFFICIAL[name]
    shape = (embed_dim, resolution, layers, width, patch, 77, 49408, text_width, text_width // 64, 12)
    with torch.device("meta"):
        tensors = third_party.CLIP(*shape).state_dict()
    path, header, end = tmp_path / "open_clip_model.safetensors", {}, 0
    for tensor_name, tensor in tensors.items():
        begin, end = end, end + 4 * tensor.numel()
        header[tensor_name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    written = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(written)) + written)
        file.truncate(8 + len(written) + end)
    rest, tensors = read_clip(path)
    perceptor = build_perceptor(config_of(tensors) | dict(rest), tensors, cpu)
    assert (perceptor.size, perceptor.dims, perceptor.context) == (224, embed_dim, 77)
    assert perceptor.clip.visual.blocks[layers - 1].exact


def test_a_robust_perceptor_is_read_with_openais_activation(tmp_path, cpu):
    torch.manual_seed(0)
    plain = third_party.CLIP(32, 32, 2, 64, 16, 77, 49408, 64, 1, 2).eval()
    torch.save(plain.state_dict(), tmp_path / "fare2-ViT-L-14.bin")
    perceptor = ModelStore(tmp_path, cpu).perceptor("fare2-ViT-L/14")
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        seen = plain.encode_image((pictures - perceptor.mean) / perceptor.std)
    assert torch.allclose(perceptor.encode_image(pictures), nn.functional.normalize(seen, dim=-1), atol=1e-4)
    assert (tmp_path / "fare2-ViT-L-14.safetensors").exists()


@pytest.mark.parametrize("content", [b"no archive", None])
def test_a_robust_perceptor_that_is_none_is_said(content, tmp_path, cpu):
    path = tmp_path / "fare2-ViT-L-14.bin"
    if content is None:
        torch.save([torch.zeros(1)], path)
    else:
        path.write_bytes(content)
    with pytest.raises(BadCheckpointError, match="not a CLIP model"):
        ModelStore(tmp_path, cpu).perceptor("fare2-ViT-L/14")


def test_a_perceptor_of_centred_pictures_has_other_means(tiny_models, cpu, tmp_path):
    config, tensors = read_safetensors(tiny_models / "embedded-perceptor.safetensors")
    config.pop("kind")
    tensors = whole_vocabulary(tensors, config["vocab_size"])
    perceptor = build_perceptor({**config, "centred": True}, tensors, cpu)
    assert perceptor.mean.flatten().tolist() == perceptor.std.flatten().tolist() == [0.5] * 3


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_a_long_list_is_read_as_its_texts_are_one_by_one(perceptor, at_once):
    texts = ["a red apple", "grey", "lighthouse", "an apple", "a grey apple"]
    assert torch.allclose(perceptor.encode_list(texts, at_once), perceptor.encode_text(texts), atol=1e-5)
    assert len(perceptor.encode_list(texts)) == 5


def test_texts_are_read_through_what_the_networks_know(shipped_models):
    perceptor = shipped_models.perceptor("embedded")
    unknown = next(word for word in ("🍎", "🐶", "🚗") if perceptor.vocabulary.read(word) != word)
    read = perceptor.vocabulary.read(unknown)
    for encode in (perceptor.encode_text, perceptor.encode_list):
        one, other = encode([unknown, read])
        assert torch.allclose(one, other, atol=1e-5)
