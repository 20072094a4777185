"""Train the perceptor: `python -m training.perceptor --data FILE --work FOLDER [--config cpu|gpu|smoke]`.

Contrastive learning with a concept head beside it, on composed pictures seen as the engine's cutouts would show them.
After a warm-up half of each batch is moved against the tower first (L2, by gradient steps), so that climbing its
gradient draws shapes and not noise. As soon as there is a generator, some of the pictures are its own, and what the
loop makes of others is learned as a wrong answer to its words (`failures.py`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from training.ahead import made_ahead
from training.batches import CONTEXT, END, START, BatchPlan, BatchPlans, fits
from training.failures import Practice, Shelf
from training.networks import ClipShape, build_clip, read_weights, save_clip
from training.optim import MasterAdamW, schedule
from training.scenes import Mix, Painter, SpriteBank
from training.stages import Figures, Trainer, command_line, keep, kept, repeatable, train
from training.texts import Texts

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
MIX = Mix(loose=True, pair=0.08, copies=0.05, tinted=0.15, drawn=0.15)
READER_CONTEXT = 32  # of the prior's reader, which knows the same tokens


@dataclass(frozen=True)
class PerceptorRun:
    """Everything that decides a run of the perceptor; what happens when is said in shares of the run."""

    layers: tuple[int, ...] = (1, 1, 1, 1)
    width: int = 32
    size: int = 64
    steps: int = 7600
    batch: int = 128
    lr: float = 1.2e-3
    attack_from: float = 0.4
    attack: float = 2.5  # L2 on pictures in 0..1
    attacked: float = 0.5  # share of a batch
    attack_steps: int = 1
    practice_from: float = 0.3
    practice_every: int = 40  # steps
    practised: int = 8  # scenes each time
    loop_steps: int = 8
    pool_share: float = 0.2  # of a batch, the generator's pictures
    failures: int = 12  # of the loop, beside each batch
    remembered: int = 4000  # of each kind
    workers: int = 0
    warm: bool = False
    """Go on from `perceptor-before.safetensors`, whatever things and tokens that one knew."""
    seed: int = 0


RUNS = {
    "cpu": PerceptorRun(),
    "gpu": PerceptorRun(
        layers=(2, 2, 2, 1), steps=30_000, batch=2048, lr=1e-3, attack_from=0.2, attack=3.0, attack_steps=2,
        practice_every=20, practised=96, failures=160, remembered=20_000, workers=6,
    ),
    "more": PerceptorRun(
        layers=(2, 2, 2, 1), steps=30_000, batch=2048, lr=7e-4, attack_from=0.03, attack=3.0, attack_steps=2,
        practice_from=0.01, practice_every=20, practised=96, failures=160, remembered=20_000, workers=6, warm=True,
    ),
    "smoke": PerceptorRun(
        layers=(1, 1, 1, 1), width=8, size=32, steps=4, batch=4, practice_from=0, practice_every=3, practised=3,
        loop_steps=2, failures=1, remembered=5,
    ),
}  # fmt: skip


def encode_text(clip: Any, tokens: torch.Tensor, length: int) -> torch.Tensor:
    """Embed texts as CLIP.encode_text does, in the text tower's own precision, no longer than `length` tokens."""
    dtype = clip.text_projection.dtype
    tokens, mask = tokens[:, :length], clip.build_attention_mask()[:length, :length].to(tokens.device)
    for block in clip.transformer.resblocks:
        block.attn_mask = mask
    x = F.embedding(tokens, clip.token_embedding.weight).to(dtype) + clip.positional_embedding[:length]
    x = clip.transformer(x.permute(1, 0, 2)).permute(1, 0, 2)
    return clip.ln_final(x)[torch.arange(len(x), device=x.device), tokens.argmax(-1)] @ clip.text_projection


