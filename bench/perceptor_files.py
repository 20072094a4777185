"""Perceptors from files of open_clip's formats, at their real sizes with random values, beside the plain networks.

The tests hold names and shapes at these sizes, and the numbers of ViT-B/32: with all their numbers, the larger ones
take too long for a test.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from engine import third_party
from engine.catalog import find
from engine.devices import pick_device
from engine.layers import swap
from engine.models import ModelStore
from engine.perceptors import tokenise

# The arguments of CLIP's class: embed_dim, image_resolution, vision layers, width, patch, and those of the text tower.
SIZES = {
    "ViT-B/32": (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12),
    "ViT-B/16": (512, 224, 12, 768, 16, 77, 49408, 512, 8, 12),
    "ViT-L/14": (768, 224, 24, 1024, 14, 77, 49408, 768, 12, 12),
}
FILES = (
    "laion2b-ViT-B/32",
    "laion2b-ViT-B/16",
    "laion2b-ViT-L/14",
    "fare4-ViT-B/32",
    "fare4-ViT-B/16",
    "fare2-ViT-L/14",
)


def perceptor_files(names: tuple[str, ...] = FILES) -> Iterator[str]:
    """Write each file, read it as it is read when it was fetched, and yield a Markdown table of what differs."""
    yield "| perceptor | file, MiB | read, s | pictures differ by | texts differ by |"
    yield "| --- | --- | --- | --- | --- |"
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            yield _row(name, Path(folder))


@torch.no_grad()
def _row(name: str, folder: Path) -> str:
    torch.manual_seed(0)
    plain = third_party.CLIP(*SIZES[name.partition("-")[2]]).eval()
    path = folder / find(name, "perceptor").files[0].name
    if path.suffix == ".bin":  # OpenAI's, trained on: with its activation
        torch.save(plain.state_dict(), path)
    else:
        swap(plain, third_party.QuickGELU, lambda _: nn.GELU())
        save_file(plain.state_dict(), path)
    size, began = path.stat().st_size / 2**20, time.perf_counter()
    perceptor = ModelStore(folder, pick_device("cpu", "fp32")).perceptor(name)
    seconds = time.perf_counter() - began
    pictures = torch.rand(1, 3, 224, 224)
    seen = F.normalize(plain.encode_image((pictures - perceptor.mean) / perceptor.std), dim=-1)
    read = F.normalize(plain.encode_text(tokenise("a cat", 77)[None]), dim=-1)
    apart = [(perceptor.encode_image(pictures) - seen), (perceptor.encode_text(["a cat"]) - read)]
    return f"| {name} | {size:.0f} | {seconds:.1f} | {apart[0].abs().max():.1e} | {apart[1].abs().max():.1e} |"
