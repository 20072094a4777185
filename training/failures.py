"""Let the loop fail: `python -m training.failures --data FILE --work FOLDER [--count N] [--round N]`.

Short paintings towards a caption, with the pair in the work folder as it stands: from noise, from the picture of
something else, or from a picture of the caption itself. What comes out is no picture of the caption, or a worse one
than the loop began with, however much the perceptor likes it: it learns that as a wrong answer to the text, beside the
picture as it should be. What began as something else still shows that, and is learned as such.
"""

import argparse
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from engine.devices import pick_device
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts
from training.captions import Shown, Writer
from training.scenes import SpriteBank

FROM_NOISE, FROM_ANOTHER = 0.35, 0.35  # shares of the paintings; the others begin with what the caption says
STRIDES = (0.05, 0.25)  # learning rates: the presets' own, and longer ones, which spoil a picture in fewer steps
FROM_FAR = 4.0  # times as long from noise, and twice as many: it has further to go


def paint(caption: str, models: ModelStore, size: int, **start: Any) -> np.ndarray:
    """Paint briefly, with nothing to hold it; return the picture (3, size, size) in bytes."""
    changes = {"penalties": (), "cutouts": Cutouts(count=8, overview=3)}
    painting = Painting(spec_from_preset((Prompt(content=caption),), "draft", **{**changes, **start}), models)
    for _ in painting:
        pass
    picture = torch.from_numpy(np.asarray(painting.picture(), np.float32).copy()).permute(2, 0, 1)[None]
    return F.interpolate(picture, (size, size), mode="area")[0].round().byte().numpy()


@torch.no_grad()
def shown(codes: np.ndarray, models: ModelStore, size: int) -> np.ndarray:
    """Decode codes (side, side) to a picture (3, size, size) in bytes."""
    generator = models.generator("embedded")
    picture = generator.decode(generator.codebook[torch.from_numpy(codes.astype(np.int64))].permute(2, 0, 1)[None])
    small = F.interpolate(picture.clamp(0, 1), (size, size), mode="area")[0]
    return (small * 255).round().byte().numpy()


def fail(data: Path, work: Path, count: int, steps: int, seed: int) -> None:
    """Write `failures-SEED.npz`, and `pool-failed-SEED.npz` with the pictures that began as something else."""
    models = ModelStore(work, pick_device(), work)
    size, generator = models.perceptor("embedded").size, models.generator("embedded")
    concepts = SpriteBank.read(data).table["concepts"]
    writer, rng = Writer([concept["names"] for concept in concepts]), random.Random(seed)
    packed = np.load(max(work.glob("codes-*.npz")))
    codes, rows = packed["codes"], packed["rows"]
    kept: dict[str, list[np.ndarray]] = {name: [] for name in ("pictures", "true", "wanted", "begun", "begun_rows")}
    for turn in range(count):
        i, j = rng.randrange(len(rows)), rng.randrange(len(rows))
        thing, second, tint, other, ground, layout, *_ = rows[i].tolist()
        caption = writer.write(Shown((thing, second), (tint, other), ground, layout), rng).text
        kind = rng.random()
        another = FROM_NOISE <= kind < FROM_NOISE + FROM_ANOTHER
        start: dict[str, Any] = {"start": "noise"}
        if kind >= FROM_NOISE:
            path = work / f"begin-{seed}.safetensors"
            begun = codes[j] if another else codes[i]
            z = generator.codebook[torch.from_numpy(begun.astype(np.int64))].permute(2, 0, 1)[None]
            save_file({"z": z.contiguous()}, path)
            start = {"init_latent": str(path)}
        stride = math.exp(rng.uniform(math.log(STRIDES[0]), math.log(STRIDES[1])))
        if kind < FROM_NOISE:
            start |= {"learning_rate": FROM_FAR * stride, "steps": 2 * steps}
        else:
            start |= {"learning_rate": stride, "steps": steps}
        picture = paint(caption, models, size, seed=seed * 10_000 + turn, **start)
        kept["pictures"].append(picture)
        kept["true"].append(shown(codes[i], models, size))
        kept["wanted"].append(rows[i])
        if another:
            kept["begun"].append(picture)
            kept["begun_rows"].append(rows[j])
    together = {name: np.stack(parts) for name, parts in kept.items() if parts}
    if "begun" in together:
        np.savez(work / f"pool-failed-{seed}.npz", pictures=together.pop("begun"), rows=together.pop("begun_rows"))
    true, wanted = together["true"], together["wanted"]
    np.savez(work / f"failures-{seed}.npz", pictures=together["pictures"], true=true, wanted=wanted)


def main() -> None:
    """Fail from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--round", type=int, default=0, help="each has its own seed and files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fail(arguments.data, arguments.work, arguments.count, arguments.steps, arguments.round)


if __name__ == "__main__":
    main()
