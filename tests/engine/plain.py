"""The published loops, written out plainly from their description: what `test_plain_loop` holds ours against."""

import contextlib
import io
import json

import torch
from safetensors import safe_open
from torch.nn import functional as F

from bench.kornia_cutouts import kornia_chain
from engine import third_party
from engine.perceptors import tokenise
from engine.seeds import derive_seed


def read(path):
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return json.loads(file.metadata()["config"]), {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
        }


def part(tensors, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def distance(a, b):
    return ((a - b).norm(dim=-1) / 2).arcsin().pow(2).mul(2)


class PlainLoop:
    """Take steps of a tiny pair's painting, given its first latent; `loss` is what the presets differ in."""

    def __init__(self, folder, spec, z):
        self.spec, self.taken, self.count = spec, 0, spec.cutouts.count
        self.load_generator(folder / "embedded-generator.safetensors")
        self.load_perceptor(folder / "embedded-perceptor.safetensors")
        self.target = self.encode_text(spec.prompts[0].content)
        self.chain = kornia_chain(spec.augmentations)
        self.z, self.z_orig = z.clone().requires_grad_(), z.clone()
        self.adam = self.new_adam()

    def load_generator(self, path):
        config, tensors = read(path)
        with contextlib.redirect_stdout(io.StringIO()):
            self.decoder = third_party.Decoder(**config["ddconfig"]).eval()
        self.decoder.load_state_dict(part(tensors, "decoder."))
        self.post_quant_conv = torch.nn.Conv2d(config["embed_dim"], config["ddconfig"]["z_channels"], 1)
        self.post_quant_conv.load_state_dict(part(tensors, "post_quant_conv."))
        gumbel = config["kind"] == "gumbel"
        self.codebook = tensors["quantize.embed.weight" if gumbel else "quantize.embedding.weight"]
        if gumbel:
            self.proj = torch.nn.Conv2d(config["ddconfig"]["z_channels"], config["n_embed"], 1)
            self.proj.load_state_dict(part(tensors, "quantize.proj."))

    def load_perceptor(self, path):
        config, tensors = read(path)
        config.pop("kind")
        self.clip = third_party.CLIP(**config).eval()
        rows, table = tensors.pop("token_rows").long(), tensors["token_embedding.weight"]
        tensors["token_embedding.weight"] = table.mean(0).repeat(config["vocab_size"], 1).index_copy(0, rows, table)
        self.clip.load_state_dict(tensors)
        self.side, self.context = config["image_resolution"], config["context_length"]

    @torch.no_grad()
    def encode_text(self, words):
        return F.normalize(self.clip.encode_text(tokenise(words, self.context)[None]), dim=-1)

    def encode_image(self, cutouts):
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
        std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
        return F.normalize(self.clip.encode_image((cutouts - mean) / std), dim=-1)

    def new_adam(self):
        return torch.optim.Adam([self.z], lr=self.spec.learning_rate)

    def quantise(self):
        x = self.z.movedim(1, 3)
        distances = x.pow(2).sum(-1, keepdim=True) + self.codebook.pow(2).sum(1) - 2 * x @ self.codebook.T
        codes = F.one_hot(distances.argmin(-1), len(self.codebook)).float() @ self.codebook
        return (x + (codes - x).detach()).movedim(3, 1)

    def step(self):
        self.rng = torch.Generator().manual_seed(derive_seed(self.spec.seed, "steps", self.taken))
        self.before()
        decoded = (self.decoder(self.post_quant_conv(self.quantise())) + 1) / 2
        decoded.register_hook(lambda g: g * (g * (decoded - decoded.clamp(0, 1)) >= 0))
        loss = self.loss(decoded + (decoded.clamp(0, 1) - decoded).detach())
        self.adam.zero_grad()
        loss.backward()
        self.mask_gradient()
        self.adam.step()
        self.clamp()
        self.taken += 1
        return loss.item()

    def before(self):
        pass

    def mask_gradient(self):
        pass

    def loss(self, picture):
        return distance(self.encode_image(self.augment(self.crop(picture))), self.target).mean()

    def crop(self, picture):
        """Draw and cut as many squares, of sides from the perceptor's input size to the picture's own."""
        uniform = torch.rand(self.count, 3, generator=self.rng)
        self.seed = int(torch.randint(2**31, (1,), generator=self.rng))
        height, width = picture.shape[-2:]
        largest, smallest = min(height, width), min(height, width, self.side)
        self.boxes = []
        for u, v, w in uniform:
            side = int(u ** self.power() * (largest - smallest) + smallest)
            self.boxes.append((int(v * (width - side + 1)), int(w * (height - side + 1)), side))
        return self.cut(picture)

    def cut(self, picture):
        crops = [picture[..., y : y + side, x : x + side] for x, y, side in self.boxes]
        return torch.cat([F.interpolate(c, (self.side,) * 2, mode="bilinear", antialias=True) for c in crops])

    def power(self):
        return 1

    def augment(self, batch):
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            batch = self.chain(batch)
            std = torch.rand(self.count, 1, 1, 1) * 0.1
            return batch + std * torch.randn_like(batch)

    def clamp(self):
        low, high = self.codebook.min(0).values[None, :, None, None], self.codebook.max(0).values[None, :, None, None]
        with torch.no_grad():
            self.z.copy_(self.z.maximum(low).minimum(high))


class PaperLoop(PlainLoop):
    """Crowson, Biderman et al. 2022, section 2: alpha * mean(z^2), alpha falling by 0.005 over the run."""

    def loss(self, picture):
        alpha = 0.1 - 0.005 * self.taken / self.spec.steps
        return super().loss(picture) + alpha * self.z.pow(2).mean()


class MseLoop(PlainLoop):
    """jbustter's notebook: init_weight 1.5 falls by a fifth, Adam begins anew, at 50, 100 … 250; no clamp."""

    weight = 1.5

    def before(self):
        if self.taken > 0 and self.taken % 50 == 0 and self.taken <= 250:
            self.weight = self.weight - 0.3 if self.weight - 0.3 > 0.01 else 0.0
            self.adam = self.new_adam()

    def loss(self, picture):
        z_orig = self.z_orig if self.spec.init_image else torch.zeros_like(self.z)
        return super().loss(picture) + F.mse_loss(self.z, z_orig) * self.weight / 2

    def clamp(self):
        pass


class NerdyrodentLoop(PlainLoop):
    """generate.py with its defaults: the whole picture, pooled."""

    def crop(self, picture):
        torch.rand(self.count, 3, generator=self.rng)  # where crops would lie, had this preset any
        self.seed = int(torch.randint(2**31, (1,), generator=self.rng))
        pooled = (F.adaptive_avg_pool2d(picture, self.side) + F.adaptive_max_pool2d(picture, self.side)) / 2
        return torch.cat([pooled] * self.count)


class DirectionalLoop(PlainLoop):
    """The editing notebook: codewords drawn through `proj`, cut_pow from 0.3 to 1, the rest kept as it was."""

    def __init__(self, folder, spec, z, original, mask):
        super().__init__(folder, spec, z)
        self.original, self.mask = original, mask
        self.away = self.encode_text(spec.edit_from)
        self.outside = None

    def power(self):
        return 0.3 + 0.7 * self.taken / self.spec.steps

    def quantise(self):
        logits = self.proj(self.z)
        uniform = torch.rand(logits.shape, generator=self.rng)
        noisy = logits - (-uniform.log()).log()
        soft = noisy.softmax(1)
        hard = F.one_hot(noisy.argmax(1), len(self.codebook)).movedim(3, 1).float()
        return torch.einsum("bnhw,nc->bchw", hard - soft.detach() + soft, self.codebook)

    def loss(self, picture):
        picture = self.original + self.mask * (picture - self.original)
        seen = self.encode_image(self.augment(self.crop(picture)))
        with torch.no_grad():
            unchanged = self.encode_image(self.augment(self.cut(self.original)))
            share = torch.stack([self.mask[..., y : y + s, x : x + s].mean() for x, y, s in self.boxes])
        keep = (distance(seen, unchanged) * (1 - share)).mean()
        return keep + 1.25 * (distance(seen, self.target) - distance(seen, self.away)).mean()

    def mask_gradient(self):
        self.z.grad *= F.adaptive_avg_pool2d(self.mask, self.z.shape[-2:])

    def clamp(self):
        pass
