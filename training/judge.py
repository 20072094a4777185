"""A judge for the evaluation only, with other eyes and other teachers than the pair has.

`python -m training.judge --data FILE --work FOLDER [--config cpu|gpu|smoke]` teaches a network that knew photographs
(`judge_net.py`) to name icons by vendors that the three painting networks never see, and fits gradient histograms
(`gradients.py`) as its second opinion. Its weights stay out of the repository: some of these sets are share-alike.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from training.gradients import Gradients, fit
from training.judge_net import FEATURES, Lite, published_weights
from training.judge_pictures import Bender
from training.optim import MasterAdamW, schedule
from training.scenes import Mix, Painter, Sampler, SpriteBank
from training.stages import Figures, Trainer, command_line, keep, kept, repeatable, train

ROLES = ("held-out", "judge")  # vendors that no painting network learned from
TRUST = 0.3  # in the gradients' scores, beside the network's log-probabilities


@dataclass(frozen=True)
class JudgeRun:
    """Everything that decides a run of the judge."""

    sides: tuple[int, int] = (96, 128)  # of its pictures, at first and at last
    wider_from: float = 0.6  # of the steps
    steps: int = 1500
    batch: int = 48
    lr: float = 4e-4
    frozen: int = 3  # blocks that stay as published, and with them all depthwise convolutions; 0 for none
    smoothing: float = 0.1  # of the labels
    mixed: float = 0.3  # share of batches whose pictures are blended in pairs (mixup, Zhang et al. 2018)
    rounds: int = 6  # of the gradients' pictures
    published: bool = True
    seed: int = 0


RUNS = {
    "cpu": JudgeRun(),
    "gpu": JudgeRun(sides=(128, 160), steps=6000, batch=256, lr=8e-4, frozen=0),
    "smoke": JudgeRun(sides=(32, 32), steps=50, batch=16, lr=1e-3, rounds=2, frozen=1, published=False),
}


class Judge:
    """Name the thing in pictures: what the network sees in several views, and the gradients' opinion."""

    def __init__(self, net: Lite, head: nn.Linear, gradients: Gradients, sides: tuple[int, ...]) -> None:
        self.net, self.head, self.gradients = net.eval(), head.eval(), gradients
        self.sides = sides

    @torch.no_grad()
    def seen(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the network's log-probabilities (batch, concepts), the mean of its views."""
        views = [shown(pictures, side) for side in self.sides]
        views += [view.flip(3) for view in views]
        return torch.stack([self.head(self.net(view)).float().log_softmax(1) for view in views]).mean(0)

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map pictures (batch, 3, h, w) in 0..1 to a score for each concept."""
        felt = self.gradients(pictures)
        felt = (felt - felt.mean(1, keepdim=True)) / felt.std(1, keepdim=True)
        return self.seen(pictures) + TRUST * felt


def shown(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """Return pictures at another size."""
    return F.interpolate(pictures.float(), (side, side), mode="bilinear", antialias=True)


class JudgeTrainer(Trainer):
    """One run: `step()` trains once and returns its figures."""

    def __init__(self, run: JudgeRun, data: Path, work: Path, device: str = "cpu", without: str = "") -> None:
        super().__init__(run.steps)
        self.run, self.work, self.device = run, work, device
        repeatable(run.seed, device)
        self.generator = torch.Generator().manual_seed(run.seed)
        self.bank = some_of(SpriteBank.read(data, ROLES), without, leave=True)
        self.bender = Bender(self.bank, device)
        count = torch.bincount(self.bank.concept, minlength=len(self.bank.table["concepts"]))
        self.shares = 1 / count[self.bank.concept].sqrt()  # things that few drew are not left behind
        self.net, self.head = untrained(len(count))
        if run.published:
            self.net.load_state_dict(published_weights())
        for network in (self.net, self.head):
            network.to(device, torch.bfloat16)
        self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.net.freeze(run.frozen)
        parameters = [*self.net.parameters(), *self.head.parameters()]
        self.optimiser = MasterAdamW(parameters, run.lr, betas=(0.9, 0.99), decay=0.05)
        self.gradients: Gradients | None = None

    def step(self) -> Figures:
        """Train on one batch."""
        run = self.run
        side = run.sides[self.progress >= run.wider_from]
        rows = torch.multinomial(self.shares, run.batch, replacement=True, generator=self.generator)
        pictures = self.bender.draw(rows, side, self.generator)
        target = F.one_hot(self.bank.concept[rows], self.head.out_features).float().to(self.device)
        if torch.rand(1, generator=self.generator) < run.mixed:
            share = 0.5 * torch.rand(run.batch, 1, generator=self.generator).to(self.device)
            pictures = torch.lerp(pictures, pictures.roll(1, 0), share[..., None, None])
            target = torch.lerp(target, target.roll(1, 0), share)
        logits = self.head(self.net(pictures)).float()
        loss = F.cross_entropy(logits, target, label_smoothing=run.smoothing)
        loss.backward()
        norm = self.optimiser.step(schedule(self.at, self.progress))
        self.at += 1
        right = (logits.argmax(1) == target.argmax(1)).float().mean()
        return {"loss": loss.detach(), "right": right, "norm": norm}

    def save(self) -> None:
        """Write a checkpoint and the judge."""
        self.gradients = self.gradients or fit(self.bank, self.run.rounds)
        state = {"net": self.net.state_dict(), "head": self.head.state_dict(), "gradients": vars(self.gradients)}
        extra = {"optimiser": self.optimiser.state_dict(), "generator": self.generator.get_state(), "at": self.at}
        keep({**state, **extra}, self.work, "judge")
        torch.save({**state, "sides": self.run.sides}, self.work / "judge.pt")

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        state = kept(self.work, "judge")
        if state is not None:
            self.net.load_state_dict(state["net"])
            self.head.load_state_dict(state["head"])
            self.gradients = Gradients(**state["gradients"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.generator.set_state(state["generator"].cpu())
            self.at = state["at"]


def untrained(concepts: int) -> tuple[Lite, nn.Linear]:
    """Return the judge's network and its last layer, which begins without an opinion."""
    head = nn.Linear(FEATURES, concepts)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return Lite(), head


def some_of(bank: SpriteBank, vendor: str, leave: bool) -> SpriteBank:
    """Return the bank without a vendor's icons (`leave`), or with these alone."""
    names = [one["vendor"] for one in bank.table["vendors"]]
    theirs = bank.vendor == (names.index(vendor) if vendor else -1)
    rows = theirs.logical_xor(torch.tensor(leave)).nonzero()[:, 0]
    return SpriteBank(bank.pixels[rows], bank.half[rows], bank.concept[rows], bank.vendor[rows], bank.table)


def load_judge(path: Path) -> Judge:
    """Read a trained judge."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    net, head = untrained(len(state["head"]["bias"]))
    for network, name in ((net, "net"), (head, "head")):
        network.to(torch.bfloat16).load_state_dict(state[name])
    net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Judge(net, head, Gradients(**state["gradients"]), tuple(state["sides"]))


def examine(judge: Judge, bank: SpriteBank, known: torch.Tensor, seed: int = 1) -> dict[str, float]:
    """Return how often the judge names a vendor's icons, of those that show one of the `known` concepts."""
    sampler = Sampler(bank, Mix(pair=0, copies=0, tinted=0, ground_shares=(1, 0, 0, 0)))
    scenes = sampler.draw(len(bank.pixels), torch.Generator().manual_seed(seed))
    scenes.sprite[:, 0] = torch.arange(len(bank.pixels))
    rows = torch.isin(bank.concept, known)
    scores = torch.cat([judge(part) for part in Painter(bank, 128).draw(scenes)[rows].split(64)])
    rank = (scores.argsort(1, descending=True) == bank.concept[rows, None]).float().argmax(1)
    return {
        "icons": float(len(rank)),
        "top1": (rank < 1).float().mean().item(),
        "top5": (rank < 5).float().mean().item(),
    }


def main() -> None:
    """Train from the command line."""
    parser = command_line(__doc__, RUNS)
    parser.add_argument("--without", default="", help="a vendor to leave out and to be examined on, for choosing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    trainer = JudgeTrainer(RUNS[arguments.config], arguments.data, arguments.work, arguments.device, arguments.without)
    train(trainer, arguments.minutes, arguments.finish, report_every=50, save_every=250)
    if arguments.without:
        theirs = some_of(SpriteBank.read(arguments.data, ROLES), arguments.without, leave=False)
        print(examine(load_judge(arguments.work / "judge.pt"), theirs, trainer.bank.concept.unique()))


if __name__ == "__main__":
    main()
