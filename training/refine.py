"""Sharpen the generator, late: `python -m training.refine --data FILE --work FOLDER [--config cpu|gpu|smoke]`.

The prior learns codes, so once it has begun, encoder and codebook must stay as they are; the decoder may still get
sharper. Beside colours and edges it now has to please the first layers of the perceptor `teacher.safetensors` and,
later, a patch adversary (Esser et al. 2021), and to see through some noise on the latents. With `photographs.npz` in
the work folder (`training.large`) a fifth of the pictures are crops of these. Writes `refined.safetensors`; look at
`refined.png` first.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from training.codec import psnr, rebuild_loss
from training.critics import Features, adversary, apart
from training.networks import load_codec, read_weights, save_weights
from training.optim import MasterAdamW, schedule
from training.photographs import Photographs
from training.prior_codes import one_style, row_table
from training.prior_run import MIX, artist_vendors
from training.scenes import Mix, Painter, Sampler, SpriteBank, sheet
from training.stages import Figures, Trainer, command_line, keep, kept, repeatable, train


@dataclass(frozen=True)
class RefineRun:
    """Everything that decides a run of the decoder's refinement."""

    steps: int = 400
    batch: int = 8
    lr: float = 3e-4
    edge: float = 1.0
    features: float = 0.5
    adversary: float = 0.25  # of the strength of everything else
    noise: float = 0.4  # on the latents, in the codebook's deviations
    seed: int = 0


RUNS = {
    "cpu": RefineRun(),
    "gpu": RefineRun(steps=6000, batch=64),
    "smoke": RefineRun(steps=4, batch=2),
}


class RefineTrainer(Trainer):
    """One run: `step()` trains once and returns its figures."""

    def __init__(self, run: RefineRun, data: Path, work: Path, device: str = "cpu") -> None:
        super().__init__(run.steps)
        self.run, self.work, self.device = run, work, device
        repeatable(run.seed, device)
        self.generator = torch.Generator().manual_seed(run.seed)
        self.bank = SpriteBank.read(data)
        self.codec = load_codec(work / "embedded-generator.safetensors").to(device)
        self.painter = Painter(self.bank, self.codec.shape.resolution, device)
        self.table = row_table(self.bank)
        mix = Mix(**{**MIX.__dict__, "drawn": 0.3})
        self.aligned = Sampler(self.bank, mix, artist_vendors(self.bank.table))
        self.loose = Sampler(self.bank, Mix(loose=True, tinted=0.2))
        photographs = work / "photographs.npz"
        self.photographs = Photographs(photographs, device) if photographs.exists() else None
        self.features = Features(work / "teacher.safetensors").to(device)
        self.spread = float(self.codec.codebook.std())
        self.codec.requires_grad_(False)
        trained = [*self.codec.decoder.parameters(), *self.codec.post_quant_conv.parameters()]
        for parameter in trained:
            parameter.requires_grad_(True)
        self.optimiser = MasterAdamW(trained, run.lr, betas=(0.9, 0.97))
        self.adversary = adversary().to(device, torch.bfloat16)
        self.rival = MasterAdamW(self.adversary.parameters(), run.lr, betas=(0.5, 0.9))

    def pictures(self) -> torch.Tensor:
        """Compose the next batch, in -1..1."""
        few = self.run.batch // 4
        scenes = one_style(self.aligned.draw(self.run.batch - few, self.generator), self.bank, self.table)
        parts = [scenes, self.loose.draw(few, self.generator)] if few else [scenes]
        pictures = torch.cat([self.painter.draw(part) for part in parts])
        if self.photographs is not None and few:
            crops = self.photographs.crops(few, self.codec.shape.resolution, self.generator)
            pictures = torch.cat([pictures, crops])
        return 2 * pictures - 1

    def step(self) -> Figures:
        """Train on one batch."""
        real = self.pictures()
        with torch.no_grad():
            z = self.codec.encode(real)
            words = self.codec.lookup(self.codec.nearest(z + self._noise(z)))
        made = self.codec.decode(words)
        seen = made.detach().requires_grad_()
        loss = rebuild_loss(seen, real, self.run.edge)
        loss = loss + self.run.features * apart(self.features, seen, real)
        (pull,) = torch.autograd.grad(loss, seen)
        if self.progress >= 0.4:
            (push,) = torch.autograd.grad(-self._real(seen).mean(), seen)
            pull = pull + self.run.adversary * pull.norm() / push.norm().clamp(min=1e-12) * push
        made.backward(pull)
        self.optimiser.step(schedule(self.at, self.progress, warmup=20))
        rivals = self._train_adversary(real, made.detach()) if self.progress >= 0.2 else 0.0
        self.at += 1
        return {"loss": loss.detach(), "psnr": psnr(made, real), "adversary": rivals}

    def _noise(self, z: torch.Tensor) -> torch.Tensor:
        """Shake the latents of half of the pictures, as the prior's errors and the loop's steps do."""
        much = self.run.noise * torch.rand(len(z), 1, 1, 1, generator=self.generator)
        much = much * (torch.arange(len(z)) % 2)[:, None, None, None] * self.spread
        return much.to(z.device) * torch.randn(z.shape, generator=self.generator).to(z.device)

    def _real(self, pictures: torch.Tensor) -> torch.Tensor:
        shown = pictures.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        return self.adversary(shown).float()

    def _train_adversary(self, real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        loss = F.relu(1 - self._real(real)).mean() + F.relu(1 + self._real(made)).mean()
        loss.backward()
        self.rival.step()
        return loss.detach()

    def save(self) -> None:
        """Write a checkpoint, the sharpened generator, and a sheet of originals over reconstructions."""
        state = {"codec": self.codec.state_dict(), "optimiser": self.optimiser.state_dict(), "at": self.at,
                 "adversary": self.adversary.state_dict(), "rival": self.rival.state_dict(),
                 "generator": self.generator.get_state()}  # fmt: skip
        keep(state, self.work, "refine")
        self._export(self.work / "refined.safetensors")
        with torch.no_grad():
            real = self.pictures()
            made = self.codec.decode(self.codec.lookup(self.codec.nearest(self.codec.encode(real))))
        sheet(torch.cat([real, made]).cpu() / 2 + 0.5, len(real)).save(self.work / "refined.png")

    def _export(self, path: Path) -> None:
        """Write the generator's file: all but the decoder exactly as it was."""
        tensors, config = read_weights(self.work / "embedded-generator.safetensors")
        decoder = ("decoder.", "post_quant_conv.")
        tensors |= {name: t for name, t in self.codec.state_dict().items() if name.startswith(decoder)}
        save_weights(path, tensors, config)

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        state = kept(self.work, "refine")
        if state is not None:
            self.codec.load_state_dict(state["codec"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.adversary.load_state_dict(state["adversary"])
            self.rival.load_state_dict(state["rival"])
            self.at = state["at"]
            self.generator.set_state(state["generator"].cpu())


def main() -> None:
    """Refine from the command line."""
    arguments = command_line(__doc__, RUNS).parse_args()
    torch.set_num_threads(arguments.threads)
    trainer = RefineTrainer(RUNS[arguments.config], arguments.data, arguments.work, arguments.device)
    train(trainer, arguments.minutes, arguments.finish, report_every=20, save_every=300)


if __name__ == "__main__":
    main()
