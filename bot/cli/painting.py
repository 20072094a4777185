"""Paint one picture in the terminal, with a progress bar; Ctrl-C keeps the picture so far."""

import io
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bot.cli.arguments import free_name, names_of
from bot.cli.unfinished import Unfinished
from bot.settings import Settings
from engine.checkpoints import UNREADABLE
from engine.devices import pick_device
from engine.memory import out_of_memory
from engine.models import ModelStore
from engine.motion import is_frame
from engine.painting import Iterate, Painting
from engine.pictures import save_png
from engine.spec import PaintingSpec
from engine.timelapse import write_gif, write_timelapse

See = Callable[[Iterate], None]
_LOOK_SECONDS = 0.1  # between two looks at the loss, each of which makes a GPU wait


class NotEnoughMemoryError(RuntimeError):
    """A painting that does not fit into memory even at one cutout at a time; its text is one sentence."""


class StoppedError(RuntimeError):
    """A film that was stopped before it had a frame; its text is one sentence."""


def animate(spec: PaintingSpec, settings: Settings, unfinished: Unfinished, console: Console) -> tuple[Path, bool]:
    """Paint an animation, an MP4 or GIF, and its last picture, which carries the spec, beside it.

    Return where the film is, and whether it was finished or stopped by Ctrl-C.
    """
    motion, path, step = spec.motion, unfinished.path, 0
    assert motion is not None

    def keep(iterate: Iterate) -> None:
        nonlocal step
        step = iterate.step
        if is_frame(motion, step):
            iterate.picture().save(unfinished.frame_path(step), compress_level=1)

    (picture,), finished = paint(spec, settings, path.with_suffix(".png"), console, see=keep, unfinished=unfinished)
    if not (frames := unfinished.frames(spec.steps if finished else step)):
        raise StoppedError("It was stopped before there was a frame.")
    limit = int(settings.worker.film_megabytes * 2**20)
    if motion.format == "gif":
        write_gif(frames, path, motion.fps, limit)
    else:
        write_timelapse(frames, path, motion.fps, limit, settings.delivery.enlarge_to, held=(0.0, 0.0))
    unfinished.remove()
    console.print(f"The last picture is {picture}.", markup=False)
    return path, finished


def paint(
    spec: PaintingSpec,
    settings: Settings,
    path: Path,
    console: Console,
    *,
    save_every: int | None = None,
    see: See | None = None,
    unfinished: Unfinished | None = None,
) -> tuple[list[Path], bool]:
    """Paint `spec` into `path`; return where its pictures are, and whether they were finished or stopped by Ctrl-C.

    `see` is given each step. Several pictures are numbered behind the stem of `path`, each with the spec that paints it
    alone. Where `path` cannot be written any more, they go into the folder for temporary files: none is lost. What is
    kept in `unfinished` is gone on from, also after Ctrl-C; only a film's last picture is saved then all the same.
    """
    try:
        with console.status("Loading the models"):
            device = pick_device(
                settings.worker.device, settings.worker.precision, deterministic=settings.worker.deterministic
            )
            painting = Painting(spec, ModelStore(settings.models.folder, device))
        seers = [] if see is None else [see]
        if save_every:
            seers.append(_saving(path, spec, save_every))
        if unfinished is not None:
            _resume(painting, unfinished, console)
            seers.append(_checkpointing(painting, unfinished, settings.worker.checkpoint_seconds))
        _step_on(painting, str(device), console, seers)
        if unfinished is not None and spec.motion is None and not painting.is_finished:
            _checkpoint(painting, unfinished)
            console.print(f"Stopped at step {painting.step} of {spec.steps}; the same command goes on from there.")
            return [], False
        paths = _finish(painting, settings.delivery.enlarge_to, path, console)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not out_of_memory(error):
            raise
        raise NotEnoughMemoryError(f"There is not enough memory for {spec.width}x{spec.height} pixels.") from error
    if not painting.is_finished:
        console.print(f"Stopped at step {painting.step} of {spec.steps}; the picture so far is saved.")
    return paths, painting.is_finished


def _step_on(painting: Painting, device: str, console: Console, seers: Sequence[See]) -> None:
    """Paint until the end or Ctrl-C."""
    spec, (width, height) = painting.spec, painting.size
    for notice in painting.notices:
        console.print(notice, markup=False)
    printed = len(painting.notices)
    seeds = f"seed {spec.seed}" if spec.count == 1 else f"seeds {', '.join(map(str, spec.seeds))}"
    console.print(f"Painting {width}x{height} with {seeds}, preset {spec.preset}, on {device}.", markup=False)
    with _first_interrupt() as interrupts, _progress(console) as progress:
        task = progress.add_task("", total=spec.steps, completed=painting.step, numbers="")
        shown = 0.0
        for iterate in painting:
            for see in seers:
                see(iterate)
            if iterate.seconds - shown >= _LOOK_SECONDS or iterate.step == iterate.steps:
                progress.update(task, completed=iterate.step, numbers=_numbers(iterate))
                shown = iterate.seconds
            if interrupts:
                break
    for notice in painting.notices[printed:]:
        console.print(notice, markup=False)


def _saving(path: Path, spec: PaintingSpec, every: int) -> See:
    """Return what saves the pictures every so many steps, numbered by the step."""

    def see(iterate: Iterate) -> None:
        if iterate.step % every == 0 and iterate.step < iterate.steps:
            for one, named in zip(iterate.pictures(), _paths(path, spec), strict=True):
                save_png(one, named.with_stem(f"{named.stem}-{iterate.step:05}"), spec)

    return see


def _checkpointing(painting: Painting, unfinished: Unfinished, seconds: float) -> See:
    """Return what keeps a checkpoint every so many seconds."""
    saved = time.monotonic()

    def see(_: Iterate) -> None:
        nonlocal saved
        if time.monotonic() - saved >= seconds:
            _checkpoint(painting, unfinished)
            saved = time.monotonic()

    return see


def _resume(painting: Painting, unfinished: Unfinished, console: Console) -> None:
    """Go on from the last checkpoint, where there is one that can be read."""
    unfinished.begin(painting.spec)
    if (state := unfinished.state()) is None:
        return
    try:
        painting.load_state_dict(torch.load(io.BytesIO(state), map_location="cpu", weights_only=True))
    except UNREADABLE as error:
        if out_of_memory(error):
            raise
        console.print(f"{unfinished.folder} cannot be gone on from ({type(error).__name__}): it begins anew.")
    else:
        console.print(f"Going on from step {painting.step} of {painting.spec.steps}.")


def _checkpoint(painting: Painting, unfinished: Unfinished) -> None:
    content = io.BytesIO()
    torch.save(painting.state_dict(), content)
    unfinished.save(content.getvalue())


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
    return [path] if spec.count == 1 else [free_name(one) for one in names_of(path, spec)]


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
