"""Train the prior: `python -m training.prior STAGE --data FILE --work FOLDER [--config cpu|gpu]`.

Codes are cheap to train on and pictures are not, so `encode` turns composed pictures into codes once; `remember` does
the same to the icons themselves; `read` trains the reader on text alone; `paint` trains the painter on the codes and
writes the prior's file. `extend` gives a prior from before more things: their icons, and a reader that knows them.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from engine.priors import memory_file
from engine.priors.shape import PriorShape
from engine.priors.transformer import Conditions, PriorTransformer, to_patches
from training.networks import load_codec, read_weights, save_weights
from training.optim import MasterAdamW, schedule
from training.prior_codes import encode, remember
from training.prior_reader import BEFORE, ReadTrainer
from training.prior_run import ARTISTS, RUNS, PriorRun, artist_vendors, shape_of
from training.scenes import GROUNDS, SpriteBank
from training.stages import Figures, Trainer, command_line, keep, kept, repeatable, train
from training.surroundings import ground_kinds, kinds_of
from training.texts import none_last

MEMORY = ("painter.large", "painter.small", "painter.blank")


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
