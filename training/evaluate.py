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
from training.edit_runs import Share, Way, edits
from training.judge import load_judge
from training.measures import ground_colour, tensor_of, thing_colour
from training.scenes import COLOURS, Mix, Painter, Sampler, SpriteBank, sheet

UNTRAINED = ("held-out",)  # vendors whose pictures the pair never saw
PROMPTS = Path(__file__).with_name("sheet_prompts.txt")


@dataclass(frozen=True)
class Data:
    """The packed file, or of its things so many, the first: those that an earlier pair knew."""

    path: Path
    things: int | None = None

    def bank(self, roles: tuple[str, ...]) -> SpriteBank:
        """Read the icons of the vendors of some roles."""
        bank = SpriteBank.read(self.path, roles)
        if self.things is None:
            return bank
        table = {**bank.table, "concepts": bank.table["concepts"][: self.things]}
        rows = bank.concept < self.things
        return SpriteBank(bank.pixels[rows], bank.half[rows], bank.concept[rows], bank.vendor[rows], table)


def pictures_of(bank: SpriteBank, seed: int, tinted: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Compose every icon of a bank once, alone on a random plain ground: pictures in 0..1 and concepts."""
    sampler = Sampler(bank, Mix(pair=0, copies=0, tinted=tinted, ground_shares=(1, 0, 0, 0)))
    scenes = sampler.draw(len(bank.pixels), torch.Generator().manual_seed(seed))
    scenes.sprite[:, 0] = torch.arange(len(bank.pixels))
    return Painter(bank, 128).draw(scenes), bank.concept


@torch.no_grad()
def rebuild(data: Data, models: ModelStore, out: Path) -> dict[str, float]:
    """Return the PSNR of reconstructions of vendors never trained on, and show some."""
    pictures, _ = pictures_of(data.bank(UNTRAINED), 0)
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
def retrieval(data: Data, models: ModelStore) -> dict[str, float]:
    """Return R@1 and R@5 from pictures of vendors never trained on to the names of all concepts."""
    perceptor = models.perceptor("embedded")
    bank = data.bank(UNTRAINED)
    pictures, concepts = pictures_of(bank, 0)
    texts = [names[0] for names in bank.names()]
    words = perceptor.encode_text([f"{'an' if text[0] in 'aeiou' else 'a'} {text}" for text in texts])
    small = torch.nn.functional.interpolate(pictures, (perceptor.size, perceptor.size), mode="area")
    seen = torch.cat([perceptor.encode_image(part) for part in small.split(64)])
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
class Job:
    """How much to paint for the judge, and which of several equal parts of it."""

    concepts: int
    seeds: int
    part: int
    parts: int


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


@torch.no_grad()
def colours(data: Data, models: ModelStore) -> dict[str, float]:
    """Return how often the measure of a thing's colour is right where the colour is known.

    On recoloured icons themselves, on their reconstructions by the generator.
    """
    bank = data.bank(("train",))
    vendors = tuple(range(len(bank.table["vendors"])))
    sampler = Sampler(bank, Mix(pair=0, copies=0, tinted=1, ground_shares=(1, 0, 0, 0)), vendors)
    scenes = sampler.draw(1200, torch.Generator().manual_seed(0))
    names = list(COLOURS)
    fair = [i for i, (t, g) in enumerate(zip(scenes.tint[:, 0].tolist(), scenes.ground.tolist(), strict=True))
            if " " not in names[t] + names[g] and "beige" not in names[t] + names[g] and t != g][:200]  # fmt: skip
    pictures = Painter(bank, 128).draw(scenes)[fair]
    wanted = [names[t] for t in scenes.tint[fair, 0].tolist()]
    generator = models.generator("embedded")
    rebuilt = torch.cat(
        [generator.decode(generator.quantise(generator.encode(p))).clamp(0, 1) for p in pictures.split(8)]
    )

    def right(shown: torch.Tensor) -> float:
        return sum(thing_colour(p) == colour for p, colour in zip(shown, wanted, strict=True)) / len(wanted)

    return {"recoloured_icons": right(pictures), "rebuilt": right(rebuilt.float()), "pictures": float(len(wanted))}


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


def paint(data: Data, models: ModelStore, work: Path, way: Way, job: Job) -> dict[str, float]:
    """Paint many concepts, with the loop and without it, and let the judge name them; goes on where it was stopped."""
    judge = load_judge(work / "judge.pt")
    folder = work / "judged"
    folder.mkdir(exist_ok=True)
    done = {record["task"] for record in records(folder)}
    every = list(enumerate(tasks(data.bank(("train",)), job.concepts, job.seeds)))
    random.Random(0).shuffle(every)  # concepts go by kind: what is done at any time should be a fair sample
    every.sort(key=lambda one: one[1][1])  # each concept's first seed before all second ones
    for i, (concept, seed, prompt, ground, tint) in every[job.part :: job.parts]:
        if i in done:
            continue
        pictures = painted(prompt, seed, models, way, i % way.loop_every == 0)
        with (folder / f"part-{job.part}.jsonl").open("a") as lines:
            for kind, image in zip(("start", "loop"), pictures, strict=False):
                image.save(folder / f"{i:03d}-{kind}.png")
                picture = tensor_of(image)
                order = judge(picture[None])[0].argsort(descending=True).tolist()
                record = {"task": i, "kind": kind, "rank": order.index(concept), "paired": len(pictures) == 2}
                record["ground"] = ground_colour(picture) == ground
                if tint:
                    record["thing"] = thing_colour(picture) == tint
                lines.write(json.dumps(record) + "\n")
        if len(done) % 10 == 0:
            print(json.dumps(summary(records(folder))), flush=True)
        done.add(i)
    return summary(records(folder))


def records(folder: Path) -> list[dict[str, Any]]:
    """Return what was judged so far, by all parts."""
    return [json.loads(line) for path in sorted(folder.glob("part-*.jsonl")) for line in path.read_text().splitlines()]


def summary(found: list[dict[str, Any]]) -> dict[str, float]:
    """Return the shares that were right: the judge's top-1 and top-5, the ground's colour, the thing's, and both."""
    figures: dict[str, float] = {"pictures": float(len({record["task"] for record in found}))}
    for kind in ("start", "loop"):
        # The starts of pictures that the loop went on with are those to compare with its results.
        some = [record for record in found if record["kind"] == kind and record["paired"]]
        some = some or [record for record in found if record["kind"] == kind]
        coloured = [record for record in some if "thing" in record]
        shares = {
            "top1": [record["rank"] < 1 for record in some],
            "top5": [record["rank"] < 5 for record in some],
            "ground": [record["ground"] for record in some],
            "thing": [record["thing"] for record in coloured],
            "both": [record["ground"] and record["thing"] for record in coloured],
        }
        figures |= {f"{kind}_{name}": round(sum(v) / len(v), 3) for name, v in shares.items() if v}
    return figures


@torch.no_grad()
def ceiling(data: Data, judge_path: Path, models: ModelStore) -> dict[str, float]:
    """Return how often the judge names real icons of the training vendors, and some as the generator rebuilds them.

    More than the latter no painter can reach whose pictures come out of that generator.
    """
    pictures, concepts = pictures_of(data.bank(("train",)), 1)
    judge, generator = load_judge(judge_path), models.generator("embedded")
    pick = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(1))[:400]
    rebuilt = torch.cat([generator.decode(generator.quantise(generator.encode(p))) for p in pictures[pick].split(8)])
    figures: dict[str, float] = {}
    shown = {"real": (pictures, concepts), "rebuilt": (rebuilt.float().clamp(0, 1), concepts[pick])}
    for kind, (seen, named) in shown.items():
        order = torch.cat([judge(part) for part in seen.split(64)]).argsort(1, descending=True)
        rank = (order == named[:, None]).float().argmax(1)
        for top in (1, 5):
            figures[f"{kind}_top{top}"] = float((rank < top).float().mean())
    return figures


