"""Train the generator: `python -m training.codec --data FILE --work FOLDER [--config cpu|gpu|smoke]`.

Where a perceptor of earlier training lies in the work folder as `teacher.safetensors`, reconstructions have to please
its first layers too, so that codes say what matters to it: an eye sooner than a shade.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from training.critics import Features, apart
from training.networks import Codec, CodecShape, save_codec
from training.optim import MasterAdamW, schedule
from training.scenes import Mix, Painter, Sampler, SpriteBank, sheet
from training.stages import Figures, Trainer, command_line, keep, kept, repeatable, train


@dataclass(frozen=True)
class CodecRun:
    """Everything that decides a run of the generator."""

    shape: CodecShape = field(default_factory=CodecShape)
    steps: int = 760
    batch: int = 8
    lr: float = 7e-4
    plain_steps: int = 150  # an ordinary autoencoder first, so that the codebook can be seeded with what it says
    restart_every: int = 50
    book_decay: float = 0.98
    commit: float = 0.25
    edge: float = 0.5
    features: float = 0.3  # of the teacher's, where there is one
    size: int = 128
    seed: int = 0


RUNS = {
    "cpu": CodecRun(),
    "gpu": CodecRun(
        shape=CodecShape(ch_mult=(1, 1, 2, 3), num_res_blocks=1, n_embed=4096), steps=16_000, batch=64, lr=6e-4,
        plain_steps=250,
    ),
    "smoke": CodecRun(
        shape=CodecShape(ch_mult=(1, 1), z_channels=32, embed_dim=8, n_embed=32, resolution=32),
        steps=6, batch=2, plain_steps=2, restart_every=2, size=32,
    ),
}  # fmt: skip


class Codebook:
    """A codebook that follows the mean of what it is used for, and re-seeds codes nobody uses."""

    def __init__(self, codec: Codec, decay: float) -> None:
        self.codec, self.decay = codec, decay
        self.weight = codec.quantize.embedding.weight
        self.weight.requires_grad_(False)
        self.count = torch.ones(len(self.weight), device=self.weight.device)
        self.total = self.weight.detach().float().clone()

    def seed(self, vectors: torch.Tensor, generator: torch.Generator, rounds: int = 12) -> None:
        """Run k-means from random vectors."""
        pick = torch.randperm(len(vectors), generator=generator)[: len(self.weight)].to(vectors.device)
        centres = vectors[pick].clone()
        for _ in range(rounds):
            nearest = torch.cat([(centres.square().sum(1) - 2 * v @ centres.T).argmin(1) for v in vectors.split(8192)])
            count = torch.bincount(nearest, minlength=len(centres)).float()
            total = torch.zeros_like(centres).index_add_(0, nearest, vectors)
            centres = torch.where(count[:, None] > 0, total / count[:, None].clamp(min=1), centres)
        self.count, self.total = torch.ones_like(self.count), centres.clone()
        self._write(centres)

    def update(self, vectors: torch.Tensor, codes: torch.Tensor) -> None:
        """Move each codeword towards the mean of the vectors that chose it."""
        count = torch.bincount(codes, minlength=len(self.count)).float()
        total = torch.zeros_like(self.total).index_add_(0, codes, vectors)
        self.count = self.decay * self.count + (1 - self.decay) * count
        self.total = self.decay * self.total + (1 - self.decay) * total
        self._write(self.total / self.count[:, None].clamp(min=1e-4))

    def restart(self, vectors: torch.Tensor, generator: torch.Generator) -> None:
        """Give unused codes a random current vector."""
        dead = (self.count < 0.05).nonzero()[:, 0][: len(vectors)]
        pick = torch.randperm(len(vectors), generator=generator)[: len(dead)].to(dead.device)
        self.count[dead] = 0.5
        self.total[dead] = 0.5 * vectors[pick]
        self._write(self.total / self.count[:, None].clamp(min=1e-4))

    def _write(self, centres: torch.Tensor) -> None:
        with torch.no_grad():
            self.weight.copy_(centres)


def rebuild_loss(made: torch.Tensor, real: torch.Tensor, edge: float) -> torch.Tensor:
    """Return absolute error of colours and of their differences between neighbours, which keeps edges sharp."""
    error = made - real
    slopes = (error[..., 1:, :] - error[..., :-1, :]).abs().mean() + (error[..., 1:] - error[..., :-1]).abs().mean()
    return error.abs().mean() + error.square().mean() + edge * slopes


def psnr(made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Return the peak signal-to-noise ratio of a batch of pictures in -1..1, in dB."""
    return -10 * torch.log10(((made.detach().clamp(-1, 1) - real) / 2).square().mean())


