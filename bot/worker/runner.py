"""Paint one job step by step: previews, checkpoints, going on from a checkpoint, and every way it can end."""

import faulthandler
import io
import logging
import math
import pickle
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from PIL import Image

from bot import logs
from bot.jobs import Job, smaller
from bot.queue.files import FULL_DISK, GONE_BEFORE, Files, StorageError, is_full_disk, write_whole
from bot.settings import ModerationSettings, WorkerSettings
from bot.worker.events import Checkpointed, Event, Failed, Progress, Rendered, Shrunk, Started, Stopped
from bot.worker.picture_check import PictureCheck
from engine.memory import out_of_memory
from engine.models import ModelStore
from engine.painting import Iterate, LostError, Painting
from engine.pictures import enlarged, preview_jpeg, save_png
from engine.prompts import Prompt
from engine.spec import BadSpecError, PaintingSpec
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


Emit = Callable[[Event], None]
"""Takes events, in the painting thread."""


@dataclass(slots=True)
class Controls:
    """Hold what the loop wants of the painting under way; looked at between two steps. Plain fields, set in one go."""

    preview_wanted: bool = True
    prompts: tuple[Prompt, ...] | None = None
    """Paint towards these from now on; paths in them are relative to the data folder."""
    end: Literal["", "keep", "drop", "leave"] = ""
    """keep: finish with the picture so far. drop: give up. leave: checkpoint, to go on at the next start."""


class JobRunner:
    """Paint jobs one after the other, all in one thread."""

    def __init__(
        self,
        settings: WorkerSettings,
        models: ModelStore,
        files: Files,
        emit: Emit,
        moderation: ModerationSettings | None = None,
        enlarge_to: int = 0,
    ) -> None:
        self._settings = settings
        self._enlarge_to = enlarge_to
        self._models = models
        self._check = PictureCheck(moderation or ModerationSettings(), models)
        self._files = files
        self._emit = emit

    def paint(self, job: Job, controls: Controls) -> None:
        """Paint the job until it ends, in whichever way, and emit that event.

        Raises `torch.AcceleratorError` only: this process cannot use its device any more.
        """
        with logs.of_job(job.id):
            try:
                self.step_taken()
                self._paint(job, controls)
            finally:
                faulthandler.cancel_dump_traceback_later()

    def step_taken(self) -> None:
        """Put off the end of a process that hangs. The timer is C's own: it runs out even when no Python runs."""
        if self._settings.hang_seconds:
            faulthandler.dump_traceback_later(self._settings.hang_seconds, exit=True, file=_STDERR)

    def _paint(self, job: Job, controls: Controls) -> None:
        try:
            self._emit(self._painted(job, controls))
        except torch.AcceleratorError:
            raise
        except Exception as error:
            sentence = _sentence(error)
            log.log(logging.ERROR if sentence is None else logging.WARNING, "Job %s failed", job.id, exc_info=error)
            self._emit(Failed(job.id, sentence or _UNKNOWN.format(job.id)))

    def _painted(self, job: Job, controls: Controls) -> Event:
        if (finished := self._files.picture(job)) is not None:  # the process ended before the ledger knew
            with Image.open(finished) as picture:
                notices = self._check.notices(picture, job.spec)
            return Rendered(job.id, finished, job.seconds or 0.0, job.step, (*job.notices, *notices))
        if self._files.missing(job.spec):
            return Failed(job.id, GONE_BEFORE)
        while True:
            try:
                return self._run(job, controls)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0] or type(error).__name__
            # Not before here: the error held on to all that the painting had taken, and what is made above that stays.
            self._models.device.give_back()
            log.warning("Job %s: no memory for %d × %d pixels (%s)", job.id, job.spec.width, job.spec.height, reason)
            if (spec := smaller(job.spec)) is None:
                return Failed(job.id, _MEMORY.format(job.spec.width, job.spec.height))
            job = self._shrunk(job, spec)

    def _run(self, job: Job, controls: Controls) -> Event:
        try:
            return JobRun(self, job, controls).run()
        except LostError:
            log.warning("Job %s was lost in NaN; it goes on from its last checkpoint at half the learning rate", job.id)
        return JobRun(self, job, controls, slower=True).run()

    def _shrunk(self, job: Job, spec: PaintingSpec) -> Job:
        """Return the job as it is to be painted after memory ran out, told to everybody else."""
        before = [notice for notice in job.notices if notice.startswith(_SHORT)]
        asked = before[0].rpartition(f" {_INSTEAD} ")[2] if before else f"{job.spec.width} × {job.spec.height}."
        notices = [notice for notice in job.notices if notice not in before]
        notices.append(f"{_SHORT} {spec.width} × {spec.height} {_INSTEAD} {asked}")
        self._emit(Shrunk(job.id, spec.width, spec.height, tuple(notices)))
        return replace(job, spec=spec, notices=tuple(notices), step=0)


