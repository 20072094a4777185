"""Generators: the quantiser against its formula in float64, shapes, precision, and what stays untouched."""

import pytest
import torch

from engine import generators
from engine.devices import pick_device
from engine.generators import build_vqgan
from engine.models import ModelStore
from tests.conftest import TINY_GENERATOR


@pytest.fixture(scope="module")
def generator(tiny_models, cpu, tmp_path_factory):
    return ModelStore(tmp_path_factory.mktemp("data"), cpu, embedded=tiny_models).generator("embedded")


@pytest.fixture(scope="module")
def half(tiny_models, tmp_path_factory):
    """The same generator in bf16."""
    device = pick_device("cpu", "bf16")
    return ModelStore(tmp_path_factory.mktemp("data"), device, embedded=tiny_models).generator("embedded")


def _latent(generator, *shape):
    return torch.randn(shape[0], generator.channels, *shape[1:], generator=torch.Generator().manual_seed(7))


def _nearest(generator, z):
    """Compare every latent vector with every codeword, in float64."""
    tokens = z.double().permute(0, 2, 3, 1).reshape(-1, 1, generator.channels)
    best = (tokens - generator.codebook.double()).square().sum(2).argmin(1)
    return generator.codebook[best].view(z.shape[0], *z.shape[2:], -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("at_once", [2**24, 100, 1])
def test_quantise_takes_the_nearest_codeword(generator, monkeypatch, at_once):
    monkeypatch.setattr(generators, "_SCORES_AT_ONCE", at_once)
    z = _latent(generator, 2, 5, 3)
    assert torch.equal(generator.quantise(z), _nearest(generator, z))


def test_quantise_hands_the_gradient_through_unchanged(generator):
    z = _latent(generator, 1, 4, 4).requires_grad_()
    gradient = torch.randn_like(z)
    generator.quantise(z).backward(gradient)
    assert z.grad is not None
    assert torch.equal(z.grad, gradient)


def test_codewords_are_their_own_nearest(generator):
    z = generator.codebook[:12].view(1, 3, 4, -1).permute(0, 3, 1, 2)
    assert torch.equal(generator.quantise(z), z)


def test_range_is_the_codebooks(generator):
    least, greatest = generator.range()
    assert least.shape == greatest.shape == (1, generator.channels, 1, 1)
    for channel in range(generator.channels):
        values = generator.codebook[:, channel].tolist()
        assert (least[0, channel, 0, 0].item(), greatest[0, channel, 0, 0].item()) == (min(values), max(values))


@pytest.mark.parametrize("size", [(32, 32), (16, 40)])
def test_a_picture_goes_in_and_comes_out_at_its_size(generator, half, size):
    for network in (generator, half):
        z = network.encode(torch.rand(2, 3, *size))
        assert z.shape == (2, network.channels, size[0] // 4, size[1] // 4)
        picture = network.decode(network.quantise(z))
        assert picture.shape == (2, 3, *size)
        assert z.dtype == picture.dtype == torch.float32


def test_bf16_computes_in_bf16_and_decides_in_fp32(generator, half):
    assert half.decoder.conv_in.weight.dtype == torch.bfloat16
    assert torch.equal(half.codebook, generator.codebook)
    z = _latent(generator, 1, 8, 8)
    assert torch.equal(half.quantise(z), generator.quantise(z))


def test_bf16_agrees_with_fp32_in_picture_and_gradient(generator, half):
    pictures, gradients = [], []
    for network in (generator, half):
        z = _latent(generator, 1, 8, 8).requires_grad_()
        picture = network.decode(network.quantise(z))
        (picture * torch.linspace(-1, 1, picture.numel()).view(picture.shape)).sum().backward()
        pictures.append(picture.detach())
        assert z.grad is not None
        gradients.append(z.grad.flatten())
    assert (pictures[0] - pictures[1]).abs().max() < 0.05
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_convolutions_are_channels_last(half):
    weights = [layer.weight for layer in half.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert weights
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_decoding_is_repeatable_and_leaves_the_global_seed_alone(generator):
    before = torch.get_rng_state()
    z = _latent(generator, 1, 8, 8)
    assert torch.equal(generator.decode(z), generator.decode(z))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_finished_picture_is_smooth_where_bf16_has_steps(half):
    """Near white bf16 has steps of 1/256 of the range from -1 to 1: half of what 8 bits show, and seen in gradients."""
    with torch.no_grad():
        z = half.quantise(_latent(half, 1, 8, 8))
        rough, smooth = half.decode(z), half.decode(z, in_full=True)
    assert (rough - smooth).abs().max() < 0.02
    assert len(smooth.unique()) > 2 * len(rough.unique())


def test_in_fp32_a_finished_picture_is_the_same(generator):
    z = generator.quantise(_latent(generator, 1, 8, 8))
    torch.testing.assert_close(generator.decode(z), generator.decode(z, in_full=True))


@pytest.mark.parametrize("steps", [(1, 0), (0, 2), (3, 1)])
def test_a_wrapping_decoder_moves_the_picture_with_its_latent(tiny_models, cpu, tmp_path, steps):
    """As it does for no other: a shifted latent gives the shifted picture, so that its edges fit."""
    store = ModelStore(tmp_path, cpu, embedded=tiny_models)
    wrapping, plain = store.generator("embedded", tile=True), store.generator("embedded")
    z = wrapping.quantise(_latent(wrapping, 1, 5, 4))
    moved, pixels = z.roll(steps, (2, 3)), tuple(wrapping.factor * step for step in steps)
    for in_full in (False, True):
        expected = wrapping.decode(z, in_full=in_full).roll(pixels, (2, 3))
        assert torch.allclose(wrapping.decode(moved, in_full=in_full), expected, atol=1e-4)
    assert not torch.allclose(plain.decode(moved), plain.decode(z).roll(pixels, (2, 3)), atol=1e-2)
    assert wrapping.codebook.data_ptr() == plain.codebook.data_ptr(), "one set of weights"
    assert store.generator("embedded", tile=True) is wrapping


def test_the_encoder_is_shown_black_as_minus_one_and_white_as_one(generator):
    seen = []
    hook = generator.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    generator.encode(torch.tensor([0.0, 0.5, 1.0])[:, None, None, None].expand(3, 3, 32, 32))
    hook.remove()
    assert [(float(one.min()), float(one.max())) for one in seen[0]] == [(-1, -1), (0, 0), (1, 1)]


def test_colours_come_back_from_the_shipped_generator(shipped_models):
    generator, colours = shipped_models.generator("embedded"), torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.3, 0.8]])
    pictures = colours[:, :, None, None].expand(2, 3, 64, 64)
    back = generator.decode(generator.quantise(generator.encode(pictures)))
    torch.testing.assert_close(back.mean((2, 3)), colours, atol=0.1, rtol=0)


