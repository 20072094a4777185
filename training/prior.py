"""Train the prior: `python -m training.prior STAGE --data FILE --work FOLDER [--config cpu|gpu]`.

Codes are cheap to train on and pictures are not, so `encode` turns composed pictures into codes once; `remember` does
the same to the icons themselves; `read` trains the reader on text alone; `paint` trains the painter on the codes and
writes the prior's file. `extend` gives a prior from before more things: their icons, and a reader that knows them.
"""

import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from engine.priors import memory_file
from engine.priors.reader import Reader
from engine.priors.shape import PriorShape
from engine.priors.transformer import Conditions, PriorTransformer, to_patches
from training import scenes as drawn
from training.captions import ARRANGEMENTS, STYLES
from training.networks import Codec, load_codec, read_weights, save_weights
from training.optim import MasterAdamW, schedule
from training.scenes import (
    COLOURS,
    GROUNDS,
    LAYOUT_NAMES,
    LAYOUTS,
    NOTHING,
    WAYS,
    Mix,
    Sampler,
    Scenes,
    SpriteBank,
)
from training.stages import Figures, Trainer, command_line, keep, kept, repeatable, train
from training.surroundings import ground_kinds, kinds_of
from training.texts import Texts, none_last

ARTISTS = ("fluent-flat", "noto", "twemoji", "fluent-3d")  # the vendors it paints like
# Which artists a style means; where a text names none, those that drew every concept.
ARTISTS_OF = {"flat": (0, 2), "3d": (3,)}
MEMORY = ("painter.large", "painter.small", "painter.blank")
BEFORE = "prior-before.safetensors"  # a prior whose reader is to learn more, in the work folder
MIX = Mix(pair=0.12, copies=0.07, tinted=0.35, ground_shares=(0.5, 0.1, 0.2, 0.2))


@dataclass(frozen=True)
class PriorRun:
    """Everything that decides a run of the prior."""

    width: int = 256
    depth: int = 4
    heads: int = 4
    pictures: int = 12_000  # in each part
    parts: int = 2
    encode_batch: int = 40
    read_steps: int = 1000
    read_batch: int = 160
    paint_steps: int = 1600
    paint_batch: int = 64
    lr: float = 1.5e-3
    seed: int = 0


RUNS = {
    "cpu": PriorRun(),
    "gpu": PriorRun(
        depth=5,
        pictures=40_000,
        parts=10,
        encode_batch=400,
        read_steps=6000,
        read_batch=320,
        paint_steps=40_000,
        paint_batch=512,
        lr=1e-3,
    ),
    "smoke": PriorRun(
        width=32, depth=1, heads=2, pictures=8, parts=1, read_steps=3, read_batch=4, paint_steps=3, paint_batch=4
    ),
}


def artist_vendors(table: dict[str, Any]) -> tuple[int, ...]:
    """Return the vendors whose pictures the prior learns, in the order of ARTISTS."""
    names = [vendor["vendor"] for vendor in table["vendors"]]
    return tuple(names.index(artist) for artist in ARTISTS)


def slot_map(side: int) -> tuple[tuple[int, ...], ...]:
    """Return, per layout, which of the two things each 2 x 2 patch of codes belongs to: the nearest one."""
    half = side // 2
    centres = [((column + 0.5) / half, (row + 0.5) / half) for row in range(half) for column in range(half)]
    slots = []
    for spots in LAYOUTS.values():
        nearest = [min(range(len(spots)), key=lambda k: math.dist(spots[k][:2], centre)) for centre in centres]
        slots.append(tuple(min(k, 1) for k in nearest))
    return tuple(slots)


