"""The only door to taming-transformers and openai-clip: just the parts that import beside any torch.

Both packages fail to import as a whole on a current machine, so each name here comes from the one submodule that works:

- `taming.models.*` needs a lightning that no longer exists; `taming.modules.*` needs torch, numpy and einops only.
- `clip/__init__.py` needs `pkg_resources` (gone from setuptools) and torchvision; `clip/model.py` and
  `clip/simple_tokenizer.py` need neither, so they are loaded by file location without running the package's `__init__`.
"""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from taming.modules.diffusionmodules import model as _taming
from torch.nn import functional as F

# taming spells SiLU as `x * sigmoid(x)`, which keeps two full-size tensors for the backward pass where one does.
_taming.nonlinearity = F.silu

Encoder = _taming.Encoder
Decoder = _taming.Decoder
AttnBlock = _taming.AttnBlock
ResnetBlock = _taming.ResnetBlock
Upsample = _taming.Upsample


def _clip_submodule(name: str) -> ModuleType:
    package = importlib.util.find_spec("clip")
    if package is None or package.origin is None:
        raise ImportError("openai-clip is not installed: run `make setup`.")
    full_name = f"clip_{name}"
    spec = importlib.util.spec_from_file_location(full_name, Path(package.origin).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module
    spec.loader.exec_module(module)
    return module


_clip = _clip_submodule("model")
CLIP: Any = _clip.CLIP
ClipLayerNorm: Any = _clip.LayerNorm
AttentionPool2d: Any = _clip.AttentionPool2d
VisionTransformer: Any = _clip.VisionTransformer
QuickGELU: Any = _clip.QuickGELU


@cache
def tokenizer() -> Any:
    """Return CLIP's byte-pair tokenizer (`encode`, `decode`, `encoder`); built on first use, as it takes 0.3 s."""
    return _clip_submodule("simple_tokenizer").SimpleTokenizer()
