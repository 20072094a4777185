"""Every way that the step was made faster, each against what stood there before, taken in turn in one process."""

import contextlib
import io
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.architectures import RandomModels, random_clip, random_vqgan
from bench.kornia_cutouts import KorniaCutter
from bench.setting import PROMPT, Setting
from bench.stages import busy, timed
from engine import gpu_norms, third_party
from engine.cutouts import Cutter, sampling
from engine.devices import Device, pick_device
from engine.generators import VQGAN
from engine.layers import AttentionPool, NormSilu, VisionTower, place, plain_layer_norm, swap
from engine.painting import Painting
from engine.pictures import preview_jpeg

ROUNDS = 5
Run = Callable[[], object]


@dataclass(frozen=True)
class Way:
    """One way: what it is, and runs of the same work before and after."""

    name: str
    before: Run
    after: Run
    measure: Callable[[Device, Run], float] = busy


def there_and_back(network: Callable[[Tensor], Tensor], given: Tensor) -> Run:
    """Return a run of `network` forward and backward to its input, the incoming gradient drawn at random once."""
    given = given.detach().requires_grad_()
    with torch.no_grad():
        direction = torch.randn_like(network(given))
    return lambda: torch.autograd.grad(network(given), given, direction)


def in_turn(device: Device, way: Way, rounds: int) -> tuple[float, float]:
    """Return the median seconds of two runs that are taken in turn, a first of each left out."""
    way.before()
    way.after()
    pairs = [(way.measure(device, way.before), way.measure(device, way.after)) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def ways(setting: Setting, rounds: int = ROUNDS) -> Iterator[str]:
    """Measure all ways at one setting; yield the rows of a Markdown table."""
    device = pick_device()
    yield "| way | before, ms | after, ms | times |"
    yield "| --- | --- | --- | --- |"
    kits = (*((of_gpu,) if device.is_cuda else ()), of_decoder, of_cutouts, of_perceptor, of_step)
    for kit in kits:
        try:
            for way in kit(device, setting):
                before, after = in_turn(device, way, rounds)
                yield f"| {way.name} | {before * 1e3:.2f} | {after * 1e3:.2f} | {before / after:.2f} |"
        except RuntimeError as error:  # what this machine cannot do does not keep the others from being measured
            yield f"| {kit.__name__} failed: {error} | | | |"


def of_cutouts(device: Device, setting: Setting) -> Iterator[Way]:
    """Compare the one look-up with kornia's chain."""
    spec, size, side = setting.spec(), setting.size, RandomModels(device).perceptor(setting.perceptor).size
    picture = torch.rand(1, 3, size, size, device=device.torch_device)

    def cut(cutter: Any) -> Run:
        rng = torch.Generator(device.torch_device).manual_seed(0)
        return there_and_back(lambda p: cutter.cut(p, cutter.draw(size, size, [rng])), picture)

    plain, fast = (kind(spec.cutouts, spec.augmentations, side) for kind in (KorniaCutter, Cutter))
    yield Way("cutouts: one look-up and one colour matrix for kornia's chain", cut(plain), cut(fast))


def of_decoder(device: Device, setting: Setting) -> Iterator[Way]:
    """Compare what the decoder does with what torch and taming would do."""
    vqgan, size = RandomModels(device).generator(setting.generator), setting.size
    cells = size // vqgan.factor
    z = torch.randn(1, vqgan.channels, cells, cells, device=device.torch_device)
    fast = there_and_back(vqgan.decode, z)
    yield Way(
        "decoder: fp32 to the device's precision, channels-last",
        there_and_back(_plain_decoder(device, setting), z),
        fast,
    )
    yield Way("decoder: contiguous to channels-last", there_and_back(_contiguous(device, setting), z), fast)
    free, frozen = (_with_weights(device, setting, z, frozen=frozen) for frozen in (False, True))
    yield Way("decoder, taming's blocks: gradients for the weights too, to frozen ones", free, frozen)
    feature = _feature(device, 128, size)
    norm = place_norm(nn.GroupNorm(32, 128, eps=1e-6), device)
    yield Way(
        "norm and SiLU: torch's backward to our own",
        there_and_back(lambda x: F.silu(norm(x)), feature),
        there_and_back(NormSilu(norm), feature),
    )
    yield Way("quantise: one-hot product to argmin and gather", partial(_one_hot, vqgan, z), lambda: vqgan.quantise(z))
    yield Way("chunks: through the decoder four times to once", _four_times(vqgan, z), fast)


def of_gpu(device: Device, setting: Setting) -> Iterator[Way]:
    """Compare what only a GPU does, and what it might."""
    vqgan, size = RandomModels(device).generator(setting.generator), setting.size
    cells, norms = size // vqgan.factor, "HAS_TRITON"
    z = torch.randn(1, vqgan.channels, cells, cells, device=device.torch_device)
    fast = there_and_back(vqgan.decode, z)
    yield Way("decoder: torch's norms and sums to our kernels", _with(gpu_norms, norms, False, fast), fast)
    for channels, side in ((128, size), (256, size // 4), (512, size // 16)):
        feature = _feature(device, channels, side)
        norm = there_and_back(NormSilu(place_norm(nn.GroupNorm(32, channels, eps=1e-6), device)), feature)
        name = f"norm and SiLU, {channels} x {side}²: torch's kernels to ours"
        yield Way(name, _with(gpu_norms, norms, False, norm), norm)
    qkv = torch.randn(3, 1, 1, cells * cells, 512, device=device.torch_device, dtype=device.dtype)
    fused, plain = (there_and_back(attend, qkv) for attend in (_fused, _plain))
    yield Way(f"the decoder's attention, {cells * cells} tokens of 512: fused to plain", fused, plain)
    yield Way("— fused to plain in fp32", fused, there_and_back(lambda given: _plain(given.float()), qkv))
    feature, last = _feature(device, 128, size), nn.Conv2d(128, 3, 3, padding=1)
    place(last.requires_grad_(False), device, device.dtype)
    wide = F.pad(last.weight, (0, 0, 0, 0, 0, 0, 0, 5)).contiguous(memory_format=torch.channels_last)
    padded = there_and_back(lambda x: F.conv2d(x, wide, None, padding=1)[:, :3], feature)
    yield Way("the last convolution: to 3 channels, to 8 of which 3 are used", there_and_back(last, feature), padded)
    cutter = Cutter(setting.spec().cutouts, setting.spec().augmentations, 224)
    draw = cutter.draw(size, size, [torch.Generator(device.torch_device).manual_seed(0)])
    cut = there_and_back(lambda p: cutter.cut(p, draw), torch.rand(1, 3, size, size, device=device.torch_device))
    yield Way("cutouts: a look-up for each to one for all", _with(sampling, "on_gpu", lambda _: False, cut), cut)


def _with(module: Any, name: str, value: Any, run: Run) -> Run:
    """Return a run for which a module's name has another value."""

    def changed() -> object:
        with mock.patch.object(module, name, value):
            return run()

    return changed


def _feature(device: Device, channels: int, side: int) -> Tensor:
    feature = torch.randn(1, channels, side, side, device=device.torch_device, dtype=device.dtype)
    return feature.contiguous(memory_format=torch.channels_last)


def place_norm(norm: nn.GroupNorm, device: Device) -> nn.GroupNorm:
    """Move a norm, frozen."""
    return norm.to(device.torch_device, device.dtype).requires_grad_(False)


def _plain_decoder(device: Device, setting: Setting) -> Callable[[Tensor], Tensor]:
    """Return the decoder as taming has it, in fp32."""
    config, tensors = random_vqgan(setting.generator)
    with contextlib.redirect_stdout(io.StringIO()):  # it announces its shape
        decoder = third_party.Decoder(**config["ddconfig"])
    decoder.load_state_dict({k.removeprefix("decoder."): v for k, v in tensors.items() if k.startswith("decoder.")})
    return decoder.to(device.torch_device).eval().requires_grad_(False)


def _contiguous(device: Device, setting: Setting) -> Callable[[Tensor], Tensor]:
    vqgan: Any = RandomModels(device).generator(setting.generator)
    vqgan.to(memory_format=torch.contiguous_format)
    weight = vqgan.post_quant_conv.weight
    return lambda z: vqgan.pixels(z.to(weight.dtype)).float()


def _with_weights(device: Device, setting: Setting, z: Tensor, *, frozen: bool) -> Run:
    """Go back through taming's own blocks, in our precision and layout, with gradients for their weights or without."""
    decoder: Any = _plain_decoder(device, setting)
    place(decoder, device, device.dtype)
    decoder.requires_grad_(not frozen)
    given = z.to(device.dtype, memory_format=torch.channels_last).requires_grad_()
    wanted = [given] if frozen else [given, *decoder.parameters()]
    return lambda: torch.autograd.grad(decoder(given).float().square().mean(), wanted)


def _one_hot(vqgan: VQGAN, z: Tensor) -> Tensor:
    x = z.movedim(1, 3)
    distances = x.pow(2).sum(-1, keepdim=True) + vqgan.codebook.pow(2).sum(1) - 2 * x @ vqgan.codebook.T
    return F.one_hot(distances.argmin(-1), len(vqgan.codebook)).to(x.dtype) @ vqgan.codebook


def _four_times(vqgan: VQGAN, z: Tensor) -> Run:
    """Go back through the decoder after each of four chunks of cutouts."""
    given = z.detach().requires_grad_()

    def run() -> None:
        picture = vqgan.decode(given)
        for left in (3, 2, 1, 0):
            torch.autograd.grad(picture, given, torch.ones_like(picture), retain_graph=left > 0)

    return run


def of_perceptor(device: Device, setting: Setting) -> Iterator[Way]:
    """Compare what CLIP's tower does with what openai's code would do."""
    clip, count = RandomModels(device).perceptor(setting.perceptor), setting.cutouts
    seen = torch.rand(count, 3, clip.size, clip.size, device=device.torch_device)
    fast = there_and_back(clip.encode_image, seen)
    fp32 = RandomModels(replace(device, dtype=torch.float32)).perceptor(setting.perceptor)
    yield Way("perceptor: fp32 to the device's precision", there_and_back(fp32.encode_image, seen), fast)
    tower = _openai_tower(device, setting)
    normed = seen.to(device.dtype)
    yield Way(
        "perceptor: openai's tower with torch's fused attention to our own",
        there_and_back(tower, normed),
        there_and_back(VisionTower(tower), normed),
    )
    qkv = torch.randn(3, count, 12, 50, 64, device=device.torch_device, dtype=device.dtype)
    yield Way(
        "attention, 12 heads, 50 tokens: fused to plain", there_and_back(_fused, qkv), there_and_back(_plain, qkv)
    )
    config, tensors = random_clip("RN50")
    whole = third_party.CLIP(**config)
    whole.load_state_dict(tensors)
    pool: Any = whole.visual.attnpool.to(device.torch_device, device.dtype).requires_grad_(False)
    cells = torch.randn(count, 2048, 7, 7, device=device.torch_device, dtype=device.dtype)
    yield Way(
        "RN50's attention pool: openai-clip's to one query",
        there_and_back(pool, cells),
        there_and_back(AttentionPool(pool), cells),
    )


def _openai_tower(device: Device, setting: Setting) -> Any:
    config, tensors = random_clip(setting.perceptor)
    clip = third_party.CLIP(**config)
    clip.load_state_dict(tensors)
    swap(clip, third_party.ClipLayerNorm, plain_layer_norm)
    return clip.visual.to(device.torch_device, device.dtype).eval().requires_grad_(False)


def _fused(qkv: Tensor) -> Tensor:
    query, key, value = qkv.unbind()
    return F.scaled_dot_product_attention(query, key, value)


def _plain(qkv: Tensor) -> Tensor:
    query, key, value = qkv.unbind()
    return ((query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)).softmax(-1) @ value


def of_step(device: Device, setting: Setting) -> Iterator[Way]:
    """Compare whole steps."""
    models = RandomModels(device)
    plain, half = (Painting(one.spec(), models) for one in (setting, replace(setting, size=max(32, setting.size // 2))))
    clip = models.perceptor(setting.perceptor)

    def step() -> float:
        return next(plain).loss

    def with_text() -> float:
        clip._embed_one_text(PROMPT)
        return step()

    def with_picture() -> float:
        iterate = next(plain)
        preview_jpeg(iterate.picture(), 512)
        return iterate.loss

    yield Way("text embedded at every step, to once", with_text, step, timed)
    yield Way("a preview at every step, to none", with_picture, step, timed)
    yield Way("coarse to fine: a step at full size, to one at half size", step, lambda: next(half).loss, timed)