class Batch(NamedTuple):
    """Pictures in 0..1, what they show, and what is said of them, as in an `BatchPlan`."""

    pictures: torch.Tensor
    tokens: torch.Tensor
    shown: torch.Tensor
    said: torch.Tensor
    made: torch.Tensor  # by the loop, as wrong answers to the first captions


class Wanted(NamedTuple):
    """What a batch of pictures should be taken for."""

    captions: torch.Tensor  # (batch, d), one for each picture
    names: torch.Tensor  # (concepts, d)
    concept: torch.Tensor  # (batch,)
    fits: torch.Tensor  # (batch, batch) which other captions are true too

    def only(self, chosen: torch.Tensor) -> "Wanted":
        """Return what some of the pictures should be taken for, as something to move against."""
        fits = self.fits[chosen][:, chosen]
        return Wanted(self.captions[chosen].detach(), self.names.detach(), self.concept[chosen], fits)


class PerceptorTrainer(Trainer):
    """One run: `step()` trains once and returns its figures."""

    def __init__(self, run: PerceptorRun, data: Path, work: Path, device: str = "cpu") -> None:
        super().__init__(run.steps)
        self.run, self.work, self.device = run, work, device
        repeatable(run.seed, device)
        self.generator = torch.Generator(device).manual_seed(run.seed)
        self.bank = SpriteBank.read(data)
        self.painter = Painter(self.bank, run.size, device)
        texts = Texts(self.bank, READER_CONTEXT, run.seed)
        rows = sorted({*texts.token_rows, 0, START, END})
        self.plans = BatchPlans(self.bank, MIX, texts.writer, rows, run.batch, run.seed)
        # START and END are CLIP's last tokens and so the last rows: the end of a text is where its row is greatest.
        self.ahead = made_ahead(self.plans, 0, run.steps, 0)
        self.shape = ClipShape(
            vision_layers=run.layers, vision_width=run.width, image_resolution=run.size, context_length=CONTEXT,
            token_rows=rows,
        )  # fmt: skip
        self.clip = self._untrained(rows)
        self.head = nn.Linear(self.shape.embed_dim, len(self.bank.table["concepts"])).to(device, torch.bfloat16)
        parameters = [p for p in self.clip.parameters() if p is not self.clip.logit_scale]
        self.optimiser = MasterAdamW([*parameters, *self.head.parameters()], run.lr, betas=(0.9, 0.98), decay=0.05)
        self.scale = torch.tensor(2.7, device=device)
        self.mean = torch.tensor(MEAN, device=device)[:, None, None]
        self.std = torch.tensor(STD, device=device)[:, None, None]
        self.pool, self.failures = Shelf(run.remembered), Shelf(run.remembered)
        self.practice: Practice | None = None
        self.reload()

    def _untrained(self, rows: list[int]) -> Any:
        clip = build_clip(self.shape).to(self.device)
        # Rows that no caption uses would only be decayed: train a small table and widen it on loading.
        table = clip.token_embedding.weight.detach()[rows].clone()
        if self.run.warm:
            table = _begin_with(clip, table, rows, read_weights(self.work / "perceptor-before.safetensors")[0])
        clip.token_embedding = nn.Embedding(len(rows), table.shape[1], _weight=table).to(self.device)
        clip.to(torch.bfloat16).visual.to(memory_format=torch.channels_last)
        for module in clip.modules():
            if isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):  # which compute in float32 whatever they are given
                module.float()
        return clip

    def reload(self) -> None:
        """Practise on the generator as it is now, if there is one."""
        path = self.work / "embedded-generator.safetensors"
        if path.exists():
            self.practice = Practice(self.bank, path, self.run.size, self.run.loop_steps, self.device)

    def batch(self, plan: BatchPlan) -> Batch:
        """Draw a batch, some of it the generator's own pictures; beside it what the loop painted for some of it."""
        run = self.run
        pictures = self.painter.draw(plan.scenes, plan.shift.to(self.device))
        tokens, shown, said = (part.to(self.device) for part in (plan.tokens, plan.shown, plan.said))
        made = pictures[:0]
        if self.failures.count:
            made, *instead = self.failures.take(run.failures, self.generator)
            for whole, part in zip((pictures, tokens, shown, said), instead, strict=True):
                whole[: len(part)] = part
        if self.pool.count:
            instead = self.pool.take(int(run.batch * run.pool_share), self.generator)
            for whole, part in zip((pictures, tokens, shown, said), instead, strict=True):
                whole[len(made) : len(made) + len(part)] = part
        both = self._spoil(torch.cat([pictures, made]))
        return Batch(both[: run.batch], tokens, shown, said, both[run.batch :])

    def _spoil(self, pictures: torch.Tensor) -> torch.Tensor:
        """Change colours a little and add noise."""
        options: dict[str, Any] = {"generator": self.generator, "device": self.device}
        gain = 1 + 0.1 * torch.randn(len(pictures), 3, 1, 1, **options)
        noise = 0.1 * torch.rand(len(pictures), 1, 1, 1, **options)
        return pictures * gain + noise * torch.randn(pictures.shape, **options)

    def embed(self, pictures: torch.Tensor) -> torch.Tensor:
        """Embed pictures in 0..1 of the tower's size."""
        normal = ((pictures - self.mean) / self.std).to(torch.bfloat16)
        return self.clip.visual(normal.contiguous(memory_format=torch.channels_last))

    def losses(
        self, pictures: torch.Tensor, wanted: Wanted, made: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of pictures against what they should be taken for, and the concept head's logits.

        The pictures of `made` are wrong answers to the first captions.
        """
        count = len(pictures)
        features = self.embed(pictures if made is None else torch.cat([pictures, made]))
        logits = self.head(features[:count]).float()
        seen = F.normalize(features.float(), dim=-1)
        similar = seen @ wanted.captions.T * self.scale.exp()
        target = torch.arange(count, device=self.device)
        # A caption that is true of another picture too is neither right nor wrong there.
        open_ = wanted.fits & ~torch.eye(count, dtype=torch.bool, device=self.device)
        matched = similar[:count].masked_fill(open_, -1e4)
        answers = torch.cat([matched.T, similar.new_full((count, len(seen) - count), -1e4)], 1)
        if len(seen) > count:
            wrong = target[: len(seen) - count]
            answers = answers.index_put((wrong, wrong + count), similar[wrong + count, wrong])
        contrast = F.cross_entropy(matched, target) + F.cross_entropy(answers, target)
        named = F.cross_entropy(seen[:count] @ wanted.names.T * self.scale.exp(), wanted.concept)
        return 0.5 * contrast + named + 0.5 * F.cross_entropy(logits, wanted.concept), logits

    def attack(self, pictures: torch.Tensor, wanted: Wanted) -> torch.Tensor:
        """Move each picture a random distance at most, in directions that raise its loss (Madry et al. 2018, in L2)."""
        ramp = min(1.0, (self.progress - self.run.attack_from) / 0.05 + 0.01)
        reach = torch.rand(len(pictures), 1, 1, 1, generator=self.generator, device=self.device)
        reach = reach * self.run.attack * ramp
        moved = torch.zeros_like(pictures)
        for _ in range(self.run.attack_steps):
            at = (pictures + moved).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.losses(at, wanted)[0], at)
            moved = moved + min(1.0, 1.5 / self.run.attack_steps) * reach * gradient / _norm(gradient)
            moved = moved * (reach / _norm(moved)).clamp(max=1)
        return (pictures + moved).detach()

    def step(self) -> Figures:
        """Train on one batch."""
        plan = next(self.ahead)
        batch, run = self.batch(plan), self.run
        concept = batch.shown[:, 0]
        longest = int(plan.names.argmax(-1).max()) + 1
        captions, names = self._words(batch.tokens, CONTEXT), self._words(plan.names.to(self.device), longest)
        wanted = Wanted(captions, names, concept, fits(batch.shown, batch.said))
        pictures = batch.pictures
        if self.progress >= run.attack_from:
            chosen = torch.randperm(len(pictures), generator=self.generator, device=self.device)
            chosen = chosen[: round(run.attacked * len(pictures))]
            pictures = pictures.index_copy(0, chosen, self.attack(pictures[chosen], wanted.only(chosen)))
        loss, logits = self.losses(pictures, wanted, batch.made)
        loss.backward()
        norm = self.optimiser.step(schedule(self.at, self.progress))
        # The temperature follows a schedule instead of a gradient: small batches make a learned one drift.
        self.scale.fill_(4.0 if run.warm else 2.7 + 1.3 * min(1.0, 2 * self.progress))
        if self.practice and self.progress >= run.practice_from and self.at % run.practice_every == 0:
            self._practise(self.practice, plan, captions.detach())
        self.at += 1
        return {"loss": loss.detach(), "right": (logits.argmax(1) == concept).float().mean(), "norm": norm}

    def _words(self, tokens: torch.Tensor, length: int) -> torch.Tensor:
        return F.normalize(encode_text(self.clip, tokens, length).float(), dim=-1)

    def _practise(self, practice: Practice, plan: BatchPlan, words: torch.Tensor) -> None:
        """Let the loop fail on the batch's last scenes, whose pictures and captions are as they were ordered."""
        count = min(self.run.practised, self.run.batch - self.run.failures - int(self.run.batch * self.run.pool_share))
        some = slice(self.run.batch - count, self.run.batch)
        said = [part[some].to(self.device) for part in (plan.tokens, plan.shown, plan.said)]
        self.clip.visual.eval()
        found = practice.fail(plan.scenes.map(lambda t: t[some]), words[some], self.embed, self.generator)
        self.clip.visual.train()
        self.failures.put(found.made, found.true, *said)
        self.pool.put(found.rebuilt, *said)
        self.pool.put(found.made[found.other], *(part.roll(1, 0)[found.other] for part in said))

    def save(self) -> None:
        """Write a checkpoint and the perceptor's file."""
        state = {"clip": self.clip.state_dict(), "head": self.head.state_dict(), "at": self.at,
                 "optimiser": self.optimiser.state_dict(), "generator": self.generator.get_state()}  # fmt: skip
        keep(state, self.work, "perceptor")
        self.clip.logit_scale.data = self.scale.clone()
        save_clip(self.work / "embedded-perceptor.safetensors", dict(self.clip.state_dict()), self.shape)

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one; the loop's failures are made anew."""
        state = kept(self.work, "perceptor")
        if state is not None:
            self.clip.load_state_dict(state["clip"])
            self.head.load_state_dict(state["head"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.at = state["at"]
            self.generator.set_state(state["generator"].cpu())
        self.ahead = made_ahead(self.plans, self.at, self.run.steps, self.run.workers)


def _begin_with(clip: Any, table: torch.Tensor, rows: list[int], before: dict[str, torch.Tensor]) -> torch.Tensor:
    """Give a CLIP the weights of another, and return the token table with the rows that both know."""
    known = dict(zip(before.pop("token_rows").tolist(), before.pop("token_embedding.weight"), strict=True))
    clip.load_state_dict({**before, "token_embedding.weight": clip.token_embedding.weight})
    mean = torch.stack(list(known.values())).mean(0)
    found = torch.stack([known.get(token, mean) for token in rows]).to(table)
    fresh = torch.tensor([token not in known for token in rows], device=table.device)[:, None]
    return torch.where(fresh, table, found)


def _norm(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]


def main() -> None:
    """Train from the command line."""
    arguments = command_line(__doc__, RUNS).parse_args()
    torch.set_num_threads(arguments.threads)
    trainer = PerceptorTrainer(RUNS[arguments.config], arguments.data, arguments.work, arguments.device)
    train(trainer, arguments.minutes, arguments.finish, report_every=20, save_every=300)


if __name__ == "__main__":
    main()
