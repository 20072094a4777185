"""Train the perceptor: `python -m training.perceptor --data FILE --work FOLDER [--config cpu|gpu|smoke]`.

Contrastive learning with a concept head beside it, on composed pictures seen as the engine's cutouts would show them.
After a warm-up each batch is moved against the tower first (L2, one gradient step), so that climbing its gradient
draws shapes and not noise; a share of the pictures are the generator's own, some with wrong codes in them.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from engine.third_party import tokenizer
from training.captions import STYLES, Shown, Writer
from training.networks import ClipShape, build_clip, load_codec, read_weights, save_clip
from training.optim import MasterAdamW, schedule
from training.prior import describe
from training.scenes import NOTHING, WAYS, Mix, Painter, Sampler, Scenes, SpriteBank
from training.stages import command_line, keep, kept, train
from training.texts import Texts

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
STYLE_OF = {"fluent-flat": "flat", "twemoji": "flat", "fluent-3d": "3d"}
COLOURLESS = ("sketch", "outline")


@dataclass(frozen=True)
class PerceptorRun:
    """Everything that decides a run of the perceptor."""

    layers: tuple[int, ...] = (1, 1, 1, 1)
    width: int = 32
    size: int = 64
    steps: int = 4350
    batch: int = 128
    lr: float = 1.2e-3
    attack_from: int = 3000
    attack: float = 2.5  # L2 on pictures in 0..1
    attacked: float = 0.5  # share of a batch
    names: int = 128  # of other things, which the pictures are told apart from beside each other's captions
    pool_share: float = 0.2
    failures: int = 12  # of the loop, in each batch
    seed: int = 0


RUNS = {
    "cpu": PerceptorRun(),
    "gpu": PerceptorRun(layers=(1, 2, 2, 1), steps=12_000, batch=2048, lr=1e-3, attack_from=3000),
    "smoke": PerceptorRun(layers=(1, 1, 1, 1), width=8, size=32, steps=4, batch=4, attack_from=2, failures=1),
}


def zoom(scenes: Scenes, generator: torch.Generator) -> Scenes:
    """Move and enlarge half of the scenes, as a cutout of a part of the picture does."""
    batch = len(scenes.ground)
    factor = 1 + torch.rand(batch, 1, generator=generator) * (torch.rand(batch, 1, generator=generator) < 0.5)
    centre = 0.5 + (torch.rand(batch, 1, 2, generator=generator) - 0.5) * 0.5 * (1 - 1 / factor[..., None])
    place = (scenes.place[..., :2] - centre) * factor[..., None] + 0.5
    scenes.place = torch.cat([place, scenes.place[..., 2:] * factor[..., None]], -1)
    return scenes


def tokenise(texts: list[str], context: int) -> torch.Tensor:
    """Return CLIP's tokens (batch, context)."""
    start, end = 49406, 49407
    tokens = torch.zeros(len(texts), context, dtype=torch.long)
    for i, text in enumerate(texts):
        row = [start, *tokenizer().encode(text)[: context - 2], end]
        tokens[i, : len(row)] = torch.tensor(row)
    return tokens


