"""A judge for the evaluation only: a classifier of another architecture, trained on vendors the pair never sees.

`python -m training.judge --data FILE --work FOLDER` trains it; its weights stay out of the repository, because two of
the sets it learns from are share-alike.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from training.optim import MasterAdamW, schedule
from training.scenes import Mix, Painter, Sampler, SpriteBank


@dataclass(frozen=True)
class JudgeRun:
    """Everything that decides a run of the judge."""

    steps: int = 1000
    batch: int = 64
    lr: float = 1e-3
    size: int = 64
    seed: int = 1


RUNS = {"cpu": JudgeRun(), "gpu": JudgeRun(steps=8000, batch=512), "smoke": JudgeRun(steps=2, batch=4)}


def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a plain convolution, batch norm and leaky ReLU: no residuals, no attention, unlike the perceptor."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1, inplace=True)
    )


class Judge(nn.Module):
    """Name the thing in a picture."""

    def __init__(self, concepts: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            block(3, 32, 2), block(32, 64, 1), block(64, 96, 2), block(96, 128, 1), block(128, 192, 2),
            block(192, 256, 1), block(256, 384, 2), block(384, 384, 1),
        )  # fmt: skip
        self.head = nn.Linear(2 * 384, concepts)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map pictures in 0..1 to logits; any size is first brought to 64 pixels."""
        dtype = self.head.weight.dtype
        x = F.interpolate(pictures.float(), (64, 64), mode="area") if pictures.shape[-1] != 64 else pictures
        x = (2 * x - 1).to(dtype).contiguous(memory_format=torch.channels_last)
        x = self.features(x)
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        return self.head(F.dropout(x, 0.2, self.training)).float()


def vary(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blur, darken and mix up colours: what the judge must not care about."""
    batch = len(pictures)
    small = F.interpolate(pictures, scale_factor=0.5, mode="area")
    soft = F.interpolate(small, pictures.shape[-2:], mode="bilinear", align_corners=False)
    amount = torch.rand(batch, 1, 1, 1, generator=generator)
    pictures = pictures + amount * (soft - pictures)
    gain = 1 + 0.12 * torch.randn(batch, 3, 1, 1, generator=generator)
    return (pictures * gain + 0.04 * torch.randn(pictures.shape, generator=generator)).clamp(0, 1)


def train(run: JudgeRun, data: Path, out: Path) -> None:
    """Train on single things on all grounds and save the weights."""
    bank = SpriteBank.read(data, ("held-out", "judge"))
    torch.manual_seed(run.seed)
    generator = torch.Generator().manual_seed(run.seed)
    sampler = Sampler(bank, Mix(pair=0.0, copies=0.0, tinted=0.12))
    painter = Painter(bank, run.size)
    judge = Judge(len(bank.table["concepts"])).to(torch.bfloat16)
    optimiser = MasterAdamW(judge.parameters(), run.lr, decay=0.05)
    started = time.monotonic()
    for step in range(run.steps):
        scenes = sampler.draw(run.batch, generator)
        scenes.place[..., :2] += 0.03 * torch.randn(scenes.place[..., :2].shape, generator=generator)
        scenes.flip = torch.where(torch.rand(scenes.flip.shape, generator=generator) < 0.3, -1.0, 1.0)
        pictures = painter.draw(scenes, 0.05 * torch.randn(run.batch, 3, generator=generator))
        logits = judge(vary(pictures, generator))
        target = bank.concept[scenes.sprite[:, 0]]
        F.cross_entropy(logits, target, label_smoothing=0.05).backward()
        optimiser.step(schedule(step, run.steps))
        if step % 50 == 0:
            right = (logits.argmax(1) == target).float().mean().item()
            print(f"{step} {time.monotonic() - started:.0f}s right {right:.3f}", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: tensor.float() for name, tensor in judge.state_dict().items()}, out)


def load_judge(path: Path) -> Judge:
    """Read a trained judge, in float32, ready to judge."""
    state = torch.load(path, weights_only=True)
    judge = Judge(len(state["head.bias"]))
    judge.load_state_dict(state)
    return judge.eval()


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--config", choices=RUNS, default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(RUNS[arguments.config], arguments.data, arguments.work / "judge.pt")


if __name__ == "__main__":
    main()
