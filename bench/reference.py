"""The loop as published, plainly: what ours is measured against.

nerdyrodent/VQGAN-CLIP's generate.py with its defaults (Adam 0.1, `latest` cutouts, augmentations Af Pe Ji Er), written
anew from its description: fp32 throughout (CLIP in half precision on a GPU, as clip.load gives it), the packages' own
modules, kornia's own transforms, a one-hot product with the codebook, every cutout pooled anew.
"""

import contextlib
import io
from typing import Any

import kornia.augmentation as K
import torch
from taming.modules.diffusionmodules import model as taming_model
from torch import Tensor, nn
from torch.nn import functional as F

from bench.architectures import random_clip, random_vqgan
from bench.setting import PROMPT, Setting
from engine import third_party
from engine.perceptors import MEAN, STD, tokenise

NOISE = 0.1


def sigmoid_times(x: Tensor) -> Tensor:
    """Return SiLU as taming spells it."""
    return x * torch.sigmoid(x)


class _ReplaceGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forward: Tensor, backward: Tensor) -> Tensor:
        ctx.shape = backward.shape
        return forward

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0].sum_to_size(ctx.shape)


class _ClampWithGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        ctx.save_for_backward(value)
        return value.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (value,) = ctx.saved_tensors
        return grads[0] * (grads[0] * (value - value.clamp(0, 1)) >= 0)


class ReferenceLoop:
    """Hold the networks and the latent; `step` is one iteration."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        taming_model.nonlinearity = sigmoid_times  # the package's own, where the engine puts F.silu
        self.device, self.cutouts = device, setting.cutouts
        self._load_vqgan(setting.generator)
        self._load_clip(setting.perceptor)
        self.augment = nn.Sequential(
            K.RandomAffine(degrees=15, translate=(0.1, 0.1), shear=5, p=0.7, padding_mode="zeros", keepdim=True),
            K.RandomPerspective(distortion_scale=0.7, p=0.7),
            K.ColorJitter(hue=0.1, saturation=0.1, brightness=0.1, contrast=0.1, p=0.7),
            K.RandomErasing((0.1, 0.4), (0.3, 1 / 0.3), same_on_batch=True, p=0.7),
        )
        cells = setting.size // 2 ** (len(self.config["ddconfig"]["ch_mult"]) - 1)
        codes = F.one_hot(
            torch.randint(len(self.codebook), (cells * cells,), device=device), len(self.codebook)
        ).float()
        z = (codes @ self.codebook).view(1, cells, cells, -1).permute(0, 3, 1, 2)
        self.z = z.contiguous().requires_grad_()
        self.z_min, self.z_max = (extreme[None, :, None, None] for extreme in self.codebook.aminmax(dim=0))
        self.adam = torch.optim.Adam([self.z], lr=0.1)

    def _load_vqgan(self, name: str) -> None:
        self.config, tensors = random_vqgan(name)
        with contextlib.redirect_stdout(io.StringIO()):
            self.decoder = third_party.Decoder(**self.config["ddconfig"])
        self.post_quant_conv = nn.Conv2d(self.config["embed_dim"], self.config["ddconfig"]["z_channels"], 1)
        for net, prefix in ((self.decoder, "decoder."), (self.post_quant_conv, "post_quant_conv.")):
            net.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            net.to(self.device).eval().requires_grad_(False)
        self.codebook = tensors["quantize.embedding.weight"].to(self.device)

    def _load_clip(self, name: str) -> None:
        config, tensors = random_clip(name)
        self.clip = third_party.CLIP(**config).eval().requires_grad_(False)
        self.clip.load_state_dict(tensors)
        self.clip.to(self.device)
        if self.device.type == "cuda":
            self.clip.half()
            for module in self.clip.modules():
                if isinstance(module, nn.LayerNorm):
                    module.float()  # clip.load keeps these in fp32
        with torch.no_grad():
            tokens = tokenise(PROMPT, config["context_length"])[None].to(self.device)
            self.target = F.normalize(self.clip.encode_text(tokens).float(), dim=-1)
        self.side = config["image_resolution"]
        self.mean, self.std = (torch.tensor(v, device=self.device)[:, None, None] for v in (MEAN, STD))

    def _quantise(self, z: Tensor) -> Tensor:
        x = z.movedim(1, 3)
        distances = x.pow(2).sum(-1, keepdim=True) + self.codebook.pow(2).sum(1) - 2 * x @ self.codebook.T
        codes = F.one_hot(distances.argmin(-1), len(self.codebook)).to(x.dtype) @ self.codebook
        return _ReplaceGrad.apply(codes, x).movedim(3, 1)  # pyright: ignore[reportOptionalMemberAccess]

    def _cut(self, picture: Tensor) -> Tensor:
        pooled = [
            (F.adaptive_avg_pool2d(picture, self.side) + F.adaptive_max_pool2d(picture, self.side)) / 2
            for _ in range(self.cutouts)
        ]
        batch = self.augment(torch.cat(pooled))
        return batch + batch.new_empty(self.cutouts, 1, 1, 1).uniform_(0, NOISE) * torch.randn_like(batch)

    def step(self) -> Tensor:
        """Take one step; return its loss, which nobody has to wait for."""
        self.adam.zero_grad(set_to_none=True)
        decoded = self.decoder(self.post_quant_conv(self._quantise(self.z)))
        picture = _ClampWithGrad.apply((decoded + 1) / 2)
        seen = self.clip.encode_image((self._cut(picture) - self.mean) / self.std).float()
        distance = (F.normalize(seen[:, None], dim=2) - self.target[None]).norm(dim=2)
        loss = distance.div(2).arcsin().pow(2).mul(2).mean()
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            self.z.copy_(self.z.maximum(self.z_min).minimum(self.z_max))
        return loss.detach()