@pytest.fixture(scope="module")
def gumbel(cpu):
    config = {**TINY_GENERATOR, "kind": "gumbel", "embed_dim": TINY_GENERATOR["ddconfig"]["z_channels"]}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build_vqgan(config, generators.VQGAN(config).state_dict(), cpu)


def _logits(gumbel):
    """Of which each cell is sure, but for two between which it cannot decide."""
    z = torch.randn(2, TINY_GENERATOR["ddconfig"]["z_channels"], 4, 4, generator=torch.Generator().manual_seed(3))
    return z, torch.nn.functional.conv2d(z, gumbel.proj.weight, gumbel.proj.bias)


def _rngs():
    return [torch.Generator().manual_seed(seed) for seed in (1, 2)]


def test_a_gumbel_quantiser_s_latents_are_the_likeliest_codewords(gumbel):
    z, logits = _logits(gumbel)
    codewords = gumbel.codebook[logits.argmax(1)].permute(0, 3, 1, 2)
    assert torch.equal(gumbel.likeliest(z), codewords)
    pictures = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    assert torch.equal(gumbel.encode(pictures), gumbel.likeliest(gumbel.encode_logits(pictures)))


def test_codewords_are_drawn_by_their_logits_each_picture_s_from_its_generator(gumbel):
    """Gumbel's trick: the largest of logits plus noise is drawn by their softmax; the gradient is the mean's."""
    z, logits = _logits(gumbel)
    z.requires_grad_()
    drawn = gumbel.sample_logits(z, _rngs())
    uniform = torch.cat([torch.rand(logits[:1].shape, generator=rng) for rng in _rngs()])
    noisy = logits - (-uniform.log()).log()
    assert torch.equal(drawn, gumbel.codebook[noisy.argmax(1)].permute(0, 3, 1, 2))
    pull = torch.randn(drawn.shape, generator=torch.Generator().manual_seed(5))
    (got,) = torch.autograd.grad((drawn * pull).sum(), z)
    again = z.detach().clone().requires_grad_()
    shares = (torch.nn.functional.conv2d(again, gumbel.proj.weight, gumbel.proj.bias) - (-uniform.log()).log()).softmax(
        1
    )
    mean = torch.einsum("bnhw,nc->bchw", shares, gumbel.codebook)
    (wanted,) = torch.autograd.grad((mean * pull).sum(), again)
    torch.testing.assert_close(got, wanted)
    assert not torch.equal(gumbel.sample_logits(z, _rngs()[::-1]), drawn)
