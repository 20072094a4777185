"""Pictures as codes, made once for the prior: of composed scenes, to learn from, and of each icon, to remember."""

import time
from pathlib import Path

import numpy as np
import torch

from training import scenes as drawn
from training.networks import Codec, load_codec
from training.prior_run import MIX, PriorRun, artist_vendors
from training.scenes import GROUNDS, LAYOUT_NAMES, LAYOUTS, NOTHING, Sampler, Scenes, SpriteBank


def describe(scenes: Scenes, bank: SpriteBank) -> np.ndarray:
    """Return rows of (thing, thing, tint, tint, ground, layout, vendor, way); NOTHING where there is none."""
    things = torch.where(scenes.sprite >= 0, bank.concept[scenes.sprite.clamp(min=0)], NOTHING)
    tints = torch.where(scenes.sprite >= 0, scenes.tint, NOTHING)
    vendor = bank.vendor[scenes.sprite[:, 0]]
    columns = [things[:, 0], things[:, 1], tints[:, 0], tints[:, 1], scenes.ground, scenes.layout, vendor, scenes.way]
    return torch.stack(columns, 1).numpy().astype(np.int16)


def one_style(scenes: Scenes, bank: SpriteBank, rows: torch.Tensor) -> Scenes:
    """Redraw second things from the first one's vendor, as one picture has one style; `rows` is `row_table`'s."""
    first, second = scenes.sprite[:, 0], scenes.sprite[:, 1]
    same = rows[bank.concept[second.clamp(min=0)], bank.vendor[first]]
    same = torch.where(same == NOTHING, first, same)
    other = (second >= 0) & (bank.vendor[second.clamp(min=0)] != bank.vendor[first])
    scenes.sprite[:, 1] = torch.where(other, same, second)
    return scenes


def row_table(bank: SpriteBank) -> torch.Tensor:
    """Return the bank's row of each concept by each vendor, NOTHING where there is none: (concepts, vendors)."""
    table = torch.full((len(bank.table["concepts"]), len(bank.table["vendors"])), NOTHING)
    table[bank.concept, bank.vendor] = torch.arange(len(bank.concept))
    return table


def encode(run: PriorRun, data: Path, work: Path, device: str, minutes: float = 1e9) -> None:
    """Compose pictures and write their codes and conditions, the first part and more as long as there are minutes.

    Parts that are there stay.
    """
    bank = SpriteBank.read(data)
    sampler = Sampler(bank, MIX, artist_vendors(bank.table))
    codec = load_codec(work / "embedded-generator.safetensors").to(device)
    painter, table = drawn.Painter(bank, codec.shape.resolution, device), row_table(bank)
    batch = min(run.encode_batch, run.pictures)
    started = time.monotonic()
    for part in range(run.parts):
        path = work / f"codes-{part}.npz"
        if path.exists() or (part and time.monotonic() - started > 60 * minutes):
            continue
        generator = torch.Generator().manual_seed(run.seed * 1000 + part)
        codes, rows = [], []
        for _ in range(run.pictures // batch):
            scenes = one_style(sampler.draw(batch, generator), bank, table)
            with torch.no_grad():
                found = codec.nearest(codec.encode(2 * painter.draw(scenes) - 1))
            codes.append(found.cpu().numpy().astype(np.uint16))
            rows.append(describe(scenes, bank))
        with path.with_suffix(".tmp").open("wb") as handle:
            np.savez(handle, codes=np.concatenate(codes), rows=np.concatenate(rows))
        path.with_suffix(".tmp").replace(path)  # the painter may be looking
        print(f"part {part} of {run.parts}, {time.monotonic() - started:.0f}s", flush=True)


def remember(data: Path, work: Path, device: str, first: int = 0) -> None:
    """Write the memory: the codes of every icon of the prior's styles, at each size, on white and on black.

    Things before the `first` are left empty.
    """
    bank = SpriteBank.read(data)
    codec = load_codec(work / "embedded-generator.safetensors").to(device)
    painter = drawn.Painter(bank, codec.shape.resolution, device)
    vendors, concepts = artist_vendors(bank.table), len(bank.table["concepts"])
    order = torch.tensor(remembered(bank, vendors))
    order[: first * len(vendors)] = NOTHING
    seen: dict[str, list[torch.Tensor]] = {"one": [], "one small": [], "side by side": []}
    for name, parts in seen.items():
        for ground in ("white", "black"):
            each, where = order.unique(return_inverse=True)  # a picture may stand in for several artists
            grids = [_codes_of(part, name, ground, codec, painter) for part in each.split(40)]
            parts.append(torch.cat(grids)[where])
    side = seen["one"][0].shape[-1]
    kept = (concepts, len(vendors), -1)
    large = torch.stack([torch.stack(seen[name], 1) for name in ("one", "one small")], 1)
    small = torch.stack(seen["side by side"], 1)[..., side // 4 : side // 4 + side // 2, : side // 2]
    blank = [_codes_of(torch.tensor([NOTHING]), "one", ground, codec, painter)[0] for ground in ("white", "black")]
    np.savez(
        work / "memory.npz",
        large=large.reshape(*kept[:2], 2, 2, side, side).numpy().astype(np.int16),
        small=small.reshape(*kept[:2], 2, side // 2, side // 2).numpy().astype(np.int16),
        blank=torch.stack(blank).numpy().astype(np.int16),
    )


def remembered(bank: SpriteBank, vendors: tuple[int, ...]) -> list[int]:
    """Return the bank's row for each thing in each artist's hand, thing by thing; NOTHING where nobody drew it.

    Where an artist has none, the others take turns, and where none of them has one, other vendors.
    """
    drawn: dict[int, dict[int, int]] = {}
    for row, (concept, vendor) in enumerate(zip(bank.concept.tolist(), bank.vendor.tolist(), strict=True)):
        drawn.setdefault(concept, {}).setdefault(vendor, row)
    order = []
    for concept in range(len(bank.table["concepts"])):
        by = drawn.get(concept, {})
        instead = [by[v] for v in vendors if v in by] or list(by.values()) or [NOTHING]
        order += [by.get(v, instead[turn % len(instead)]) for turn, v in enumerate(vendors)]
    return order


@torch.no_grad()
def _codes_of(rows: torch.Tensor, layout: str, ground: str, codec: Codec, painter: drawn.Painter) -> torch.Tensor:
    """Encode icons in the first place of a layout on a plain ground."""
    count = len(rows)
    scenes = Scenes(
        sprite=rows[:, None],
        tint=torch.full((count, 1), NOTHING),
        place=torch.tensor(LAYOUTS[layout][0]).expand(count, 1, 3),
        turn=torch.zeros(count, 1),
        flip=torch.ones(count, 1),
        ground=torch.full((count,), GROUNDS.index(ground)),
        layout=torch.full((count,), LAYOUT_NAMES.index(layout)),
        way=torch.full((count,), NOTHING),
    )
    return codec.nearest(codec.encode(2 * painter.draw(scenes) - 1)).cpu()
