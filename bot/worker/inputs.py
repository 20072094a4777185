"""The inputs of an order as files, since the engine reads files: in a folder of their own, which goes with them."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from bot.worker.orders import Inputs
from engine.prompts import Prompt
from engine.spec import PaintingSpec


class InputFolder:
    """Write inputs into a temporary folder, made when the first comes and deleted at the end of the block."""

    def __init__(self, inputs: Inputs) -> None:
        self._paths: dict[str, str] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._inputs = inputs

    def __enter__(self) -> Self:
        self.add(self._inputs)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, inputs: Inputs) -> None:
        """Write more files; a name that is there already keeps its content."""
        for name, content in inputs.items():
            if name not in self._paths:
                if self._folder is None:
                    self._folder = tempfile.TemporaryDirectory(prefix="painting-")
                path = Path(self._folder.name, f"{len(self._paths)}{Path(name).suffix}")
                path.write_bytes(content)
                self._paths[name] = str(path)

    def spec(self, spec: PaintingSpec) -> PaintingSpec:
        """Return the spec with paths that the engine can open."""
        return spec.but(
            init_image=self._path(spec.init_image),
            init_latent=self._path(spec.init_latent),
            mask=self._path(spec.mask),
            prompts=self.prompts(spec.prompts),
        )

    def prompts(self, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
        """Return the prompts with paths that the engine can open."""
        return tuple(
            prompt.model_copy(update={"content": self._path(prompt.content)}) if prompt.kind == "image" else prompt
            for prompt in prompts
        )

    def _path(self, name: str | None) -> str | None:
        return None if name is None else self._paths.get(name, name)
