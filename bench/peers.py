"""The loops as their authors publish them, run from a checkout of theirs on the same random networks as ours.

Steps, quantiser, cutouts, losses and optimiser are theirs, unchanged. Only what their files import and this environment
lacks gets a stand-in: the readers of checkpoints and pictures, lightning's base class, and a progress bar that reports
us when a step is done. Nothing of theirs is kept here.
"""

import importlib
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import torch
import tqdm.auto
from taming.modules.diffusionmodules import model as taming_model
from torch import Tensor, nn

from bench.architectures import random_clip, random_vqgan
from bench.reference import sigmoid_times
from bench.setting import ENDLESS, PROMPT, Setting
from engine import third_party
from engine.perceptors import tokenise
from engine.tensors import image_of


def run(checkout: Path, setting: Setting, device: torch.device, taken: Callable[[], None]) -> None:
    """Paint without end with the loop in `checkout`, calling `taken` after each step.

    Knows nerdyrodent/VQGAN-CLIP (generate.py) and rkhamilton/vqgan-clip-generator (src/vqgan_clip).
    """
    _stand_in(setting, device, taken)
    with tempfile.TemporaryDirectory() as folder:
        if (checkout / "src" / "vqgan_clip").is_dir():
            _rkhamilton(checkout, setting, device, folder)
        elif (checkout / "generate.py").is_file():
            _nerdyrodent(checkout, setting, device, folder)
        else:
            raise FileNotFoundError(f"{checkout} holds neither generate.py nor src/vqgan_clip")


def _nerdyrodent(checkout: Path, setting: Setting, device: torch.device, folder: str) -> None:
    size = str(setting.size)
    options = {"-p": PROMPT, "-m": setting.perceptor, "-cuts": setting.cutouts, "-i": ENDLESS, "-se": ENDLESS}
    options |= {"-o": f"{folder}/picture.png", "-cd": device}
    script = checkout / "generate.py"
    sys.argv = [str(script), "-s", size, size, *(str(word) for option in options.items() for word in option)]
    runpy.run_path(str(script), run_name="__main__")


def _rkhamilton(checkout: Path, setting: Setting, device: torch.device, folder: str) -> None:
    sys.path.insert(0, str(checkout / "src"))
    engine = importlib.import_module("vqgan_clip.engine")
    vars(engine)["load_file_from_url"] = lambda *_, **__: ""
    config = engine.VQGAN_CLIP_Config()
    config.output_image_size = [setting.size, setting.size]
    config.num_cuts, config.clip_model, config.cuda_device = setting.cutouts, setting.perceptor, str(device)
    generate = importlib.import_module("vqgan_clip.generate")
    generate.image(f"{folder}/picture.png", config, text_prompts=PROMPT, iterations=ENDLESS)


def _stand_in(setting: Setting, device: torch.device, taken: Callable[[], None]) -> None:
    """Put modules with the names that the peers import in the place of those that are not here."""
    config, tensors = random_vqgan(setting.generator)
    third_party.tokenizer()  # found by the name of the package that is about to be replaced

    class Bar:
        """A progress bar that the loop that it measures calls at every step that it measures."""

        def __init__(self, steps: Iterable[int] = (), **_: Any) -> None:
            self.steps = steps

        def __iter__(self) -> Iterator[int]:
            for step in self.steps:
                yield step
                taken()

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self) -> None:
            taken()

        @staticmethod
        def write(_: str) -> None: ...

    tqdm.tqdm = tqdm.auto.tqdm = Bar
    model = SimpleNamespace(
        target="taming.models.vqgan.VQModel",
        params={key: config[key] for key in ("embed_dim", "n_embed", "ddconfig")} | {"lossconfig": None},
    )
    clip = _module(
        "clip",
        load=lambda name, **_: (_clip(name, device), None),
        tokenize=lambda text: tokenise(text, 77)[None],
    )
    functional = _module("torchvision.transforms.functional", to_pil_image=image_of)
    transforms = _module("torchvision.transforms", functional=functional, Normalize=_normalise)
    _module("torchvision", transforms=transforms)
    _module("CLIP", clip=clip)
    _module("omegaconf", OmegaConf=SimpleNamespace(load=lambda _: SimpleNamespace(model=model)))
    _module("pytorch_lightning", LightningModule=nn.Module)
    _module("taming.main", instantiate_from_config=lambda _: nn.Identity())
    _module("torch_optimizer", DiffGrad=None, AdamP=None, RAdam=None)
    _module("imageio")
    _module("piexif")
    taming_model.nonlinearity = sigmoid_times  # the package's own, where the engine puts F.silu
    vqgan = importlib.import_module("taming.models.vqgan")
    vqgan.VQModel.init_from_ckpt = lambda self, _: self.load_state_dict(tensors)


def _module(name: str, **holds: Any) -> ModuleType:
    module = sys.modules[name] = ModuleType(name)
    vars(module).update(holds)
    return module


def _clip(name: str, device: torch.device) -> nn.Module:
    """Return what `clip.load` gives: half precision on a GPU but for the norms, else fp32."""
    config, tensors = random_clip(name)
    clip = third_party.CLIP(**config)
    clip.load_state_dict(tensors)
    if device.type == "cuda":
        sys.modules[third_party.CLIP.__module__].convert_weights(clip)
    return clip.to(device).eval()


def _normalise(mean: list[float], std: list[float]) -> Callable[[Tensor], Tensor]:
    def normalise(pictures: Tensor) -> Tensor:
        middle, spread = (pictures.new_tensor(values)[:, None, None] for values in (mean, std))
        return pictures.sub(middle).div_(spread)

    return normalise
