"""Paint one picture in the terminal, with a progress bar; Ctrl-C keeps the picture so far."""

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bot.cli.arguments import free_name
from bot.settings import Settings
from engine.devices import pick_device
from engine.memory import out_of_memory
from engine.models import ModelStore
from engine.motion import is_frame
from engine.painting import Iterate, Painting
from engine.pictures import save_png
from engine.spec import PaintingSpec
from engine.timelapse import write_gif, write_timelapse

_LOOK_SECONDS = 0.1  # between two looks at the loss, each of which makes a GPU wait


class NotEnoughMemoryError(RuntimeError):
    """A painting that does not fit into memory even at one cutout at a time; its text is one sentence."""


def animate(spec: PaintingSpec, settings: Settings, path: Path, console: Console) -> tuple[Path, bool]:
    """Paint an animation into `path`, an MP4 or GIF, and its last picture, which carries the spec, beside it.

    Return where the film is, and whether it was finished or stopped by Ctrl-C.
    """
    assert spec.motion is not None
    frames: list[Image.Image] = []

    def keep(iterate: Iterate) -> None:
        if spec.motion is not None and is_frame(spec.motion, iterate.step):
            frames.append(iterate.picture())

    (picture,), finished = paint(spec, settings, path.with_suffix(".png"), None, console, keep)
    if not frames:
        raise NotEnoughMemoryError("It was stopped before there was a frame.")
    limit = int(settings.worker.film_megabytes * 2**20)
    if spec.motion.format == "gif":
        write_gif(frames, path, spec.motion.fps, limit)
    else:
        write_timelapse(frames, path, spec.motion.fps, limit, settings.delivery.enlarge_to, held=(0.0, 0.0))
    console.print(f"The last picture is {picture}.", markup=False)
    return path, finished


def paint(
    spec: PaintingSpec,
    settings: Settings,
    path: Path,
    save_every: int | None,
    console: Console,
    see: Callable[[Iterate], None] = lambda _: None,
) -> tuple[list[Path], bool]:
    """Paint `spec` into `path`; return where its pictures are, and whether they were finished or stopped by Ctrl-C.

    `see` is given each step. Several pictures are numbered behind the stem of `path`, each with the spec that paints it
    alone. Where `path` cannot be written any more, they go into the folder for temporary files: none is lost.
    """
    try:
        return _paint(spec, settings, path, save_every, console, see)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not out_of_memory(error):
            raise
        raise NotEnoughMemoryError(f"There is not enough memory for {spec.width}x{spec.height} pixels.") from error


def _paint(
    spec: PaintingSpec,
    settings: Settings,
    path: Path,
    save_every: int | None,
    console: Console,
    see: Callable[[Iterate], None],
) -> tuple[list[Path], bool]:
    with console.status("Loading the models"):
        device = pick_device(
            settings.worker.device, settings.worker.precision, deterministic=settings.worker.deterministic
        )
        painting = Painting(spec, ModelStore(settings.models.folder, device))
    for notice in painting.notices:
        console.print(notice, markup=False)
    printed = len(painting.notices)
    width, height = painting.size
    seeds = f"seed {spec.seed}" if spec.count == 1 else f"seeds {', '.join(map(str, spec.seeds))}"
    console.print(f"Painting {width}x{height} with {seeds}, preset {spec.preset}, on {device}.", markup=False)
    with _first_interrupt() as interrupts, _progress(console) as progress:
        task = progress.add_task("", total=spec.steps, numbers="")
        shown = 0.0
        for iterate in painting:
            see(iterate)
            if iterate.seconds - shown >= _LOOK_SECONDS or iterate.step == iterate.steps:
                progress.update(task, completed=iterate.step, numbers=_numbers(iterate))
                shown = iterate.seconds
            if save_every and iterate.step % save_every == 0 and iterate.step < iterate.steps:
                for one, named in zip(iterate.pictures(), _paths(path, spec), strict=True):
                    save_png(one, named.with_stem(f"{named.stem}-{iterate.step:05}"), spec)
            if interrupts:
                break
    for notice in painting.notices[printed:]:
        console.print(notice, markup=False)
    paths = _finish(painting, settings.delivery.enlarge_to, path, console)
    if painting.step < spec.steps:
        console.print(f"Stopped at step {painting.step} of {spec.steps}; the picture so far is saved.")
    return paths, painting.is_finished


def _finish(painting: Painting, enlarge_to: int, path: Path, console: Console) -> list[Path]:
    """Enlarge and save the pictures; return where they are."""
    spec, paths = painting.spec, []
    for index, (painted, named) in enumerate(zip(painting.pictures(), _paths(path, spec), strict=True)):
        picture = painting.enlarged(painted, enlarge_to)
        if picture is not painted and not index:
            console.print(f"Saved at {picture.width}x{picture.height}, enlarged by super-resolution.")
        paths.append(_save(picture, named, spec if spec.count == 1 else spec.alone(index), console))
    return paths


def _paths(path: Path, spec: PaintingSpec) -> list[Path]:
    """Return where each picture goes, so that no file is written over."""
    if spec.count == 1:
        return [path]
    return [free_name(path.with_stem(f"{path.stem}-{number}")) for number in range(1, spec.count + 1)]


def _save(picture: Image.Image, path: Path, spec: PaintingSpec, console: Console) -> Path:
    """Save a picture; where that fails, among the temporary files, and say so."""
    try:
        save_png(picture, path, spec)
    except OSError as error:
        console.print(f"{path} cannot be written: {error.strerror or error}.", markup=False)
        path = Path(tempfile.mkdtemp(prefix="painting-")) / "painting.png"
        save_png(picture, path, spec)
    return path


def _progress(console: Console) -> Progress:
    return Progress(
        BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[numbers]}"), TimeRemainingColumn(), console=console
    )


def _numbers(iterate: Iterate) -> str:
    pace = iterate.step / iterate.seconds if iterate.seconds else 0.0
    return f"loss {iterate.loss:.4f}  {pace:.2f} it/s"


@contextmanager
def _first_interrupt() -> Iterator[list[int]]:
    """Collect the first Ctrl-C, so that the step at hand is ended; the second one interrupts as usual."""
    interrupts: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        interrupts.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