def spots_of(side: int) -> tuple[tuple[tuple[int, int, int, int], ...], ...]:
    """Return, per layout, which thing stands where on the grid of codes, and from which memory table it comes."""
    found = []
    for name, places in LAYOUTS.items():
        if len(places) == 1:
            found.append(((0, LAYOUT_NAMES.index(name), 0, 0),))
        else:
            tops = [round((y - size / 2) * side) for _, y, size in places]
            lefts = [round((x - size / 2) * side) for x, _, size in places]
            found.append(tuple((min(k, 1), 2, tops[k], lefts[k]) for k in range(len(places))))
    return tuple(found)


def shape_of(run: PriorRun, bank: SpriteBank, side: int, codes: int, dim: int, tokens: int) -> PriorShape:
    """Return the prior's sizes for a data set and a generator."""
    return PriorShape(
        concepts=len(bank.table["concepts"]),
        tints=len(COLOURS),
        grounds=len(GROUNDS),
        styles=len(ARTISTS),
        style_choices=(*(ARTISTS_OF.get(style, (0, 1, 2)) for style in STYLES), (0, 1, 2)),
        ways=(*(style if style in WAYS else "" for style in STYLES), ""),
        slots=slot_map(side),
        layout_choices=tuple(tuple(LAYOUT_NAMES.index(name) for name in names) for names in ARRANGEMENTS.values()),
        spots=spots_of(side),
        ground_kinds=ground_kinds(),
        ground_of=kinds_of(bank.names()),
        side=side,
        codes=codes,
        code_width=dim,
        width=run.width,
        depth=run.depth,
        heads=run.heads,
        tokens=tokens,
    )


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


