"""Measure the shipped pair: `python -m training.evaluate rebuild|retrieval|paint|sheet --data FILE --work FOLDER`.

Everything goes through the engine's own loaders and loop, so the figures are those of what people run.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.devices import pick_device
from engine.models import EMBEDDED, ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import parse_prompts
from training.judge import load_judge
from training.scenes import COLOURS, Mix, Painter, Sampler, SpriteBank, sheet

PROMPTS = Path(__file__).with_name("sheet_prompts.txt")


def pictures_of(bank: SpriteBank, seed: int, tinted: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Compose every icon of a bank once, alone on a random plain ground: pictures in 0..1 and concepts."""
    sampler = Sampler(bank, Mix(pair=0, copies=0, tinted=tinted, ground_shares=(1, 0, 0)))
    scenes = sampler.draw(len(bank.pixels), torch.Generator().manual_seed(seed))
    scenes.sprite[:, 0] = torch.arange(len(bank.pixels))
    return Painter(bank, 128).draw(scenes), bank.concept


@torch.no_grad()
def rebuild(data: Path, models: ModelStore, out: Path) -> dict[str, float]:
    """Return the PSNR of reconstructions of vendors never trained on, and show some."""
    pictures, _ = pictures_of(SpriteBank.read(data, ("held-out",)), 0)
    pick = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))[:96]
    generator = models.generator("embedded")
    made = torch.cat(
        [generator.decode(generator.quantise(generator.encode(p))).clamp(0, 1) for p in pictures[pick].split(8)]
    )
    made = made.float()
    sheet(torch.cat([pictures[pick][:12], made[:12], pictures[pick][12:24], made[12:24]]), 12).save(out / "rebuild.png")
    error = (made - pictures[pick]).square().mean((1, 2, 3))
    return {"psnr": float((-10 * error.log10()).mean())}


@torch.no_grad()
def retrieval(data: Path, models: ModelStore) -> dict[str, float]:
    """Return R@1 and R@5 from pictures of vendors never trained on to the names of all concepts."""
    perceptor = models.perceptor("embedded")
    bank = SpriteBank.read(data, ("held-out",))
    pictures, concepts = pictures_of(bank, 0)
    texts = [names[0] for names in bank.names()]
    words = perceptor.embed_text([f"{'an' if text[0] in 'aeiou' else 'a'} {text}" for text in texts])
    small = torch.nn.functional.interpolate(pictures, (perceptor.size, perceptor.size), mode="area")
    seen = torch.cat([perceptor.embed_pictures(part) for part in small.split(64)])
    order = (seen @ words.T).argsort(1, descending=True)
    rank = (order == concepts[:, None]).float().argmax(1)
    return {
        "r1": float((rank < 1).float().mean()),
        "r5": float((rank < 5).float().mean()),
        "chance_r1": 1 / len(texts),
        "chance_r5": 5 / len(texts),
        "pictures": float(len(pictures)),
    }


@dataclass(frozen=True)
class Way:
    """How to paint: a preset, changes to its spec, and for which share of the prompts the loop runs at all."""

    preset: str
    changes: dict[str, Any]
    loop_every: int = 1


def painted(prompt: str, seed: int, models: ModelStore, way: Way, loop: bool = True) -> list[Image.Image]:
    """Return the loop's start and, when asked, its result."""
    spec = spec_from_preset(parse_prompts(prompt), way.preset, seed=seed, **way.changes)
    painting = Painting(spec, models)
    pictures = [painting.picture()]
    if loop:
        for _ in painting:
            pass
        pictures.append(painting.picture())
    return pictures


