"""Measure an upscaler: `python -m training.likeness --large FOLDER [--models FOLDER]`.

Against today's plain enlargement (Lanczos) and the icon itself drawn large, on icons by vendors that no training saw:
PSNR, and a distance in the features of a network for photographs (in the manner of LPIPS, Zhang et al. 2018, with equal
weights). Once of clean small icons, once of the generator's reconstructions, and of a photograph.
"""

import argparse
import io
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from engine.devices import pick_device
from engine.models import EMBEDDED, ModelStore
from engine.upscaler import FACTOR
from training.judge_net import Lite, published_weights
from training.photographs import HELD_OUT
from training.scenes import Mix, Painter, Sampler, SpriteBank, sheet

LEVELS = (0, 2, 4, 7)  # blocks whose features are compared


class Distance:
    """How far pictures look apart to a network that knew photographs."""

    def __init__(self) -> None:
        self.net = Lite()
        self.net.load_state_dict(published_weights())
        self.net.eval().requires_grad_(False)

    def __call__(self, one: torch.Tensor, other: torch.Tensor) -> float:
        """Return the mean squared difference of unit features over levels and positions."""
        pairs = zip(self._features(one), self._features(other), strict=True)
        return float(torch.stack([(a - b).square().sum(1).mean() for a, b in pairs]).sum())

    def _features(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        x = F.relu6(self.net.stem(2 * pictures - 1))
        found = []
        for level, block in enumerate(self.net.blocks):
            x = block(x)
            if level in LEVELS:
                found.append(F.normalize(x, dim=1))
        return found


def lanczos(picture: torch.Tensor) -> torch.Tensor:
    """Enlarge a picture (3, h, w) in 0..1 as `engine.pictures.enlarged` does."""
    image = Image.fromarray((picture.permute(1, 2, 0) * 255).round().byte().numpy())
    large = image.resize((FACTOR * image.width, FACTOR * image.height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(large).copy()).permute(2, 0, 1).float() / 255


@torch.no_grad()
def measure(large: Path, models: ModelStore, count: int) -> dict[str, dict[str, float]]:
    """Return the figures, and write `crisp.png`: Lanczos, the network, and the icon itself."""
    bank = SpriteBank.read(large / "held-out.npz", ("held-out",))
    sampler = Sampler(bank, Mix(pair=0, copies=0, tinted=0, ground_shares=(0.6, 0.1, 0.3, 0)))
    scenes = sampler.draw(len(bank.pixels), torch.Generator().manual_seed(0))
    scenes.sprite[:, 0] = torch.arange(len(bank.pixels))
    icons = Painter(bank, 512).draw(scenes.map(lambda tensor: tensor[:count]))
    small, vqgan = F.interpolate(icons, scale_factor=1 / FACTOR, mode="area"), models.generator("embedded")
    rebuilt = torch.cat([vqgan.decode(vqgan.quantise(vqgan.encode(p))).clamp(0, 1).float() for p in small.split(8)])
    packed = np.load(large / "photographs.npz")
    scene = torch.from_numpy(np.asarray(Image.open(io.BytesIO(packed[HELD_OUT].tobytes()))).copy())
    scene = scene.permute(2, 0, 1)[None, :, :256, 60:316].float() / 255
    seen = {
        "icons": (small, icons),
        "rebuilt icons": (rebuilt, icons),
        "photograph": (F.interpolate(scene, scale_factor=1 / FACTOR, mode="area"), scene),
    }
    distance, upscaler, figures = Distance(), models.upscaler("embedded"), dict[str, dict[str, float]]()
    for name, (few, real) in seen.items():
        began = time.monotonic()
        made = torch.cat([upscaler.enlarge(one[None]) for one in few])
        seconds, plain = (time.monotonic() - began) / len(few), torch.stack([lanczos(one) for one in few])
        figures[name] = {"seconds": seconds}
        for kind, result in (("network", made), ("lanczos", plain)):
            figures[name][f"{kind}_psnr"] = float(-10 * (result - real).square().mean((1, 2, 3)).log10().mean())
            figures[name][f"{kind}_distance"] = distance(result, real)
        if name == "rebuilt icons":
            sheet(torch.cat([plain[:6], made[:6], real[:6]]), 6).save(large / "crisp.png")
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=Path, required=True, help="the folder that training.large wrote")
    parser.add_argument("--models", type=Path, default=EMBEDDED)
    parser.add_argument("--count", type=int, default=48)
    arguments = parser.parse_args()
    models = ModelStore(arguments.models, pick_device("cpu"), arguments.models)
    print(json.dumps(measure(arguments.large, models, arguments.count), indent=1))


if __name__ == "__main__":
    main()
