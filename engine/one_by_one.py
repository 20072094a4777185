"""The pictures of one spec painted in turns, where memory does not hold them as one batch."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import torch
from PIL import Image

from engine.models import ModelStore
from engine.painting import Iterate, Painting
from engine.prompts import Prompt
from engine.spec import PaintingSpec
from engine.state import BadStateError


class OneByOne:
    """Step one painting after the other, each of one picture; to its user it is like the `Painting` of all of them.

    The same pictures come of it up to rounding, in the time that the single paintings take.
    """

    def __init__(self, spec: PaintingSpec, models: ModelStore) -> None:
        self.spec = spec
        self._parts = [Painting(spec.alone(index), models) for index in range(spec.count)]

    def __iter__(self) -> Iterator[Iterate]:
        return self

    def __next__(self) -> Iterate:
        """Take one step of each; raise `LostError` where a latent is found to hold NaN."""
        iterates = [next(part) for part in self._parts]
        losses = torch.cat([iterate._losses for iterate in iterates])
        pictures = torch.cat([iterate._pictures for iterate in iterates])
        return Iterate(self.step, self.spec.steps, iterates[0].seconds, losses, pictures)

    @property
    def step(self) -> int:
        """Return how many steps each has taken."""
        return self._parts[-1].step

    def steer(self, prompts: tuple[Prompt, ...]) -> None:
        """Go on from here towards other prompts."""
        for part in self._parts:
            part.steer(prompts)
        self.spec = self.spec.but(prompts=prompts)

    @property
    def notices(self) -> list[str]:
        """Return what the person who asked should know."""
        return list(dict.fromkeys(notice for part in self._parts for notice in part.notices))

    def enlarged(self, picture: Image.Image) -> Image.Image:
        """Return a finished picture as large as `upscale` asks for."""
        return self._parts[0].enlarged(picture)

    def pictures(self) -> list[Image.Image]:
        """Return all pictures as they stand after the last step."""
        return [part.picture() for part in self._parts]

    def encode_latent(self, index: int = 0) -> bytes:
        """Return the latent of a picture as a safetensors file."""
        return self._parts[index].encode_latent()

    def state_dict(self) -> dict[str, Any]:
        """Copy all that is needed to go on exactly from here."""
        return {"spec": self.spec.to_json(), "parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, saved: Mapping[str, Any]) -> Self:
        """Go on from a state of these paintings; raise `BadStateError` where it does not fit."""
        states = saved.get("parts", ())
        if len(states) != len(self._parts):
            raise BadStateError(f"it holds {len(states)} paintings, not {len(self._parts)}")
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict({**state, "spec": part.spec.to_json()})
        return self