def tensor_of(image: Image.Image) -> torch.Tensor:
    """Turn an RGB image into (3, h, w) in 0..1."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), np.float32).copy()).permute(2, 0, 1) / 255


def nearest_colour(pixels: torch.Tensor) -> str:
    """Return the named colour nearest to the median of pixels (3, n); light blue and dark blue are blue."""
    table = torch.tensor(list(COLOURS.values())) / 255
    return list(COLOURS)[int((table - pixels.median(1).values).square().sum(1).argmin())].split()[-1]


def ground_colour(picture: torch.Tensor) -> str:
    """Name the colour along the picture's border."""
    edge = max(2, picture.shape[-1] // 16)
    return nearest_colour(torch.cat([picture[:, :edge].flatten(1), picture[:, -edge:].flatten(1)], 1))


def thing_colour(picture: torch.Tensor) -> str:
    """Name the colour of what differs from the ground in the picture's middle."""
    ground = picture[:, :6].flatten(1).median(1).values
    side = picture.shape[-1]
    middle = picture[:, side // 4 : -side // 4, side // 4 : -side // 4].flatten(1)
    apart = (middle - ground[:, None]).square().sum(0) > 0.04
    return nearest_colour(middle[:, apart] if apart.sum() > 20 else middle)


def tasks(bank: SpriteBank, count: int, seeds: int) -> Iterator[tuple[int, int, str, str, str]]:
    """Yield concept, seed, prompt, ground colour and, for every third, the thing's colour."""
    rng = random.Random(0)
    names = bank.names()
    plain = [name for name in COLOURS if " " not in name and name != "beige"]
    for concept in sorted(rng.sample(range(len(names)), count)):
        for seed in range(seeds):
            ground, tint = rng.choice(plain), ""
            if rng.random() < 1 / 3:
                tint = rng.choice([colour for colour in plain if colour != ground])
            name = f"{tint} {names[concept][0]}".strip()
            article = "an" if name[0] in "aeiou" else "a"
            shown = "an" if ground[0] in "aeiou" else "a"
            yield concept, seed, f"{article} {name} on {shown} {ground} background", ground, tint


def paint(
    data: Path, models: ModelStore, judge_path: Path, out: Path, count: int, seeds: int, way: Way
) -> dict[str, float]:
    """Paint many concepts and let the judge name them, with the loop and without it."""
    bank = SpriteBank.read(data, ("train",))
    judge = load_judge(judge_path)
    shown: dict[str, list[torch.Tensor]] = {"start": [], "loop": []}
    tallies: dict[str, list[float]] = {}
    began = time.monotonic()
    for i, (concept, seed, prompt, ground, tint) in enumerate(tasks(bank, count, seeds)):
        pictures = painted(prompt, seed, models, way, i % way.loop_every == 0)
        for kind, image in zip(shown, pictures, strict=False):
            picture = tensor_of(image)
            order = judge(picture[None])[0].argsort(descending=True).tolist()
            rank = order.index(concept)
            # Starts of prompts that the loop also ran on are counted apart: only those compare with the loop's.
            for name in (kind, "paired_start") if kind == "start" and len(pictures) == 2 else (kind,):
                tallies.setdefault(f"{name}_top1", []).append(rank < 1)
                tallies.setdefault(f"{name}_top5", []).append(rank < 5)
            tallies.setdefault(f"{kind}_ground", []).append(ground_colour(picture) == ground)
            if tint:
                tallies.setdefault(f"{kind}_thing_colour", []).append(thing_colour(picture) == tint)
            if len(shown[kind]) < 96:
                shown[kind].append(picture)
        if i % 20 == 0:
            print(
                i,
                f"{time.monotonic() - began:.0f}s",
                {k: round(sum(v) / len(v), 3) for k, v in tallies.items()},
                flush=True,
            )
    for kind, pictures in shown.items():
        sheet(torch.stack(pictures), 12).save(out / f"judged-{kind}.png")
    return {name: sum(values) / len(values) for name, values in tallies.items()}


@torch.no_grad()
def ceiling(data: Path, judge_path: Path) -> dict[str, float]:
    """Return how often the judge names real icons of the training vendors: more than this no painter can reach."""
    pictures, concepts = pictures_of(SpriteBank.read(data, ("train",)), 1)
    judge = load_judge(judge_path)
    order = torch.cat([judge(part) for part in pictures.split(64)]).argsort(1, descending=True)
    rank = (order == concepts[:, None]).float().argmax(1)
    return {"real_top1": float((rank < 1).float().mean()), "real_top5": float((rank < 5).float().mean())}


def paint_sheet(models: ModelStore, out: Path, way: Way) -> dict[str, float]:
    """Paint the 48 ordinary prompts, start and result, and time them."""
    prompts = [line for line in PROMPTS.read_text().splitlines() if line.strip()]
    starts, ends, seconds = [], [], []
    for prompt in prompts:
        began = time.monotonic()
        start, end = painted(prompt, 0, models, way)
        seconds.append(time.monotonic() - began)
        starts.append(tensor_of(start))
        ends.append(tensor_of(end))
    sheet(torch.stack(starts), 8).save(out / "sheet-start.png")
    sheet(torch.stack(ends), 8).save(out / "sheet-loop.png")
    return {"seconds_median": float(np.median(seconds)), "pictures": float(len(prompts))}


def main() -> None:
    """Run one measurement from the command line and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("rebuild", "retrieval", "paint", "ceiling", "sheet"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="where the judge is and the sheets go")
    parser.add_argument("--models", type=Path, default=EMBEDDED)
    parser.add_argument("--concepts", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--preset", default="normal")
    parser.add_argument("--changes", type=json.loads, default={}, help="JSON of spec fields to change")
    parser.add_argument("--loop-every", type=int, default=1, help="run the loop for every n-th prompt only")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    models = ModelStore(arguments.models, pick_device(), arguments.models)
    torch.set_num_threads(arguments.threads)
    way = Way(arguments.preset, arguments.changes, arguments.loop_every)
    data, work, judge = arguments.data, arguments.work, arguments.work / "judge.pt"
    figures = {
        "rebuild": lambda: rebuild(data, models, work),
        "retrieval": lambda: retrieval(data, models),
        "paint": lambda: paint(data, models, judge, work, arguments.concepts, arguments.seeds, way),
        "ceiling": lambda: ceiling(data, judge),
        "sheet": lambda: paint_sheet(models, work, way),
    }[arguments.what]()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