@torch.no_grad()
def equal(data: Data, judge_path: Path, folder: Path) -> dict[str, float]:
    """Return how often the judge names the thing in the pictures that `bench equal` kept in a folder.

    These are the published loop's at its end and ours at its end, of each seed that both painted, and ours where it
    first scored as much, of those that did. `logp`: the mean logarithm of the probability that the judge gives the
    thing; `gain`: ours at its end minus theirs, pair by pair, with its standard error.
    """
    judge, names = load_judge(judge_path), data.bank(("train",)).names()
    pairs = sorted(
        path.name.removesuffix("-normal.png")
        for path in folder.glob("*-normal.png")
        if path.with_name(path.name.replace("-normal.png", "-nerdyrodent.png")).exists()
    )
    figures = {"pairs": float(len(pairs))}
    certain: dict[str, list[float]] = {}
    for side in ("nerdyrodent", "equal", "normal"):
        there = [pair for pair in pairs if (folder / f"{pair}-{side}.png").exists()]
        if not there:
            continue
        ranks: list[int] = []
        certain[side] = []
        for pair in there:
            word = pair.split("-")[2]  # a-red-apple-0
            thing = next(index for index, known in enumerate(names) if word in known)
            scores = judge(tensor_of(Image.open(folder / f"{pair}-{side}.png").convert("RGB"))[None])[0]
            ranks.append(int((scores > scores[thing]).sum()))
            certain[side].append(float(scores.log_softmax(0)[thing]))
        figures[f"{side}_pictures"] = float(len(there))
        figures |= {f"{side}_top{top}": float(np.mean([rank < top for rank in ranks])) for top in (1, 5)}
        figures[f"{side}_logp"] = float(np.mean(certain[side]))
    gains = np.subtract(certain["normal"], certain["nerdyrodent"])
    return figures | {"gain": float(gains.mean()), "gain_error": float(gains.std(ddof=1) / len(gains) ** 0.5)}


