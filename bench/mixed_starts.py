"""Starts: the best of several drawn, against a mixture of the best few (FuseDream, Liu et al. 2021).

Both begin with the same candidates, judged by the painting's own cutouts, and are painted to the end with the same
numbers and seed. What is scored is the cosine between the picture as shown, seen whole, and its prompt.
"""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.equal_quality import PROMPTS
from bench.pictures import similarity
from engine.devices import pick_device
from engine.guides import Guide
from engine.models import ModelStore
from engine.painting import Painting
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.seeds import generators
from engine.spec import PaintingSpec
from engine.start import random_codes, random_gradient

CANDIDATES, KEPT = 32, 5
STEPS, RATE = 20, 0.2
"""Of Adam, on the logarithms of the mixture's shares."""


class Starts:
    """Make candidate starts of a painting, and judge them as the painting does."""

    def __init__(self, spec: PaintingSpec, models: ModelStore) -> None:
        self._spec, self._device = spec, models.device.torch_device
        self.vqgan = models.generator(spec.generator)
        self._guide = Guide(models.perceptor(spec.perceptors[0].name), 1.0, spec, models.device)
        self._guide.set_prompts(spec.prompts, None)

    @torch.no_grad()
    def ranked(self) -> list[Tensor]:
        """Draw the candidates of `best-of`, (1, c, rows, columns) each, the best first."""
        grid = (self._spec.height // self.vqgan.factor, self._spec.width // self.vqgan.factor)
        rngs = generators([self._spec.seed], "start", self._device)
        kinds = (random_gradient, random_codes)
        drawn = [kinds[index % 2](self.vqgan, grid, rngs) for index in range(CANDIDATES)]
        losses = [float(self._guide.judge(self._decode(z), self._score_rngs())) for z in drawn]
        return [drawn[index] for index in sorted(range(CANDIDATES), key=losses.__getitem__)]

    def mixed(self, latents: Sequence[Tensor]) -> Tensor:
        """Mix latents in the shares that the perceptor likes best, found by gradient from equal ones."""
        logits = torch.zeros(len(latents), device=self._device, requires_grad=True)
        adam = torch.optim.Adam([logits], lr=RATE)
        basis = torch.cat(tuple(latents))
        for _ in range(STEPS):
            z = torch.einsum("n,nchw->chw", logits.softmax(0), basis)[None]
            pictures = self.vqgan.decode(self.vqgan.quantise(z)).clamp(0, 1)
            seen = pictures.detach().requires_grad_()
            self._guide.backward(seen, self._score_rngs())
            adam.zero_grad()
            pictures.backward(seen.grad)
            adam.step()
        return torch.einsum("n,nchw->chw", logits.detach().softmax(0), basis)[None]

    def _decode(self, z: Tensor) -> Tensor:
        return self.vqgan.decode(self.vqgan.quantise(z)).clamp(0, 1)

    def _score_rngs(self) -> list[torch.Generator]:
        return generators([self._spec.seed], "score", self._device)


def mixed_starts(prompts: int, seeds: int) -> Iterator[str]:
    """Paint every prompt with every seed from each kind of start; yield a Markdown table."""
    models = ModelStore(Path(), pick_device())
    ways = ("best", "mean of the best 3", f"best {KEPT}, mixed by gradient")
    scores: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for prompt in PROMPTS[:prompts]:
            for seed in range(seeds):
                spec = spec_from_preset((Prompt(content=prompt),), seed=seed, start="noise", width=128, height=128)
                starts = Starts(spec, models)
                ranked = starts.ranked()
                latents = (ranked[0], torch.cat(ranked[:3]).mean(0, keepdim=True), starts.mixed(ranked[:KEPT]))
                for way, z in zip(ways, latents, strict=True):
                    path = Path(folder) / "z.safetensors"
                    save_file({"z": z.contiguous()}, path)
                    scores[way].append(_painted(spec.but(init_latent=str(path)), models, prompt))
    yield f"| start ({prompts} prompts × {seeds} seeds) | CLIP similarity, mean | beside the best, pair by pair |"
    yield "| --- | --- | --- |"
    for way, values in scores.items():
        apart = [a - b for a, b in zip(values, scores[ways[0]], strict=True)]
        error = statistics.stdev(apart) / len(apart) ** 0.5
        yield f"| {way} | {statistics.mean(values):.4f} | {statistics.mean(apart):+.4f} ± {error:.4f} |"


def _painted(spec: PaintingSpec, models: ModelStore, prompt: str) -> float:
    painting = Painting(spec, models)
    for _ in painting:
        pass
    return similarity(models, painting, prompt)
