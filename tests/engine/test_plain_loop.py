"""The published loop, written out plainly from its description, beside ours: 30 steps, step by step.

Only the random numbers are shared: the starting latent, and the seed of kornia's chain at each step.
"""

import contextlib
import io
import json

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from bench.kornia_cutouts import kornia_chain, use_kornia
from engine import third_party
from engine.models import ModelStore
from engine.painting import Painting
from engine.perceptors import tokenise
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.seeds import derive_seed
from engine.spec import Cutouts

STEPS, COUNT = 30, 6


def read(path):
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return json.loads(file.metadata()["config"]), {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
        }


def part(tensors, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class PlainLoop:
    """nerdyrodent's loop with its defaults, on the tiny pair."""

    def __init__(self, folder, spec, z):
        config, tensors = read(folder / "embedded-generator.safetensors")
        with contextlib.redirect_stdout(io.StringIO()):
            self.decoder = third_party.Decoder(**config["ddconfig"]).eval()
        self.decoder.load_state_dict(part(tensors, "decoder."))
        self.post_quant_conv = torch.nn.Conv2d(config["embed_dim"], config["ddconfig"]["z_channels"], 1)
        self.post_quant_conv.load_state_dict(part(tensors, "post_quant_conv."))
        self.codebook = tensors["quantize.embedding.weight"]
        config, tensors = read(folder / "embedded-perceptor.safetensors")
        config.pop("kind")
        self.clip = third_party.CLIP(**config).eval()
        rows, table = tensors.pop("token_rows").long(), tensors["token_embedding.weight"]
        tensors["token_embedding.weight"] = table.mean(0).repeat(config["vocab_size"], 1).index_copy(0, rows, table)
        self.clip.load_state_dict(tensors)
        self.side = config["image_resolution"]
        with torch.no_grad():
            tokens = tokenise(spec.prompts[0].content, config["context_length"])
            self.target = F.normalize(self.clip.encode_text(tokens[None]), dim=-1)
        self.numbers = spec.augmentations
        self.chain = kornia_chain(self.numbers)
        self.spec, self.taken = spec, 0
        self.z = z.clone().requires_grad_()
        self.adam = torch.optim.Adam([self.z], lr=0.1)

    def step(self):
        x = self.z.movedim(1, 3)
        distances = x.pow(2).sum(-1, keepdim=True) + self.codebook.pow(2).sum(1) - 2 * x @ self.codebook.T
        codes = F.one_hot(distances.argmin(-1), len(self.codebook)).float() @ self.codebook
        straight_through = (x + (codes - x).detach()).movedim(3, 1)
        decoded = (self.decoder(self.post_quant_conv(straight_through)) + 1) / 2
        decoded.register_hook(lambda g: g * (g * (decoded - decoded.clamp(0, 1)) >= 0))
        picture = decoded + (decoded.clamp(0, 1) - decoded).detach()
        seen = F.normalize(self.clip.encode_image(self.normalise(self.cut(picture))), dim=-1)
        loss = ((seen - self.target).norm(dim=-1) / 2).arcsin().pow(2).mul(2).mean()
        self.taken += 1
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        low, high = self.codebook.min(0).values[None, :, None, None], self.codebook.max(0).values[None, :, None, None]
        with torch.no_grad():
            self.z.copy_(self.z.maximum(low).minimum(high))
        return loss.item()

    def cut(self, picture):
        rng = torch.Generator().manual_seed(derive_seed(self.spec.seed, "steps", self.taken))
        torch.rand(COUNT, 3, generator=rng)  # where crops would lie, had this preset any
        seed = int(torch.randint(2**31, (1,), generator=rng))
        pooled = (F.adaptive_avg_pool2d(picture, self.side) + F.adaptive_max_pool2d(picture, self.side)) / 2
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            batch = self.chain(torch.cat([pooled] * COUNT))
            deviation = torch.rand(COUNT, 1, 1, 1) * 0.1
            return batch + deviation * torch.randn_like(batch)

    def normalise(self, batch):
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
        return (batch - mean) / torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


def test_the_nerdyrodent_preset_tracks_a_plain_loop(tiny_models, cpu):
    spec = spec_from_preset((Prompt(content="a red apple"),), "nerdyrodent", width=48, height=48, steps=STEPS, seed=3)
    spec = spec.but(cutouts=Cutouts(method="pooled", count=COUNT).model_dump())
    ours = use_kornia(Painting(spec, ModelStore(tiny_models, cpu, embedded=tiny_models)))
    start = ours._start()
    plain = PlainLoop(tiny_models, spec, start)
    pairs = [(iterate.loss, plain.step()) for iterate in ours]
    for mine, theirs in pairs:
        assert mine == pytest.approx(theirs, rel=2e-3)
    assert (ours.z - start).abs().mean() > 0.1  # it went somewhere
    agree = (ours._vqgan._nearest(ours.z.detach()) == ours._vqgan._nearest(plain.z.detach())).float().mean()
    assert agree > 0.95
