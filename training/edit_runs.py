"""Make the edits of `training/edits.txt` with the engine's own defaults, and say how many came out right."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import edit_area, spec_from_preset
from engine.prompts import parse_prompts
from engine.regions import NothingFoundError
from engine.spec import PaintingSpec
from training.edits import Case, Original, Originals, Verdict, judge_edit, mask_image, read_cases
from training.judge import load_judge
from training.measures import tensor_of
from training.scenes import SpriteBank, sheet

UNTRAINED = ("held-out",)  # vendors whose pictures the pair never saw
CELL = 16
SHOWN = 24
"""Edits on the sheet for the README: every third."""
COLUMNS = 12


@dataclass(frozen=True)
class Way:
    """How to paint: a preset, changes to its spec, and for which share of the prompts the loop runs at all."""

    preset: str
    changes: dict[str, Any]
    loop_every: int = 1


@dataclass(frozen=True)
class Share:
    """Which edits to make: of one split, every `parts`-th from `part` on."""

    split: str
    part: int
    parts: int

    def cases(self) -> list[tuple[int, Case]]:
        """Return the edits with their numbers in the file."""
        split = [(i, case) for i, case in enumerate(read_cases()) if case.split == self.split]
        return split[self.part :: self.parts]


def edit_spec(case: Case, original: Original, folder: Path, way: Way) -> PaintingSpec:
    """Return what `/edit` paints when it is asked for a case; its pictures go into a folder."""
    picture, mask = folder / "picture.png", folder / "mask.png"
    original.image.save(picture)
    changes: dict[str, Any] = {}
    option, value = case.option
    if option == "mask":
        mask_image(case, original).save(mask)
        changes["mask"] = str(mask)
    elif option:
        changes["edit_from" if option == "from" else option] = value
    width, height = original.image.size
    scale = (edit_area(width, height, way.preset, "embedded") / (width * height)) ** 0.5
    changes |= {"width": round(width * scale / CELL) * CELL, "height": round(height * scale / CELL) * CELL}
    return spec_from_preset(
        parse_prompts(case.prompt), way.preset, **{"init_image": str(picture), **changes, **way.changes}
    )


def edits(models: ModelStore, data: Path, work: Path, way: Way, share: Share) -> dict[str, Any]:
    """Make edits, judge and show them; what is in `work/edited` already is judged only."""
    originals = Originals(SpriteBank.read(data, UNTRAINED))
    judge = load_judge(work / "judge.pt")
    folder = work / "edited"
    folder.mkdir(exist_ok=True)
    found, shown = [], []
    for number, case in share.cases():
        original = originals.make(case)
        cost = _make(models, case, original, folder, number, way)
        verdicts = {
            kind: judge_edit(case, original, Image.open(folder / f"{number:03d}-{kind}.png"), judge, originals.names)
            for kind in ("start", "end")
        }
        found.append({"case": asdict(case), "verdicts": verdicts, **cost})
        print(_line(case, verdicts, cost), flush=True)
        shown.append(_above(original.image, Image.open(folder / f"{number:03d}-end.png")))
    sheet(torch.stack([tensor_of(pair) for pair in shown]), COLUMNS).save(work / f"edits-{share.split}.png")
    third = shown[:: max(1, len(shown) // SHOWN)][:SHOWN]
    sheet(torch.stack([tensor_of(pair) for pair in third]), COLUMNS).save(work / f"sheet-edits-{share.split}.png")
    return _summary(found)


def _make(models: ModelStore, case: Case, original: Original, folder: Path, number: int, way: Way) -> dict[str, float]:
    """Make one edit unless it is there; return what it cost, in seconds of the CPU."""
    start, end, cost = (folder / f"{number:03d}-{name}" for name in ("start.png", "end.png", "cost.json"))
    if cost.exists():
        return json.loads(cost.read_text())
    began = time.process_time()
    try:
        painting = Painting(edit_spec(case, original, folder, way), models)
        painting.picture().save(start)
        spent = time.process_time() - began
        for _ in painting:
            pass
        painting.picture().save(end)
        steps = painting.spec.steps
    except NothingFoundError as error:
        print(error)
        original.image.save(start)
        original.image.save(end)
        spent, steps = time.process_time() - began, 0
    record = {"start_cpu": round(spent, 1), "cpu": round(time.process_time() - began, 1), "steps": steps}
    cost.write_text(json.dumps(record))
    return record


def _line(case: Case, verdicts: dict[str, Verdict], cost: dict[str, float]) -> str:
    said = ", ".join(part for part in (case.picture, case.prompt, case.options) if part)
    marks = " ".join(
        f"{kind}: {'reached' if v.reached else '-'} {'kept' if v.kept else '-'} {v.difference:.3f}"
        for kind, v in verdicts.items()
    )
    return f"{case.kind} | {said} | {marks} | {cost['cpu']} s"


def _above(original: Image.Image, result: Image.Image) -> Image.Image:
    """Put a picture above what became of it, each fitted into a square."""
    pair = Image.new("RGB", (128, 256), "white")
    for top, image in ((0, original), (128, result)):
        fitted = ImageOps.contain(image, (128, 128), Image.Resampling.LANCZOS)
        pair.paste(fitted, ((128 - fitted.width) // 2, top + (128 - fitted.height) // 2))
    return pair


def _summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return per kind, and for all: how many edits, and the shares that were reached, kept, and both."""
    figures: dict[str, Any] = {}
    for kind in (*dict.fromkeys(record["case"]["kind"] for record in found), "all"):
        some = [record for record in found if kind in (record["case"]["kind"], "all")]
        figures[kind] = {"edits": len(some)}
        for when, name in (("end", ""), ("start", "start_")):
            right = [(record["verdicts"][when].reached, record["verdicts"][when].kept) for record in some]
            shares = zip(("reached", "kept", "both"), (*np.mean(right, 0), np.mean(np.all(right, 1))), strict=True)
            figures[kind] |= {name + what: round(float(value), 3) for what, value in shares}
    figures["cpu_median"] = float(np.median([record["cpu"] for record in found]))
    return figures
