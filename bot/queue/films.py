"""Time-lapses: encode a job's frames as a film, in a thread beside the worker."""

import logging
import time
from pathlib import Path

from bot.full_disk import FULL_DISK, is_full_disk
from bot.jobs import Job
from bot.queue.files import GONE, Files
from bot.settings import Settings
from bot.worker.events import Failed, Rendered
from engine.timelapse import write_gif, write_timelapse

log = logging.getLogger(__name__)

_SECONDS = 8.0
"""How long a film lasts, however many frames there are."""
_SLOWEST, _FASTEST = 5.0, 30.0


def animation(job: Job, files: Files, settings: Settings) -> Path | None:
    """Return the film of an animation, made where it is not there yet; its last picture where it cannot be made."""
    motion = job.spec.motion
    path = files.animation_path(job)
    if motion is None or path.is_file():
        return path if motion is not None else files.picture(job)
    frames, limit = files.frames(job.id), int(settings.worker.film_megabytes * 2**20)
    try:
        if motion.format == "gif":
            write_gif(frames, path, motion.fps, limit)
        else:
            write_timelapse(frames, path, motion.fps, limit, settings.delivery.enlarge_to, held=(0.0, 0.0))
    except (OSError, ValueError, IndexError):
        log.exception("Job %s: the animation could not be encoded", job.id)
        return files.picture(job)
    return path


def film(job: Job, files: Files, settings: Settings, earlier: Job | None = None) -> Rendered | Failed:
    """Make the film of the job's parent, enlarged as pictures are; return how it ended.

    One that was made `earlier` of the same frames is the same film: both jobs share the one file.
    """
    began = time.monotonic()
    if earlier is not None and (made := files.picture(earlier)) is not None:
        path = files.result_path(job)
        path.unlink(missing_ok=True)  # of an attempt that was interrupted
        path.hardlink_to(made)
        return Rendered(job.id, path, time.monotonic() - began, earlier.step)
    frames = files.frames(job.parent_id) if job.parent_id is not None else []
    if not frames:
        return Failed(job.id, GONE)
    path = files.result_path(job)
    fps = min(max(len(frames) / _SECONDS, _SLOWEST), _FASTEST)
    try:
        write_timelapse(frames, path, fps, int(settings.worker.film_megabytes * 2**20), settings.delivery.enlarge_to)
    except (OSError, ValueError) as error:
        if is_full_disk(error):
            return Failed(job.id, FULL_DISK)
        if isinstance(error, OSError):
            raise
        return Failed(job.id, "The time-lapse does not fit under the upload limit.")
    return Rendered(job.id, path, time.monotonic() - began, len(frames), job.notices)
