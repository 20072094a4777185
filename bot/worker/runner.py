"""Paint one job step by step: previews, checkpoints, going on from a checkpoint, and every way it can end."""

import faulthandler
import io
import logging
import math
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from bot import logs
from bot.full_disk import FULL_DISK, is_full_disk
from bot.jobs import smaller
from bot.settings import ModerationSettings, WorkerSettings
from bot.worker.events import Checkpoint, Failed, Frame, Painted, PainterEvent, Progress, Shrunk, Started, Stopped
from bot.worker.gpu_usage import GpuMonitor
from bot.worker.inputs import InputFolder
from bot.worker.orders import Controls, Order
from bot.worker.picture_check import PictureCheck
from engine.checkpoints import UNREADABLE
from engine.memory import out_of_memory
from engine.models import ModelStore
from engine.motion import is_frame
from engine.one_by_one import OneByOne
from engine.painting import Iterate, LostError, Painting
from engine.pictures import encode_png, enlarged, mosaic, preview_jpeg
from engine.spec import PaintingSpec
from engine.vocabulary import UNKNOWN_WORDS

log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 0.25
_STDERR = 2
_FRAME_SIDE = 512
_FOLDERS = re.compile(r"(?<!\S)/\S*/")
"""The part of a path that is nobody's business."""
_UNKNOWN = "Something went wrong while painting; the bot's owner finds the cause in the log under job {}."
_MEMORY = "There is not enough memory for this, not even at {} × {} pixels; try again later."
_SHORT, _INSTEAD = "Memory ran short: painted at", "instead of"


Emit = Callable[[PainterEvent, int], None]
"""Takes events and the attempt that they belong to, in the painting thread."""


class JobRunner:
    """Paint jobs one after the other, all in one thread. It reads and writes nothing but files of its own."""

    def __init__(
        self,
        settings: WorkerSettings,
        models: ModelStore,
        emit: Emit,
        moderation: ModerationSettings | None = None,
        enlarge_to: int = 0,
    ) -> None:
        self.settings = settings
        self.enlarge_to = enlarge_to
        self.models = models
        self.upscales_previews = models.device.is_cuda
        """Whether previews are finished by super-resolution too: a GPU takes milliseconds, a CPU half a second."""
        self.check = PictureCheck(moderation or ModerationSettings(), models)
        self.gpu = GpuMonitor(models.device)
        self._emit = emit

    def paint(self, order: Order, controls: Controls) -> None:
        """Paint the job until it ends, in whichever way, and emit that event.

        Raises `torch.AcceleratorError` only: this process cannot use its device any more.
        """
        with logs.of_job(order.job_id):
            try:
                self.step_taken()
                self._paint(order, controls)
            finally:
                faulthandler.cancel_dump_traceback_later()

    def step_taken(self) -> None:
        """Put off the end of a process that hangs. The timer is C's own: it runs out even when no Python runs."""
        if self.settings.hang_seconds:
            faulthandler.dump_traceback_later(self.settings.hang_seconds, exit=True, file=_STDERR)

    def _paint(self, order: Order, controls: Controls) -> None:
        try:
            with InputFolder(order.inputs) as inputs:
                event = self._painted(order, controls, inputs)
        except torch.AcceleratorError:
            raise
        except Exception as error:
            sentence = _sentence(error)
            level = logging.ERROR if sentence is None else logging.WARNING
            log.log(level, "Job %s failed", order.job_id, exc_info=error)
            event = Failed(order.job_id, sentence or _UNKNOWN.format(order.job_id))
        self._emit(event, order.attempt)

    def _painted(self, order: Order, controls: Controls, inputs: InputFolder) -> PainterEvent:
        one_by_one = False
        while True:
            try:
                return self._run(order, controls, inputs, one_by_one=one_by_one)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0] or type(error).__name__
            # Not before here: the error held on to all that the painting had taken, and what is made above that stays.
            self.models.device.give_back()
            spec = order.spec
            log.warning("Job %s: no memory for %d × %d pixels (%s)", order.job_id, spec.width, spec.height, reason)
            if spec.count > 1 and not one_by_one:
                one_by_one, order = True, replace(order, checkpoint=None)  # that of a batch fits none of its pictures
                continue
            if (less := smaller(spec)) is None:
                return Failed(order.job_id, _MEMORY.format(spec.width, spec.height))
            order = self._shrunk(order, less)

    def _run(self, order: Order, controls: Controls, inputs: InputFolder, *, one_by_one: bool) -> PainterEvent:
        checkpoint = order.checkpoint

        def emit(event: PainterEvent) -> None:
            nonlocal checkpoint
            if isinstance(event, Checkpoint):
                checkpoint = event.content
            self._emit(event, order.attempt)

        try:
            return JobRun(self, order, controls, inputs, emit, one_by_one=one_by_one).run()
        except LostError:
            log.warning("Job %s was lost in NaN; it goes on at half the learning rate", order.job_id)
        order = replace(order, checkpoint=checkpoint)
        return JobRun(self, order, controls, inputs, emit, slower=True, one_by_one=one_by_one).run()

    def _shrunk(self, order: Order, spec: PaintingSpec) -> Order:
        """Return the job as it is to be painted after memory ran out, and publish that."""
        before = [notice for notice in order.notices if notice.startswith(_SHORT)]
        asked = before[0].rpartition(f" {_INSTEAD} ")[2] if before else f"{order.spec.width} × {order.spec.height}."
        notices = [notice for notice in order.notices if notice not in before]
        notices.append(f"{_SHORT} {spec.width} × {spec.height} {_INSTEAD} {asked}")
        self._emit(Shrunk(order.job_id, spec.width, spec.height, tuple(notices)), order.attempt)
        return replace(order, spec=spec, notices=tuple(notices), checkpoint=None)


