"""Perceptors: CLIP models, frozen (Radford et al. 2021, arXiv 2103.00020)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine import third_party
from engine.devices import Device
from engine.layers import AttentionPool, VisionTower, fold_batch_norms, place, plain_layer_norm, swap
from engine.vocabulary import Vocabulary

# openai/CLIP clip.py, `_transform`.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

_TEXTS_REMEMBERED = 1024


class Perceptor(nn.Module):
    """Place pictures and texts in CLIP's common space.

    The picture tower runs in the device's precision, convolutions channels-last; the text tower, which runs once
    per text, in fp32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, clip: Any, *, centred: bool = False) -> None:
        """`centred`: it was trained on pictures from -1 to 1, not by openai's means and deviations."""
        super().__init__()
        self.clip = clip
        self.size: int = clip.visual.input_resolution
        self.finds_by: Literal["crops", "colours"] = "crops"
        """How it finds what words name in a picture: the published way, or `engine/regions.py`'s."""
        self.context: int = clip.context_length
        self.dims: int = clip.text_projection.shape[1]
        """Of the common space."""
        self.logit_scale: float = clip.logit_scale.exp().item()
        mean, std = ((0.5,) * 3, (0.5,) * 3) if centred else (MEAN, STD)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.vocabulary: Vocabulary | None = None
        """What it knows, where that is written down; texts are then read through it."""
        self._embed_one = lru_cache(_TEXTS_REMEMBERED)(self._embed_one_text)

    def encode_image(self, cutouts: Tensor) -> Tensor:
        """Map cutouts (n, 3, size, size) in [0, 1] to unit vectors (n, d), fp32; differentiable."""
        dtype = self.clip.visual.conv1.weight.dtype
        normed = ((cutouts - self.mean) / self.std).to(dtype, memory_format=torch.channels_last)
        return F.normalize(self.clip.visual(normed).float(), dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Map texts to unit vectors (n, d), fp32; what lies beyond the context is not seen (`cut_off` names it)."""
        return torch.stack([self._embed_one(self._read(text)) for text in texts])

    def _read(self, text: str) -> str:
        return text if self.vocabulary is None else self.vocabulary.read(text)

    def _embed_one_text(self, text: str) -> Tensor:
        return self._embed([text])[0]

    def encode_list(self, texts: Sequence[str], at_once: int = 128) -> Tensor:
        """Do what `encode_text` does for a long list, many at once, and remember none of it."""
        parts = [texts[first : first + at_once] for first in range(0, len(texts), at_once)]
        return torch.cat([self._embed([self._read(text) for text in part]) for part in parts])

    @torch.no_grad()
    def _embed(self, texts: Sequence[str]) -> Tensor:
        clip = self.clip
        tokens = torch.stack([tokenise(text, self.context) for text in texts]).to(self.mean.device)
        hidden = clip.token_embedding(tokens) + clip.positional_embedding
        hidden = clip.ln_final(clip.transformer(hidden.transpose(0, 1)).transpose(0, 1))
        # The end token has the highest number of all.
        ends = hidden[torch.arange(len(texts), device=tokens.device), tokens.argmax(1)]
        return F.normalize(ends @ clip.text_projection, dim=-1)

    def cut_off(self, text: str) -> str:
        """Return the words beyond the context, "" if there are none."""
        room = self.context - 2  # a start and an end token
        encode = third_party.tokenizer().encode
        text = self._read(text)
        tokens = encode(text)
        if len(tokens) <= room:
            return ""
        words = text.split()
        for index, word in enumerate(words):
            room -= len(encode(word))
            if room < 0 and index > 0:
                return " ".join(words[index:])
        # One endless word: only its tail is cut.
        return third_party.tokenizer().decode(tokens[self.context - 2 :]).strip()


def tokenise(text: str, context: int) -> Tensor:
    """Return `context` token numbers, as clip.tokenize(truncate=True): start, text, end, then zeros."""
    tokenizer = third_party.tokenizer()
    tokens = tokenizer.encode(text)[: context - 2]
    tokens = [tokenizer.encoder["<|startoftext|>"], *tokens, tokenizer.encoder["<|endoftext|>"]]
    return F.pad(torch.tensor(tokens), (0, context - len(tokens)))


def config_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments of CLIP's class off the shapes of an official checkpoint's tensors."""

    def blocks(prefix: str) -> int:
        depth = prefix.count(".")
        return len({name.split(".")[depth] for name in tensors if name.startswith(prefix)})

    if "visual.proj" in tensors:
        width, _, patch, _ = tensors["visual.conv1.weight"].shape
        layers: int | tuple[int, ...] = blocks("visual.transformer.resblocks.")
        cells = len(tensors["visual.positional_embedding"]) - 1  # one more is the class token's
    else:
        width, patch = tensors["visual.layer1.0.conv1.weight"].shape[0], None
        layers = tuple(blocks(f"visual.layer{level}.") for level in (1, 2, 3, 4))
        cells = len(tensors["visual.attnpool.positional_embedding"]) - 1  # one more is their mean's
    text_width, embed_dim = tensors["text_projection"].shape
    return {
        "embed_dim": embed_dim,
        "image_resolution": round(cells**0.5) * (patch or 32),  # a ResNet tower halves five times
        "vision_layers": layers,
        "vision_width": width,
        "vision_patch_size": patch,
        "context_length": len(tensors["positional_embedding"]),
        "vocab_size": len(tensors["token_embedding.weight"]),
        "transformer_width": text_width,
        "transformer_heads": text_width // 64,
        "transformer_layers": blocks("transformer.resblocks."),
    }


def build_perceptor(config: Mapping[str, Any], tensors: Mapping[str, Tensor], device: Device) -> Perceptor:
    """Build a frozen perceptor from the arguments of CLIP's class and tensors under openai's names.

    Raise `RuntimeError` when a tensor is missing, left over or of another shape.
    """
    config = dict(config)
    exact, centred = config.pop("gelu", "quick") == "exact", config.pop("centred", False)
    with torch.device("meta"):  # no time spent on random values that are about to be replaced
        clip = third_party.CLIP(**config)
    if exact:
        swap(clip, third_party.QuickGELU, lambda _: nn.GELU())
    clip.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=True, assign=True)
    clip.eval()
    for block in clip.transformer.resblocks:  # no tensor of the checkpoint, so it is still without values
        block.attn_mask = clip.build_attention_mask()
    fold_batch_norms(clip.visual)
    _swap_layers(clip)
    place(clip.visual, device, device.dtype)
    return Perceptor(clip, centred=centred).to(device.torch_device).eval().requires_grad_(False)


def _swap_layers(clip: Any) -> None:
    swap(clip, third_party.ClipLayerNorm, plain_layer_norm)
    swap(clip, third_party.AttentionPool2d, AttentionPool)
    swap(clip, third_party.VisionTransformer, VisionTower)


def whole_vocabulary(tensors: Mapping[str, Tensor], vocab_size: int) -> dict[str, Tensor]:
    """Restore the full token table from the rows that `token_rows` lists; other tokens get the rows' mean."""
    whole = dict(tensors)
    rows = whole.pop("token_rows").long()
    known = whole["token_embedding.weight"].float()
    table = known.mean(0).repeat(vocab_size, 1)
    table[rows] = known
    whole["token_embedding.weight"] = table
    return whole
