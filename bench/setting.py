"""What is measured: one size, one pair of networks, one preset."""

from dataclasses import dataclass
from typing import Any

from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import PaintingSpec

PROMPT = "a red apple"
ENDLESS = 10_000


@dataclass(frozen=True)
class Setting:
    """Say what is painted; networks by name, at their real sizes (`bench.architectures`)."""

    size: int = 256
    """Side of the picture, in pixels."""
    cutouts: int = 32
    generator: str = "imagenet-16384"
    perceptor: str = "ViT-B/32"
    preset: str = "paper"

    def spec(self, **changes: Any) -> PaintingSpec:
        """Return the preset's painting from plain noise, all at full size, without end."""
        spec = spec_from_preset((Prompt(content=PROMPT),), self.preset, self.generator, steps=ENDLESS)
        cutouts = spec.cutouts.model_dump() | {
            "count": self.cutouts,
            "overview": min(spec.cutouts.overview, self.cutouts),
        }
        same = {"width": self.size, "height": self.size, "perceptors": [self.perceptor], "cutouts": cutouts}
        return spec.but(**{**same, "start": "noise", "coarse": 0, **changes})