class ReadTrainer(Trainer):
    """One run of the reader, on text alone."""

    def __init__(self, run: PriorRun, data: Path, work: Path, device: str = "cpu") -> None:
        super().__init__(run.read_steps)
        self.run, self.work, self.device = run, work, device
        bank = SpriteBank.read(data)
        self.texts = Texts(bank, PriorShape.context, run.seed)
        self.shape = shape_of(run, bank, 16, 1024, 32, len(self.texts.token_rows))
        repeatable(run.seed, device)
        self.reader = Reader(self.shape)
        if (before := work / BEFORE).exists():
            self._begin_with(*read_weights(before))
        self.reader.to(device)
        self.optimiser = torch.optim.AdamW(self.reader.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02)

    def _begin_with(self, tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
        """Take what a reader from before knows; its things are the first of today's, its tokens some of today's."""
        known, state = config["concepts"], self.reader.state_dict()
        here = {token: row for row, token in enumerate(self.texts.token_rows)}
        rows = [(here[token], row) for row, token in enumerate(tensors["token_rows"].tolist()) if token in here]
        last = len(tensors["token_rows"])
        rows += [(len(here), last), (len(here) + 1, last + 1)]  # an unknown token, and nothing
        for name, tensor in state.items():
            before = tensors[f"reader.{name}"]
            if name == "rows.weight":
                tensor[[new for new, _ in rows]] = before[[old for _, old in rows]]
            elif name.startswith("things."):
                tensor[:known], tensor[-1] = before[:-1], before[-1]  # the last is for no thing at all
            else:
                tensor.copy_(before)

    def step(self) -> Figures:
        """Train on one batch of texts; return the loss and the shares that were read rightly."""
        for group in self.optimiser.param_groups:
            group["lr"] = 2e-3 * schedule(self.at, self.progress)
        tokens, said = self.texts.batch(self.run.read_batch)
        reading, shape = self.reader(tokens.to(self.device)), self.shape
        nones = {"things": shape.concepts, "tints": shape.tints, "ground": shape.grounds, "style": len(STYLES)}
        targets = {name: none_last(said[name], nones.get(name, 0)).to(self.device) for name in said}
        loss, right = torch.zeros((), device=self.device), Figures()
        for name, target in targets.items():
            logits = getattr(reading, name).flatten(0, -2)
            loss = loss + F.cross_entropy(logits, target.flatten())
            right[name] = (logits.argmax(-1) == target.flatten()).float().mean()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.reader.parameters(), 1.0)
        self.optimiser.step()
        self.at += 1
        return {"loss": loss.detach(), **right}

    def save(self) -> None:
        """Write a checkpoint; the painter's export takes the reader from it."""
        rows = torch.tensor(self.texts.token_rows, dtype=torch.int32)
        state = {"reader": self.reader.state_dict(), "token_rows": rows, "at": self.at,
                 "optimiser": self.optimiser.state_dict()}  # fmt: skip
        keep(state, self.work, "reader")
        save_weights(self.work / "reader.safetensors", {**state["reader"], "token_rows": rows}, {"kind": "reader"})

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one, with other texts."""
        state = kept(self.work, "reader")
        if state is not None:
            self.reader.load_state_dict(state["reader"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.at = state["at"]
            self.texts.rng = random.Random(self.run.seed + self.at)


class PaintTrainer(Trainer):
    """One run of the painter over the encoded pictures."""

    def __init__(self, run: PriorRun, data: Path, work: Path, device: str = "cpu") -> None:
        super().__init__(run.paint_steps)
        self.run, self.work, self.device = run, work, device
        self.bank = SpriteBank.read(data)
        codec = load_codec(work / "embedded-generator.safetensors")
        side = codec.shape.resolution // 2 ** (len(codec.shape.ch_mult) - 1)
        reader = kept(work, "reader")
        if reader is None:
            raise SystemExit(f"There is no reader in {work}: run the stage 'read' before 'paint'.")
        self.token_rows = reader["token_rows"]
        self.shape = shape_of(run, self.bank, side, codec.shape.n_embed, codec.shape.embed_dim, len(self.token_rows))
        self.reader_state = reader["reader"]
        repeatable(run.seed, device)
        self.generator = torch.Generator().manual_seed(run.seed)
        self.painter = PriorTransformer(self.shape).to(device, torch.bfloat16)
        # In float32 whatever the rest: what is nearest must be the same as in the generator.
        self.painter.codebook = codec.codebook.to(device)
        memory = np.load(work / "memory.npz")
        for name in ("large", "small", "blank"):
            self.painter.get_buffer(name).copy_(torch.from_numpy(memory[name]))
        self.optimiser = MasterAdamW(self.painter.parameters(), run.lr, betas=(0.9, 0.97), decay=0.02)
        self.reload()

    def reload(self) -> None:
        """Read all encoded parts that are there; more may have come since the last time."""
        parts = [np.load(path) for path in sorted(self.work.glob("codes-*.npz"))]
        codes = torch.from_numpy(np.concatenate([part["codes"] for part in parts]).astype(np.int64))
        rows = torch.from_numpy(np.concatenate([part["rows"] for part in parts]).astype(np.int64))
        vendors = torch.tensor(artist_vendors(self.bank.table))
        ours = torch.isin(rows[:, 6], vendors)
        codes, rows = codes[ours], rows[ours]
        style_of = torch.full((64,), 0)
        style_of[vendors] = torch.arange(len(ARTISTS))
        self.patches = to_patches(codes).to(self.device)
        things, tints = none_last(rows[:, :2], self.shape.concepts), none_last(rows[:, 2:4], self.shape.tints)
        conditions = (things, tints, rows[:, 4], rows[:, 5], style_of[rows[:, 6]])
        self.conditions = Conditions(*(part.to(self.device) for part in conditions))

    def step(self) -> Figures:
        """Train on one batch: predict the codewords of composed pictures."""
        run, generator = self.run, self.generator
        pick = torch.randint(0, len(self.patches), (run.paint_batch,), generator=generator).to(self.device)
        conditions = Conditions(*(part[pick] for part in self.conditions))
        latents = self.painter(conditions).float()
        book = self.painter.codebook.float()
        target = (book / book.std())[self.patches[pick]]
        loss = F.smooth_l1_loss(latents, target, beta=0.5)
        loss.backward()
        norm = self.optimiser.step(schedule(self.at, self.progress, warmup=80))
        self.at += 1
        return {"loss": loss.detach(), "norm": norm}

    def save(self) -> None:
        """Write a checkpoint and the prior's file."""
        state = {"painter": self.painter.state_dict(), "optimiser": self.optimiser.state_dict(), "at": self.at,
                 "generator": self.generator.get_state()}  # fmt: skip
        keep(state, self.work, "painter")
        export(self.work, self.shape, self.painter, self.reader_state, self.token_rows)

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        state = kept(self.work, "painter")
        if state is not None:
            self.painter.load_state_dict(state["painter"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.at = state["at"]
            self.generator.set_state(state["generator"].cpu())


def export(
    work: Path, shape: PriorShape, painter: PriorTransformer, reader: dict[str, Any], rows: torch.Tensor
) -> None:
    """Join reader and transformer in the prior's file."""
    tensors = {f"reader.{name}": tensor for name, tensor in reader.items()}
    tensors |= {f"painter.{name}": tensor for name, tensor in painter.state_dict().items()}
    write_prior(work / "embedded-prior.safetensors", {**tensors, "token_rows": rows}, shape)


def write_prior(path: Path, tensors: dict[str, torch.Tensor], shape: PriorShape) -> None:
    """Write the prior's file, and its memory beside it."""
    memory = {name: tensor for name, tensor in tensors.items() if name in MEMORY}
    others = {name: tensor for name, tensor in tensors.items() if name not in MEMORY}
    config = {"kind": "prior", **asdict(shape), "ground_names": list(GROUNDS), "style_names": list(ARTISTS)}
    save_weights(memory_file(path), memory, {})
    save_weights(path, others, config)


def extend(data: Path, work: Path, device: str) -> None:
    """Give a prior from before today's things: their icons in its memory, and the reader that knows their names.

    What is painted of a thing comes from memory, so that nothing else has to learn. The generator is still the one
    whose codes it knows; today's things begin with those that it knew.
    """
    before, config = read_weights(work / BEFORE)
    before |= read_weights(memory_file(work / BEFORE))[0]
    reader, _ = read_weights(work / "reader.safetensors")
    rows, known = reader.pop("token_rows"), config["concepts"]
    if not (work / "memory.npz").exists():
        remember(data, work, device, first=known)
    fresh = np.load(work / "memory.npz")
    for name in ("large", "small"):
        codes = torch.from_numpy(fresh[name]).to(before[f"painter.{name}"].dtype)
        before[f"painter.{name}"] = torch.cat([before[f"painter.{name}"], codes[known:]])
    tensors = {name: tensor for name, tensor in before.items() if not name.startswith("reader.")}
    tensors |= {f"reader.{name}": tensor for name, tensor in reader.items()} | {"token_rows": rows}
    names = [concept["names"] for concept in json.loads(np.load(data)["table"].tobytes())["concepts"]]
    surroundings = {"ground_kinds": ground_kinds(), "ground_of": kinds_of(names)}
    shape = PriorShape.of({**config, **surroundings, "concepts": len(names), "tokens": len(rows)})
    write_prior(work / "embedded-prior.safetensors", tensors, shape)


def main() -> None:
    """Run one stage from the command line."""
    parser = command_line(__doc__, RUNS)
    parser.add_argument("stage", choices=("encode", "remember", "read", "paint", "extend"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    run, data, work, device = RUNS[arguments.config], arguments.data, arguments.work, arguments.device
    how = (arguments.minutes, arguments.finish)
    if arguments.stage == "encode":
        encode(run, data, work, device, arguments.minutes)
    elif arguments.stage == "remember":
        remember(data, work, device)
    elif arguments.stage == "extend":
        extend(data, work, device)
    elif arguments.stage == "read":
        train(ReadTrainer(run, data, work, device), *how, report_every=100, save_every=500)
    else:
        train(PaintTrainer(run, data, work, device), *how, report_every=100, save_every=1000)


if __name__ == "__main__":
    main()
