from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from engine import upscaler
from engine.catalog import ModelMissingError
from engine.checkpoints import BadCheckpointError, read_upscaler
from engine.devices import pick_device
from engine.models import EMBEDDED, ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import parse_prompts
from engine.upscaler import FACTOR, RRDBNet, Upscaler, build_upscaler, sizes_of
from tests.engine import official


def small_net(seed: int = 0) -> RRDBNet:
    torch.manual_seed(seed)
    return RRDBNet(features=8, blocks=1, growth=4)


def rrdb(net: RRDBNet, pictures: torch.Tensor) -> torch.Tensor:
    """The published network written out plainly: Wang et al. 2018, figures 3 and 4, nearest enlargement twice."""
    tensors = net.state_dict()

    def conv(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], padding=1)

    def bent(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    def dense(name: str, x: torch.Tensor) -> torch.Tensor:
        seen = x
        for number in (1, 2, 3, 4):
            seen = torch.cat([seen, bent(conv(f"{name}.conv{number}", seen))], 1)
        return x + 0.2 * conv(f"{name}.conv5", seen)

    first = conv("conv_first", pictures)
    x = first
    for block in range(sizes_of(tensors)["blocks"]):
        inner = x
        for number in (1, 2, 3):
            inner = dense(f"body.{block}.rdb{number}", inner)
        x = x + 0.2 * inner
    x = first + conv("conv_body", x)
    for name in ("conv_up1", "conv_up2"):
        x = bent(conv(name, x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    return conv("conv_last", bent(conv("conv_hr", x)))


def test_the_network_is_the_published_one() -> None:
    torch.manual_seed(2)
    net = RRDBNet(features=6, blocks=2, growth=3)
    for parameter in net.parameters():
        parameter.data.mul_(3)  # so that every branch counts
    pictures = torch.rand(2, 3, 5, 7)
    with torch.no_grad():
        torch.testing.assert_close(net(pictures), rrdb(net, pictures), atol=1e-5, rtol=1e-4)


def test_a_network_is_read_off_its_tensors() -> None:
    assert sizes_of(RRDBNet(features=6, blocks=2, growth=3).state_dict()) == {"features": 6, "blocks": 2, "growth": 3}
    missing = RRDBNet(features=6, blocks=2, growth=3).state_dict()
    del missing["conv_hr.bias"]
    with pytest.raises(RuntimeError, match=r"conv_hr\.bias"):
        build_upscaler(missing, pick_device("cpu", "fp32"))


@pytest.mark.parametrize("projected", [False, True])
def test_what_is_projected_agrees_with_the_small_picture(projected: bool) -> None:
    y, x = torch.meshgrid(torch.linspace(0.3, 0.7, 12), torch.linspace(0.4, 0.6, 16), indexing="ij")
    small = torch.stack([x, y, 1 - x])[None]
    made = Upscaler(small_net(), pick_device("cpu", "fp32"), projected).enlarge(small)
    assert made.shape == (1, 3, 48, 64)
    apart = (F.interpolate(made, (12, 16), mode="area") - small).abs()
    assert bool(apart.mean() < 0.01) is projected
    built = build_upscaler(small_net().state_dict(), pick_device("cpu", "fp32"), projected)
    torch.testing.assert_close(built.enlarge(small), made)


def test_an_enlarged_image_is_the_picture_that_was_made() -> None:
    scaler = Upscaler(small_net(), pick_device("cpu", "fp32"), projected=True)
    image = Image.new("RGB", (12, 8), (200, 40, 90))
    image.paste((10, 220, 30), (6, 0, 12, 8))
    picture = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    made = (scaler.enlarge(picture)[0].permute(1, 2, 0) * 255).round().byte().numpy()
    assert np.array_equal(np.asarray(scaler.enlarged(image, 48)), made)
    smaller = Image.fromarray(made).resize((24, 16), Image.Resampling.LANCZOS)
    assert scaler.enlarged(image, 24).tobytes() == smaller.tobytes()
    assert scaler.enlarged(image.convert("RGBA"), 48).tobytes() == made.tobytes()


def test_the_published_checkpoints_tensors_are_ours() -> None:
    with torch.device("meta"):
        tensors = RRDBNet().state_dict()
    assert len(tensors) == 702  # of RealESRGAN_x4plus.pth
    assert tensors["body.22.rdb3.conv5.weight"].shape == (64, 192, 3, 3)
    assert tensors["conv_up2.bias"].shape == (64,)
    assert sizes_of(tensors) == {"features": 64, "blocks": 23, "growth": 32}


def test_what_is_no_such_network_is_refused() -> None:
    with pytest.raises(RuntimeError, match="RRDB"):
        build_upscaler({"weight": torch.zeros(1)}, pick_device("cpu", "fp32"))


def test_tiles_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    device, net = pick_device("cpu", "fp32"), small_net()
    picture = torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(1))
    whole = Upscaler(net, device).enlarge(picture)
    assert whole.shape == (1, 3, FACTOR * 50, FACTOR * 70)
    monkeypatch.setattr(upscaler, "TILE", 24)
    torch.testing.assert_close(Upscaler(net, device).enlarge(picture), whole, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("size", "side", "result"),
    [((16, 8), 64, (64, 32)), ((16, 8), 40, (48, 24)), ((16, 8), 100, (112, 56)), ((16, 8), 16, (16, 8))],
)
def test_sizes(size: tuple[int, int], side: int, result: tuple[int, int]) -> None:
    scaler = Upscaler(small_net(), pick_device("cpu", "fp32"))
    assert scaler.enlarged(Image.new("RGB", size, "red"), side).size == result


def test_tensors_come_back_as_the_network_they_are_of() -> None:
    device, net = pick_device("cpu", "fp32"), small_net(3)
    again = build_upscaler(net.state_dict(), device)
    picture = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(again.enlarge(picture), Upscaler(net, device).enlarge(picture))


def test_real_esrgans_file_is_read_without_running_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = small_net(5)
    torch.save(
        {"params": small_net(6).state_dict(), "params_ema": net.state_dict()}, tmp_path / "RealESRGAN_x4plus.pth"
    )
    official.expect(monkeypatch, "real-esrgan-x4plus", tmp_path)
    models = ModelStore(tmp_path, pick_device("cpu", "fp32"))
    picture = torch.rand(1, 3, 8, 8)
    made = models.upscaler("imagenet-16384").enlarge(picture)
    torch.testing.assert_close(made, Upscaler(net, models.device).enlarge(picture))
    assert (tmp_path / "RealESRGAN_x4plus.safetensors").exists()

    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (tmp_path.joinpath("ran").write_text, ("yes",))

    torch.save({"params_ema": {"weight": Harmful()}}, tmp_path / "bad.pth")
    with pytest.raises(BadCheckpointError, match="fetch it again"):
        read_upscaler(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_a_published_generator_asks_for_the_published_network(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="models fetch real-esrgan-x4plus"):
        ModelStore(tmp_path, pick_device("cpu", "fp32")).upscaler("imagenet-16384")


def test_the_shipped_network_draws_edges_sharper_than_plain_enlargement() -> None:
    side = 128
    y, x = torch.meshgrid(torch.arange(4 * side), torch.arange(4 * side), indexing="ij")
    disc = ((x - 2 * side).square() + (y - 2 * side).square() < (1.3 * side) ** 2).float()
    large = torch.stack([0.8 * disc + 0.1, 0.2 * disc + 0.1, 0.9 - 0.7 * disc])[None]
    small = torch.nn.functional.interpolate(large, scale_factor=1 / FACTOR, mode="area")
    plain = torch.nn.functional.interpolate(small, scale_factor=FACTOR, mode="bicubic").clamp(0, 1)
    made = ModelStore(EMBEDDED, pick_device("cpu")).upscaler("embedded").enlarge(small)
    assert (made - large).square().mean() < (plain - large).square().mean()


def test_a_painting_is_enlarged_by_option_and_as_its_finish(shipped_models: ModelStore) -> None:
    spec = spec_from_preset(parse_prompts("a fox"), "draft", steps=1, start="noise", width=64, height=32)
    painting = Painting(spec, shipped_models)
    picture = painting.picture()
    assert painting.enlarged(picture) is picture
    assert painting.enlarged(picture, max(picture.size)) is picture
    finished = painting.enlarged(picture, 2 * max(picture.size))
    assert finished.size == (2 * picture.width, 2 * picture.height)
    change = np.asarray(finished.reduce(2), np.int16) - np.asarray(picture, np.int16)
    assert np.abs(change).mean() < 2, "seen small, it is what was painted"
    larger = Painting(spec.but(upscale=4), shipped_models)
    assert larger.enlarged(picture, 2 * max(picture.size)).width == 4 * picture.width