class JobRun:
    """Paint one job from where it stands."""

    def __init__(self, runner: JobRunner, job: Job, controls: Controls, *, slower: bool = False) -> None:
        self._settings, self._files, self._emit = runner._settings, runner._files, runner._emit
        self._step_taken = runner.step_taken
        self._check = runner._check
        self._enlarge_to = runner._enlarge_to
        self._job = job
        self._controls = controls
        self._spec = job.spec
        spec = self._files.resolved(job.spec)
        if slower:
            spec = spec.but(learning_rate=spec.learning_rate / 2)
        self._painting = Painting(spec, runner._models)
        self._seconds_before = 0.0
        self._began = self._reported = self._saved = time.monotonic()
        self._resume()
        self._reported_step = self._saved_step = self._painting.step
        self._seconds_per_step = math.nan
        self._stride = math.ceil(spec.steps / self._settings.frames) if self._settings.frames else 0

    def run(self) -> Event:
        """Paint until the end, whichever it is."""
        self._emit(Started(self._job.id, self._painting.step, self._painting.spec.steps))
        while not self._controls.end:
            iterate = next(self._painting, None)
            if iterate is None:
                break
            self._after(iterate)
        if self._controls.end == "drop":
            return Stopped(self._job.id)
        if self._controls.end == "leave":
            self._checkpoint()
            return Stopped(self._job.id, back_soon=True)
        return self._finish()

    def _after(self, iterate: Iterate) -> None:
        self._step_taken()
        if (prompts := self._controls.prompts) not in (None, self._spec.prompts):
            self._spec = self._spec.but(prompts=prompts)
            self._painting.steer(self._files.resolved(self._spec).prompts)
        preview_due = self._controls.preview_wanted and iterate.step >= self._settings.first_preview_step
        frame_due = self._stride > 0 and (iterate.step - 1) % self._stride == 0
        picture = iterate.picture() if preview_due or frame_due else None
        if picture is not None and self._check.hides(picture, self._spec):
            picture, self._controls.preview_wanted = None, False
        if picture is not None and frame_due:
            self._keep_frame(picture, iterate.step)
        if preview_due or time.monotonic() - self._reported >= _PROGRESS_SECONDS:
            self._progress(iterate, picture if preview_due else None)
        if time.monotonic() - self._saved >= self._settings.checkpoint_seconds:
            self._checkpoint()

    def _progress(self, iterate: Iterate, picture: Image.Image | None) -> None:
        preview = None
        if picture is not None:
            self._controls.preview_wanted = False
            preview = preview_jpeg(enlarged(picture, self._enlarge_to), self._settings.preview_side)
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
        self._emit(Progress(self._job.id, iterate.step, iterate.steps, 1 / self._seconds_per_step, left, loss, preview))

    def _keep_frame(self, picture: Image.Image, step: int) -> None:
        frame = preview_jpeg(picture, _FRAME_SIDE)
        path = self._files.frame_path(self._job.id, step)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(frame)  # not worth a sync: a film may miss a frame
        except OSError:
            log.exception("A frame of job %s could not be kept; no more are tried", self._job.id)
            self._stride = 0

    def _checkpoint(self) -> None:
        if self._painting.step == self._saved_step:
            return  # nothing new, or nothing at all yet
        content = io.BytesIO()  # torch's own writer hides what is wrong with a disk
        torch.save({"painting": self._painting.state_dict(), "seconds": self._seconds()}, content)
        self._saved = time.monotonic()
        try:
            write_whole(self._files.checkpoint_path(self._job.id), lambda part: part.write_bytes(content.getbuffer()))
        except (OSError, StorageError):
            log.exception("Job %s could not be checkpointed; it is painted on without", self._job.id)
            return
        self._saved_step = self._painting.step
        self._emit(Checkpointed(self._job.id, self._painting.step))

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one that can be read."""
        path = self._files.checkpoint_path(self._job.id)
        if not path.exists():
            return
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            saved = PaintingSpec.from_json(content["painting"]["spec"])
            if (saved.width, saved.height) != (self._spec.width, self._spec.height):
                log.info("The checkpoint of job %s is of another size; it starts anew", self._job.id)
                return
            self._painting.load_state_dict(content["painting"])
            self._seconds_before = content["seconds"]
        except (OSError, RuntimeError, KeyError, EOFError, BadSpecError, pickle.UnpicklingError) as error:
            if isinstance(error, RuntimeError) and out_of_memory(error):
                raise
            log.warning("The checkpoint of job %s cannot be used; it starts anew", self._job.id, exc_info=error)

    def _finish(self) -> Rendered:
        job, painting = self._job, self._painting
        picture = painting.picture()
        notices = self._check.notices(picture, self._spec)
        if self._stride and not notices:
            self._keep_frame(picture, painting.step + 1)
        write_whole(self._files.latent_path(job.id), painting.save_latent)
        path = self._files.result_path(job)
        save_png(picture, path, self._spec)  # last: a picture in its place says that the job is done
        steered = painting.spec.prompts != job.spec.prompts  # away from words that are not known, perhaps
        before = (notice for notice in job.notices if not (steered and notice.startswith(UNKNOWN_WORDS)))
        said = dict.fromkeys((*before, *painting.notices, *notices))
        return Rendered(job.id, path, self._seconds(), painting.step, tuple(said))

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began


def _sentence(error: Exception) -> str | None:
    """Return what the requester may read of an error; None for what only the log should hold."""
    if is_full_disk(error):
        return FULL_DISK
    # The engine's and the bot's own errors are sentences for people; the text of any other is for the log.
    ours = type(error).__module__.split(".")[0] in ("engine", "bot")
    return _FOLDERS.sub("", str(error)) if ours else None
