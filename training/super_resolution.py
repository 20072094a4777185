"""Train the upscaler: `python -m training.super_resolution --data FILE --work FOLDER [--config cpu|gpu|smoke]`.

`--data` is `large.npz` of `training.large`, beside which lies `photographs.npz`; the work folder holds the generator,
since half of the small pictures are its own: what comes out of the loop is no clean picture made small. The loss is
colours and their slopes alone, without an adversary: nothing may be invented.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from engine.upscaler import FACTOR, RRDBNet
from training.codec import psnr, rebuild_loss
from training.networks import load_codec, read_weights, save_weights
from training.optim import MasterAdamW, schedule
from training.photographs import Photographs
from training.scenes import Mix, Painter, Sampler, SpriteBank
from training.stages import Figures, Trainer, command_line, keep, kept, repeatable, train

MIX = Mix(loose=True, pair=0.1, copies=0.05, tinted=0.2, ground_shares=(0.4, 0.15, 0.25, 0.2))


@dataclass(frozen=True)
class SuperResolutionRun:
    """Everything that decides a run of the upscaler."""

    net: dict[str, int] = field(default_factory=lambda: {"features": 32, "blocks": 4, "growth": 16})
    steps: int = 900
    batch: int = 4
    crop: int = 48  # of the small picture
    crops: int = 2  # of each picture
    photographs: float = 0.3  # share of the crops
    rebuilt: float = 0.6  # share of the icons' small pictures that come out of the generator
    lr: float = 8e-4
    edge: float = 1.0
    side: int = 512
    seed: int = 0


RUNS = {
    "cpu": SuperResolutionRun(),
    "gpu": SuperResolutionRun(steps=20_000, batch=16, crop=64, crops=2, lr=6e-4),
    "smoke": SuperResolutionRun(
        net={"features": 8, "blocks": 1, "growth": 4}, steps=3, batch=2, crop=8, crops=1, side=128
    ),
}


class SuperResolutionTrainer(Trainer):
    """One run: `step()` trains once and returns its figures."""

    def __init__(self, run: SuperResolutionRun, data: Path, work: Path, device: str = "cpu") -> None:
        super().__init__(run.steps)
        self.run, self.work, self.device = run, work, device
        repeatable(run.seed, device)
        self.generator = torch.Generator().manual_seed(run.seed)
        bank = SpriteBank.read(data)
        self.sampler, self.painter = Sampler(bank, MIX), Painter(bank, run.side, device)
        self.photographs = Photographs(data.with_name("photographs.npz"), device)
        self.codec = load_codec(work / "embedded-generator.safetensors").to(device).requires_grad_(False)
        self.net = _started(RRDBNet(**run.net)).to(device, torch.bfloat16)
        self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.optimiser = MasterAdamW(self.net.parameters(), run.lr, betas=(0.9, 0.98), decay=0.0)

    @torch.no_grad()
    def pairs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return small crops and the large ones that they should become, in 0..1."""
        run, generator = self.run, self.generator
        large = self.painter.draw(self.sampler.draw(run.batch, generator))
        small = F.interpolate(large, scale_factor=1 / FACTOR, mode="area")
        rebuilt = (torch.rand(run.batch, generator=generator) < run.rebuilt).nonzero()[:, 0].to(self.device)
        if len(rebuilt):
            small[rebuilt] = self._rebuilt(small[rebuilt])
        few, fewer = _cut(small, large, run.crop, run.crops, generator)
        count = max(1, round(len(few) * run.photographs / (1 - run.photographs)))
        scenes = self.photographs.crops(count, FACTOR * run.crop, generator)
        shrunk = F.interpolate(scenes, scale_factor=1 / FACTOR, mode="area")
        return self._spoilt(torch.cat([few, shrunk])), torch.cat([fewer, scenes])

    def _rebuilt(self, small: torch.Tensor) -> torch.Tensor:
        """Return pictures as the generator shows them, some with a little noise on the latents."""
        z = self.codec.encode(2 * small - 1)
        much = 0.3 * torch.rand(len(z), 1, 1, 1, generator=self.generator) * float(self.codec.codebook.std())
        z = z + (much * torch.randn(z.shape, generator=self.generator)).to(z.device)
        return (self.codec.decode(self.codec.lookup(self.codec.nearest(z))) / 2 + 0.5).clamp(0, 1)

    def _spoilt(self, small: torch.Tensor) -> torch.Tensor:
        """Blur some pictures a little, add faint noise to some."""
        chance = torch.rand(2, len(small), 1, 1, 1, generator=self.generator).to(small.device)
        soft = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)
        small = torch.where(chance[0] < 0.25, torch.lerp(small, soft, 0.5), small)
        noise = torch.randn(small.shape, generator=self.generator).to(small.device)
        return (small + 0.015 * (chance[1] - 0.6).clamp(min=0) / 0.4 * noise).clamp(0, 1)

    def step(self) -> Figures:
        """Train on one batch."""
        small, large = self.pairs()
        made = self.net(small.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)).float()
        loss = rebuild_loss(2 * made - 1, 2 * large - 1, self.run.edge)
        loss.backward()
        norm = self.optimiser.step(schedule(self.at, self.progress, warmup=50))
        self.at += 1
        return {"loss": loss.detach(), "psnr": psnr(2 * made - 1, 2 * large - 1), "norm": norm}

    def save(self) -> None:
        """Write a checkpoint and the upscaler's file."""
        state = {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict(), "at": self.at,
                 "generator": self.generator.get_state()}  # fmt: skip
        keep(state, self.work, "upscaler")
        tensors: dict[str, Any] = dict(zip(self.net.state_dict(), self.optimiser.masters, strict=True))
        save_weights(self.work / "embedded-upscaler.safetensors", tensors, {"kind": "rrdb", "factor": FACTOR})

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one; else from an upscaler's file."""
        state, file = kept(self.work, "upscaler"), self.work / "upscaler-before.safetensors"
        if state is not None:
            self.net.load_state_dict(state["net"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.at = state["at"]
            self.generator.set_state(state["generator"].cpu())
        elif file.exists():
            self.net.load_state_dict(read_weights(file)[0])
            with torch.no_grad():
                for master, parameter in zip(self.optimiser.masters, self.net.parameters(), strict=True):
                    master.copy_(parameter)


def _started(net: RRDBNet) -> RRDBNet:
    """Begin with small branches, as ESRGAN does: deep networks without norms learn sooner so."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".rdb" in name:
                parameter.mul_(0.3)
    return net


def _cut(
    small: torch.Tensor, large: torch.Tensor, side: int, count: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `count` squares of each small picture, and the same places of the large ones."""
    few, fewer = [], []
    for i in range(len(small)):
        for _ in range(count):
            y, x = (int(torch.randint(small.shape[-1] - side + 1, (1,), generator=generator)) for _ in range(2))
            few.append(small[i, :, y : y + side, x : x + side])
            there = slice(FACTOR * y, FACTOR * (y + side)), slice(FACTOR * x, FACTOR * (x + side))
            fewer.append(large[i, :, there[0], there[1]])
    return torch.stack(few), torch.stack(fewer)


def main() -> None:
    """Train from the command line."""
    arguments = command_line(__doc__, RUNS).parse_args()
    torch.set_num_threads(arguments.threads)
    trainer = SuperResolutionTrainer(RUNS[arguments.config], arguments.data, arguments.work, arguments.device)
    train(trainer, arguments.minutes, arguments.finish, report_every=20, save_every=250)


if __name__ == "__main__":
    main()
