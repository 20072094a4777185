"""Training the prior's reader, which finds things, colours and places in a text."""

import random
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from engine.priors.reader import Reader
from engine.priors.shape import PriorShape
from training.captions import STYLES
from training.networks import read_weights, save_weights
from training.optim import schedule
from training.prior_run import PriorRun, shape_of
from training.scenes import SpriteBank
from training.stages import Figures, Trainer, keep, kept, repeatable
from training.texts import Texts, none_last

BEFORE = "prior-before.safetensors"  # a prior whose reader is to learn more, in the work folder


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