class CodecTrainer(Trainer):
    """One run: `step()` trains once and returns its figures; `save` and `resume` carry it over a restart."""

    def __init__(self, run: CodecRun, data: Path, work: Path, device: str = "cpu") -> None:
        super().__init__(run.steps)
        self.run, self.work, self.device = run, work, device
        repeatable(run.seed, device)
        self.generator = torch.Generator().manual_seed(run.seed)
        bank = SpriteBank.read(data)
        self.sampler = Sampler(bank, Mix(loose=True, pair=0.12, copies=0.1, tinted=0.2))
        self.painter = Painter(bank, run.size, device)
        self.codec = Codec(run.shape).to(device, torch.bfloat16)
        self.codec.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.codec.quantize.embedding.float()
        self.book = Codebook(self.codec, run.book_decay)
        self.optimiser = MasterAdamW(self.codec.parameters(), run.lr, betas=(0.9, 0.97))
        teacher = work / "teacher.safetensors"
        self.teacher = Features(teacher).to(device) if teacher.exists() else None
        self.seen: list[torch.Tensor] = []

    def pictures(self) -> torch.Tensor:
        """Compose the next batch, in -1..1."""
        shift = 0.05 * torch.randn(self.run.batch, 3, generator=self.generator)
        scenes = self.sampler.draw(self.run.batch, self.generator)
        return 2 * self.painter.draw(scenes, shift.to(self.device)) - 1

    def step(self) -> Figures:
        """Train on one batch."""
        real = self.pictures()
        z = self.codec.encode(real)
        quantised, commitment = self._through_codes(z)
        made = self.codec.decode(quantised)
        loss = rebuild_loss(made, real, self.run.edge)
        if self.teacher is not None:
            loss = loss + self.run.features * apart(self.teacher, made, real)
        (loss + self.run.commit * commitment).backward()
        norm = self.optimiser.step(schedule(self.at, self.progress))
        self.at += 1
        used = (self.book.count > 0.05).float().mean()
        return {
            "loss": loss.detach(),
            "psnr": psnr(made, real),
            "commit": commitment.detach(),
            "norm": norm,
            "used": used,
        }

    def _through_codes(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the latents as the codebook has them, and how far they were from it; at first, as they are."""
        flat = z.detach().permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        if self.at < self.run.plain_steps:
            self.seen = [*self.seen[-20:], flat]
            return z, 1e-3 * z.square().mean()
        if self.at == self.run.plain_steps:
            self.book.seed(torch.cat(self.seen), self.generator)
            self.seen = []
        codes = self.codec.nearest(z.detach())
        words = self.codec.lookup(codes)
        self.book.update(flat, codes.flatten())
        if self.at % self.run.restart_every == 0 and self.progress < 0.8:
            self.book.restart(flat, self.generator)
        return z + (words - z).detach(), F.mse_loss(z, words)

    def save(self) -> None:
        """Write a checkpoint, the weights and a sheet of originals over reconstructions."""
        state: dict[str, Any] = {
            "codec": self.codec.state_dict(), "optimiser": self.optimiser.state_dict(), "at": self.at,
            "count": self.book.count, "total": self.book.total, "generator": self.generator.get_state(),
        }  # fmt: skip
        keep(state, self.work, "codec")
        save_codec(self.work / "embedded-generator.safetensors", self.codec)
        with torch.no_grad():
            real = self.pictures()[:12].cpu()
            made = self.codec.decode(self.codec.lookup(self.codec.nearest(self.codec.encode(real.to(self.device)))))
        both = torch.cat([real, made.cpu()]) / 2 + 0.5
        sheet(both, len(real)).save(self.work / "codec.png")

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        state = kept(self.work, "codec")
        if state is None:
            return
        self.codec.load_state_dict(state["codec"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.book.count, self.book.total, self.at = state["count"], state["total"], state["at"]
        self.generator.set_state(state["generator"].cpu())


def main() -> None:
    """Train from the command line."""
    arguments = command_line(__doc__, RUNS).parse_args()
    torch.set_num_threads(arguments.threads)
    trainer = CodecTrainer(RUNS[arguments.config], arguments.data, arguments.work, arguments.device)
    train(trainer, arguments.minutes, arguments.finish, report_every=25, save_every=500)


if __name__ == "__main__":
    main()
