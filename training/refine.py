"""Train the generator's decoder further on fixed codes: `python -m training.refine --data FILE --work FOLDER`.

The prior learns codes, so once it has begun, encoder and codebook must stay as they are; the decoder may still get
sharper. It sees the prior's own kind of scenes, and its edges weigh more.
"""

import argparse
import time
from pathlib import Path

import torch

from training.codec import rebuild_loss
from training.networks import load_codec, save_codec
from training.optim import MasterAdamW, schedule
from training.prior import MIX, one_style, style_vendors
from training.scenes import Mix, Painter, Sampler, SpriteBank, sheet


def refine(data: Path, work: Path, steps: int, batch: int, lr: float, edge: float, device: str = "cpu") -> None:
    """Train the decoder and write `refined.safetensors`, every 100 steps; goes on from the file where it exists."""
    bank = SpriteBank.read(data)
    out = work / "refined.safetensors"
    codec = load_codec(out if out.exists() else work / "embedded-generator.safetensors").to(device)
    painter = Painter(bank, codec.shape.resolution, device)
    generator = torch.Generator().manual_seed(int(time.time()) if out.exists() else 0)
    aligned = Sampler(bank, MIX, style_vendors(bank.table))
    loose = Sampler(bank, Mix(loose=True, tinted=0.2))
    codec.requires_grad_(False)
    trained = [*codec.decoder.parameters(), *codec.post_quant_conv.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimiser = MasterAdamW(trained, lr, betas=(0.9, 0.97))
    started, total = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        half = batch - batch // 4
        scenes = (one_style(aligned.draw(half, generator), bank, aligned), loose.draw(batch // 4, generator))
        real = 2 * torch.cat([painter.draw(part) for part in scenes]) - 1
        with torch.no_grad():
            words = codec.lookup(codec.nearest(codec.encode(real)))
        made = codec.decode(words)
        loss = rebuild_loss(made, real, edge)
        loss.backward()
        optimiser.step(schedule(step, steps, warmup=20))
        total += float(-10 * torch.log10(((made.detach().clamp(-1, 1) - real) / 2).square().mean()))
        if step % 25 == 0:
            print(f"{step} {time.monotonic() - started:.0f}s psnr {total / 25:.2f}", flush=True)
            total = 0.0
        if step % 100 == 0 or step == steps:
            save_codec(out, codec)
            sheet(torch.cat([real, made.detach()]).cpu() / 2 + 0.5, batch).save(work / "refined.png")


def main() -> None:
    """Refine from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--edge", type=float, default=1.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    refine(
        arguments.data, arguments.work, arguments.steps, arguments.batch, arguments.lr, arguments.edge, arguments.device
    )


if __name__ == "__main__":
    main()
