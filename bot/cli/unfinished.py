"""What is kept beside a picture or film while the command line paints it, so that one that was killed goes on."""

import shutil
from pathlib import Path

from bot.queue.files import write_whole
from engine.spec import BadSpecError, PaintingSpec


class Unfinished:
    """A folder, named after the picture or film to be, with its spec, its last checkpoint and its frames."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.with_name(f"{path.name}.unfinished")
        self._spec, self._state, self._frames = (self.folder / name for name in ("spec.json", "state.pt", "frames"))

    @property
    def is_free(self) -> bool:
        """Return whether nothing was begun or finished here, nor a picture of this name."""
        return not any(path.exists() for path in (self.folder, self.path, self.path.with_suffix(".png")))

    def fitting(self, spec: PaintingSpec, *, any_seed: bool) -> PaintingSpec | None:
        """Return the spec that was begun here where it is this one, with `any_seed` but for its seed; else None."""
        try:
            begun = PaintingSpec.from_json(self._spec.read_bytes())
        except (OSError, BadSpecError):
            return None
        return begun if begun == (spec.but(seed=begun.seed) if any_seed else spec) else None

    def begin(self, spec: PaintingSpec) -> None:
        """Make the folder for a painting, anew unless it is the one that was begun here."""
        if self.fitting(spec, any_seed=False) is None:
            self.remove()
            write_whole(self._spec, lambda part: part.write_text(spec.to_json(), encoding="utf-8"))

    def state(self) -> bytes | None:
        """Return the last checkpoint; None before the first."""
        return self._state.read_bytes() if self._state.is_file() else None

    def save(self, state: bytes) -> None:
        """Keep a checkpoint in place of the one before."""
        write_whole(self._state, lambda part: part.write_bytes(state))

    def frame_path(self, step: int) -> Path:
        """Return where the frame of a step lies or will lie."""
        self._frames.mkdir(parents=True, exist_ok=True)
        return self._frames / f"{step:06}.png"

    def frames(self, step: int) -> list[Path]:
        """List the frames up to a step, in order: what lies beyond was painted after the checkpoint gone on from."""
        return sorted(path for path in self._frames.glob("*.png") if int(path.stem) <= step)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