class JobRun:
    """Paint one job from where it stands: `one_by_one` in turns in place of a batch, `slower` at half the rate."""

    def __init__(
        self,
        runner: JobRunner,
        order: Order,
        controls: Controls,
        inputs: InputFolder,
        emit: Callable[[PainterEvent], None],
        *,
        slower: bool = False,
        one_by_one: bool = False,
    ) -> None:
        self._runner, self._settings, self._emit = runner, runner.settings, emit
        self._job_id, self._notices = order.job_id, order.notices
        self._controls, self._inputs = controls, inputs
        self._spec = order.spec
        self._steered = False
        spec = inputs.spec(order.spec)
        if slower:
            spec = spec.but(learning_rate=spec.learning_rate / 2)
        saved = None if order.checkpoint is None else self._read(order.checkpoint)
        in_turns = one_by_one or (saved is not None and "parts" in saved["painting"])
        self._painting = (OneByOne if in_turns else Painting)(spec, runner.models)
        self._seconds_before = 0.0
        self._began = self._reported = self._saved = time.monotonic()
        if saved is not None:
            self._resume(saved)
        self._reported_step = self._saved_step = self._painting.step
        self._seconds_per_step = math.nan
        self._stride = math.ceil(spec.steps / self._settings.frames) if self._settings.frames else 0

    def run(self) -> PainterEvent:
        """Paint until the end, whichever it is."""
        self._emit(Started(self._job_id, self._painting.step, self._painting.spec.steps))
        while not self._controls.end:
            iterate = next(self._painting, None)
            if iterate is None:
                break
            self._after(iterate)
        if self._controls.end == "drop":
            return Stopped(self._job_id)
        if self._controls.end == "leave":
            self._checkpoint()
            return Stopped(self._job_id, back_soon=True)
        return self._finish()

    def _after(self, iterate: Iterate) -> None:
        self._runner.step_taken()
        if (steer := self._controls.steer) is not None and steer.prompts != self._spec.prompts:
            self._spec, self._steered = self._spec.but(prompts=steer.prompts), True
            self._inputs.add(steer.inputs)
            self._painting.steer(self._inputs.prompts(steer.prompts))
        preview_due = self._controls.preview_wanted and iterate.step >= self._settings.first_preview_step
        frame_due = self._is_frame(iterate.step)
        pictures = iterate.pictures() if preview_due or frame_due else []
        if any(self._runner.check.hides(picture, self._spec) for picture in pictures):
            pictures, self._controls.preview_wanted = [], False
        picture = mosaic(pictures) if pictures else None
        if picture is not None and frame_due:
            self._emit(Frame(self._job_id, iterate.step, preview_jpeg(picture, _FRAME_SIDE)))
        if preview_due or time.monotonic() - self._reported >= _PROGRESS_SECONDS:
            self._progress(iterate, picture if preview_due else None)
        if time.monotonic() - self._saved >= self._settings.checkpoint_seconds:
            self._checkpoint()

    def _is_frame(self, step: int) -> bool:
        """Return whether the picture of a step is kept: for the time-lapse, or as a frame of an animation."""
        if (motion := self._painting.spec.motion) is not None:
            return is_frame(motion, step)
        return self._stride > 0 and (step - 1) % self._stride == 0

    def _progress(self, iterate: Iterate, picture: Image.Image | None) -> None:
        preview = None
        if picture is not None:
            self._controls.preview_wanted = False
            preview = preview_jpeg(self._enlarged(picture), self._settings.preview_side)
        loss = iterate.loss  # waits for the device, so that the clock below counts finished work
        now = time.monotonic()
        seconds_per_step = (now - self._reported) / (iterate.step - self._reported_step)
        self._seconds_per_step = (
            seconds_per_step
            if math.isnan(self._seconds_per_step)
            else 0.7 * self._seconds_per_step + 0.3 * seconds_per_step
        )
        self._reported, self._reported_step = now, iterate.step
        left = (iterate.steps - iterate.step) * self._seconds_per_step
        speed, gpu = 1 / self._seconds_per_step, self._runner.gpu.usage()
        self._emit(Progress(self._job_id, iterate.step, iterate.steps, speed, left, loss, preview, gpu))

    def _enlarged(self, picture: Image.Image) -> Image.Image:
        """Return a preview as large as pictures are posted."""
        side = self._runner.enlarge_to
        if self._runner.upscales_previews and self._spec.generator == "embedded":
            return self._runner.models.upscaler("embedded").enlarged(picture, side)
        return enlarged(picture, side)

    def _checkpoint(self) -> None:
        if self._painting.step == self._saved_step:
            return  # nothing new, or nothing at all yet
        state = {**self._painting.state_dict(), "spec": self._spec.to_json()}  # with the names of inputs, not paths
        content = io.BytesIO()
        torch.save({"painting": state, "seconds": self._seconds()}, content)
        self._saved, self._saved_step = time.monotonic(), self._painting.step
        self._emit(Checkpoint(self._job_id, self._saved_step, content.getvalue()))

    def _read(self, checkpoint: bytes) -> dict[str, Any] | None:
        """Read a checkpoint; None for one that cannot be used."""
        try:
            saved: dict[str, Any] = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
            spec = PaintingSpec.from_json(saved["painting"]["spec"])
        except UNREADABLE as error:
            self._warn_of(error)
            return None
        if (spec.width, spec.height) != (self._spec.width, self._spec.height):
            log.info("The checkpoint of job %s is of another size; it starts anew", self._job_id)
            return None
        return saved

    def _resume(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint, if it fits."""
        try:
            # The order has the prompts that hold: who steers the painting steers the job first.
            self._painting.load_state_dict({**saved["painting"], "spec": self._painting.spec.to_json()})
            self._seconds_before = saved["seconds"]
        except UNREADABLE as error:
            self._warn_of(error)

    def _warn_of(self, error: Exception) -> None:
        if isinstance(error, RuntimeError) and out_of_memory(error):
            raise error
        log.warning("The checkpoint of job %s cannot be used; it starts anew", self._job_id, exc_info=error)

    def _finish(self) -> Painted:
        painting = self._painting
        pictures = painting.pictures()
        notices = self._runner.check.notices(pictures, self._spec)
        if self._stride and not notices and painting.spec.motion is None:
            self._emit(Frame(self._job_id, painting.step + 1, preview_jpeg(mosaic(pictures), _FRAME_SIDE)))
        # It may have been steered away from words that are not known.
        before = (one for one in self._notices if not (self._steered and one.startswith(UNKNOWN_WORDS)))
        said = dict.fromkeys((*before, *painting.notices, *notices))
        pngs = [encode_png(painting.enlarged(one), self._spec.alone(index)) for index, one in enumerate(pictures)]
        latents = [painting.encode_latent(index) for index in range(len(pictures))]
        return Painted(self._job_id, tuple(pngs), tuple(latents), self._seconds(), painting.step, tuple(said))

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began


def _sentence(error: Exception) -> str | None:
    """Return what the requester may read of an error; None for what only the log should hold."""
    if is_full_disk(error):
        return FULL_DISK
    # The engine's and the bot's own errors are sentences for people; the text of any other is for the log.
    ours = type(error).__module__.split(".")[0] in ("engine", "bot")
    return _FOLDERS.sub("", str(error)) if ours else None