def encode_text(clip: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Embed texts as CLIP.encode_text does, in the text tower's own precision, no longer than the longest of them."""
    dtype, length = clip.text_projection.dtype, int(tokens.argmax(-1).max()) + 1
    tokens, mask = tokens[:, :length], clip.build_attention_mask()[:length, :length].to(tokens.device)
    for block in clip.transformer.resblocks:
        block.attn_mask = mask
    x = F.embedding(tokens, clip.token_embedding.weight).to(dtype) + clip.positional_embedding[:length]
    x = clip.transformer(x.permute(1, 0, 2)).permute(1, 0, 2)
    return clip.ln_final(x)[torch.arange(len(x)), tokens.argmax(-1)] @ clip.text_projection


class Batch(NamedTuple):
    """Pictures in 0..1, and what they show."""

    pictures: torch.Tensor
    made: torch.Tensor  # (failures, ...): what the loop painted, wrongly, for the captions of the first pictures
    tokens: torch.Tensor  # (batch, context)
    concept: torch.Tensor  # (batch,) of the first thing


class Wanted(NamedTuple):
    """What a batch of pictures should be taken for."""

    captions: torch.Tensor  # (batch, d), one for each picture
    names: torch.Tensor  # (names, d)
    column: torch.Tensor  # (batch,) of names
    concept: torch.Tensor  # (batch,)


class PerceptorTrainer:
    """One run: `step()` trains once and returns its figures."""

    def __init__(self, run: PerceptorRun, data: Path, work: Path, device: str = "cpu") -> None:
        self.run, self.work, self.device = run, work, device
        torch.manual_seed(run.seed)
        self.generator, self.rng = torch.Generator().manual_seed(run.seed), random.Random(run.seed)
        self.bank = SpriteBank.read(data)
        self.sampler = Sampler(self.bank, Mix(loose=True, pair=0.08, copies=0.05, tinted=0.15, drawn=0.15))
        self.painter = Painter(self.bank, run.size, device)
        texts = Texts(self.bank, 32, run.seed)
        concepts = self.bank.table["concepts"]
        self.writer: Writer = texts.writer
        self.vendors = [vendor["vendor"] for vendor in self.bank.table["vendors"]]
        rows = self._token_rows(texts)
        self.shape = ClipShape(
            vision_layers=run.layers, vision_width=run.width, image_resolution=run.size, token_rows=rows
        )
        self.clip = build_clip(self.shape).to(device)
        # Rows that no caption uses would only be decayed: train a small table and widen it on saving.
        self.row_of = torch.zeros(self.shape.vocab_size, dtype=torch.long)
        self.row_of[rows] = torch.arange(len(rows))
        self.tokens_in_use = torch.tensor(rows)
        self.name_tokens = [self.row_of[tokenise([f"a {name}" for name in names], 16)] for names in self.writer.names]
        table = self.clip.token_embedding.weight.detach()[self.tokens_in_use].clone()
        self.clip.token_embedding = nn.Embedding(len(rows), table.shape[1], _weight=table).to(device)
        self.clip.to(torch.bfloat16).visual.to(memory_format=torch.channels_last)
        for module in self.clip.modules():
            if isinstance(module, nn.LayerNorm):  # CLIP's own computes in float32
                module.float()
        self.head = nn.Linear(self.shape.embed_dim, len(concepts)).to(device, torch.bfloat16)
        parameters = [p for p in self.clip.parameters() if p is not self.clip.logit_scale] + list(
            self.head.parameters()
        )
        self.optimiser = MasterAdamW(parameters, run.lr, betas=(0.9, 0.98), decay=0.05)
        self.scale = torch.tensor(2.7, device=device)
        self.mean = torch.tensor(MEAN, device=device)[:, None, None]
        self.deviation = torch.tensor(DEVIATION, device=device)[:, None, None]
        self.at = 0
        self.read_pictures()

    def _token_rows(self, texts: Texts) -> list[int]:
        """Return the tokens that have a row: those of the weights that are there, else those of the captions."""
        before = self.work / "embedded-perceptor.safetensors"
        if before.exists():
            return read_weights(before)[0]["token_rows"].tolist()
        return sorted({*texts.token_rows, 0, 49406, 49407})

    def read_pictures(self) -> None:
        """Read the generator's pictures and the loop's failures that are there; more may have come."""
        self.pool = self._packed("pool", ("pictures", "rows"))
        self.failures = self._packed("failures", ("pictures", "true", "wanted"))

    def _packed(self, kind: str, names: tuple[str, ...]) -> list[np.ndarray] | None:
        parts = [np.load(path) for path in sorted(self.work.glob(f"{kind}*.npz"))]
        return [np.concatenate([part[name] for part in parts]) for name in names] if parts else None

    def batch(self) -> Batch:
        """Compose a batch, some of it the generator's own pictures; beside it what the loop painted for some of it."""
        run, generator = self.run, self.generator
        scenes = zoom(self.sampler.draw(run.batch, generator), generator)
        shift = 0.04 * torch.randn(run.batch, 3, generator=generator)
        pictures = self.painter.draw(scenes, shift.to(self.device))
        rows = describe(scenes, self.bank)
        answered, made = 0, pictures[:0]
        if self.failures is not None:
            painted, true, wanted = self._pick(self.failures, run.failures)
            answered, made = len(wanted), torch.from_numpy(painted).to(self.device).float() / 255
            self._put(pictures, rows, 0, true, wanted)
        if self.pool is not None:
            self._put(pictures, rows, answered, *self._pick(self.pool, int(run.batch * run.pool_share)))
        pictures = torch.cat([pictures, made])
        noise = 0.1 * torch.rand(len(pictures), 1, 1, 1, generator=generator)
        gain = 1 + 0.1 * torch.randn(len(pictures), 3, 1, 1, generator=generator)
        pictures = pictures * gain.to(self.device)
        pictures = pictures + (noise * torch.randn(pictures.shape, generator=generator)).to(self.device)
        captions = [self._caption(row) for row in rows.tolist()]
        tokens = self.row_of[tokenise(captions, self.shape.context_length)]
        concept = torch.from_numpy(rows[:, 0].astype(np.int64))
        return Batch(pictures[: run.batch], pictures[run.batch :], tokens.to(self.device), concept.to(self.device))

    def _pick(self, packed: list[np.ndarray], count: int) -> list[np.ndarray]:
        pick = torch.randint(0, len(packed[0]), (count,), generator=self.generator).numpy()
        return [part[pick] for part in packed]

    def _put(self, pictures: torch.Tensor, rows: np.ndarray, at: int, made: np.ndarray, shown: np.ndarray) -> None:
        """Replace some pictures by others and what they show."""
        part = slice(at, at + len(made))
        pictures[part] = torch.from_numpy(made).to(pictures.device).float() / 255
        rows[part] = shown

    def _caption(self, row: list[int]) -> str:
        thing, second, tint, other, ground, layout, vendor, way = row
        style, artist = NOTHING, self.vendors[vendor]
        if way != NOTHING:
            style = STYLES.index(WAYS[way])
        elif self.rng.random() < 0.15 and artist in STYLE_OF:
            style = STYLES.index(STYLE_OF[artist])
        tints = (tint, other)
        if way != NOTHING and WAYS[way] in COLOURLESS:  # nobody could tell
            tints, ground = (NOTHING, NOTHING), NOTHING
        return self.writer.write(Shown((thing, second), tints, ground, layout, style), self.rng).text

    def embed(self, pictures: torch.Tensor) -> torch.Tensor:
        """Embed pictures in 0..1 of the tower's size."""
        normal = ((pictures - self.mean) / self.deviation).to(torch.bfloat16)
        return self.clip.visual(normal.contiguous(memory_format=torch.channels_last))

    def _some_names(self, concept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tokens of the names of a batch's things and of others, and which of them each picture shows."""
        others = torch.randperm(len(self.name_tokens), generator=self.generator)[: self.run.names]
        things, column = torch.cat([concept.cpu(), others]).unique(return_inverse=True)
        tokens = torch.stack([self.rng.choice(self.name_tokens[thing]) for thing in things.tolist()])
        return tokens.to(self.device), column[: len(concept)].to(self.device)

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
        answers = torch.cat([similar[:count].T, similar.new_full((count, len(seen) - count), -1e4)], 1)
        if len(seen) > count:
            wrong = torch.arange(len(seen) - count, device=self.device)
            answers = answers.index_put((wrong, wrong + count), similar[wrong + count, wrong])
        contrast = F.cross_entropy(similar[:count], target) + F.cross_entropy(answers, target)
        named = F.cross_entropy(seen[:count] @ wanted.names.T * self.scale.exp(), wanted.column)
        return 0.5 * contrast + named + 0.5 * F.cross_entropy(logits, wanted.concept), logits

    def attack(self, pictures: torch.Tensor, wanted: Wanted) -> torch.Tensor:
        """Move each picture a random distance in the direction that raises its loss."""
        moved = pictures.detach().requires_grad_()
        loss, _ = self.losses(moved, wanted)
        (gradient,) = torch.autograd.grad(loss, moved)
        norm = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
        ramp = min(1.0, (self.at - self.run.attack_from + 1) / 400)
        distance = torch.rand(len(pictures), 1, 1, 1, generator=self.generator).to(self.device)
        return (pictures + self.run.attack * ramp * distance * gradient / norm).detach()

    def step(self) -> dict[str, float]:
        """Train on one batch."""
        pictures, made, tokens, concept = self.batch()
        names, column = self._some_names(concept)
        wanted = Wanted(self._words(tokens), self._words(names), column, concept)
        if self.at >= self.run.attack_from:
            chosen = torch.randperm(len(pictures), generator=self.generator)
            chosen = chosen[: round(self.run.attacked * len(pictures))].to(self.device)
            fixed = Wanted(wanted.captions[chosen].detach(), wanted.names.detach(), column[chosen], concept[chosen])
            pictures = pictures.index_copy(0, chosen, self.attack(pictures[chosen], fixed))
        loss, logits = self.losses(pictures, wanted, made)
        loss.backward()
        norm = self.optimiser.step(schedule(self.at, self.run.steps))
        # The temperature follows a schedule instead of a gradient: small batches make a learned one drift.
        self.scale.fill_(2.7 + 1.3 * min(1.0, self.at / (0.5 * self.run.steps)))
        self.at += 1
        right = (logits.argmax(1) == concept).float().mean().item()
        return {"loss": loss.item(), "right": right, "norm": norm}

    def _words(self, tokens: torch.Tensor) -> torch.Tensor:
        return F.normalize(encode_text(self.clip, tokens).float(), dim=-1)

    def save(self) -> None:
        """Write a checkpoint and the perceptor's file."""
        state = {"clip": self.clip.state_dict(), "head": self.head.state_dict(), "at": self.at,
                 "optimiser": self.optimiser.state_dict(), "generator": self.generator.get_state()}  # fmt: skip
        keep(state, self.work, "perceptor")
        export(self.work / "embedded-perceptor.safetensors", self)

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        state = kept(self.work, "perceptor")
        if state is not None:
            self.clip.load_state_dict(state["clip"])
            self.head.load_state_dict(state["head"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.at = state["at"]
            self.generator.set_state(state["generator"].cpu())
            self.rng = random.Random(self.run.seed + self.at)


def export(path: Path, trainer: PerceptorTrainer) -> None:
    """Write the perceptor's file in CLIP's own names."""
    trainer.clip.logit_scale.data = trainer.scale.clone()
    tensors = dict(trainer.clip.state_dict())
    save_clip(path, tensors, trainer.shape)


def make_pool(run: PerceptorRun, work: Path, count: int, wrong: float = 0.25, noise: float = 0.5) -> None:
    """Decode some of the prior's codes at the tower's size: a third as they are, a third with random codes among them,
    a third with noise on the latents, as the loop's strides leave them.
    """
    packed = np.load(min(work.glob("codes-*.npz")))
    codec = load_codec(work / "embedded-generator.safetensors")
    generator = torch.Generator().manual_seed(run.seed)
    codes = torch.from_numpy(packed["codes"][:count].astype(np.int64))
    kind = torch.arange(len(codes)) % 3
    share = wrong * torch.rand(len(codes), 1, 1, generator=generator) * (kind == 1)[:, None, None]
    random_codes = torch.randint(0, codec.shape.n_embed, codes.shape, generator=generator)
    codes = torch.where(torch.rand(codes.shape, generator=generator) < share, random_codes, codes)
    strength = noise * torch.rand(len(codes), 1, 1, 1, generator=generator) * (kind == 2)[:, None, None, None]
    pictures = []
    with torch.no_grad():
        for part, much in zip(codes.split(16), strength.split(16), strict=True):
            z = codec.lookup(part)
            z = z + much * codec.codebook.std() * torch.randn(z.shape, generator=generator)
            made = codec.decode(codec.lookup(codec.nearest(z))) / 2 + 0.5
            small = F.interpolate(made.clamp(0, 1), (run.size, run.size), mode="area")
            pictures.append((small * 255).round().byte())
    np.savez(work / "pool.npz", pictures=torch.cat(pictures).numpy(), rows=packed["rows"][: len(codes)])


def main() -> None:
    """Train from the command line."""
    parser = command_line(__doc__, RUNS)
    parser.add_argument("--pool", type=int, default=0, help="only decode so many pictures for later training")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    run = RUNS[arguments.config]
    if arguments.pool:
        make_pool(run, arguments.work, arguments.pool)
        return
    trainer = PerceptorTrainer(run, arguments.data, arguments.work, arguments.device)
    train(trainer, run.steps, arguments.minutes, tell_every=20, save_every=500, look_again=trainer.read_pictures)


if __name__ == "__main__":
    main()