def paint_sheet(models: ModelStore, out: Path, way: Way, prompts_file: Path) -> dict[str, float]:
    """Paint a file's prompts, start and result, and time them."""
    prompts = [line for line in prompts_file.read_text().splitlines() if line.strip()]
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
    measures = ("rebuild", "retrieval", "colours", "paint", "ceiling", "equal", "sheet", "edits")
    parser.add_argument("what", choices=measures)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="where the judge is and the sheets go")
    parser.add_argument("--models", type=Path, default=EMBEDDED)
    parser.add_argument("--things", type=int, help="of the data's things only so many, the first")
    parser.add_argument("--concepts", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--part", type=int, default=0, help="which of --parts to paint, for several processes")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--preset", default="normal")
    parser.add_argument("--changes", type=json.loads, default={}, help="JSON of spec fields to change")
    parser.add_argument("--prompts", type=Path, default=PROMPTS, help="of a sheet, one a line")
    parser.add_argument("--pictures", type=Path, help="the folder of `bench equal`")
    parser.add_argument("--split", default="held-out", choices=("held-out", "tune"), help="of the edits")
    parser.add_argument("--loop-every", type=int, default=1, help="run the loop for every n-th prompt only")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    models = ModelStore(arguments.models, pick_device(), arguments.models)
    torch.set_num_threads(arguments.threads)
    way = Way(arguments.preset, arguments.changes, arguments.loop_every)
    data, work = Data(arguments.data, arguments.things), arguments.work
    job = Job(arguments.concepts, arguments.seeds, arguments.part, arguments.parts)
    share = Share(arguments.split, arguments.part, arguments.parts)
    figures = {
        "rebuild": lambda: rebuild(data, models, work),
        "retrieval": lambda: retrieval(data, models),
        "colours": lambda: colours(data, models),
        "paint": lambda: paint(data, models, work, way, job),
        "ceiling": lambda: ceiling(data, work / "judge.pt", models),
        "equal": lambda: equal(data, work / "judge.pt", arguments.pictures),
        "sheet": lambda: paint_sheet(models, work, way, arguments.prompts),
        "edits": lambda: edits(models, data.path, work, way, share),
    }[arguments.what]()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
