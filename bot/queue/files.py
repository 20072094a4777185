"""The data folder: paths, atomic writes, retention."""

import errno
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bot.jobs import Job
from engine.spec import PaintingSpec

log = logging.getLogger(__name__)

FULL_DISK = "The disk of the bot is full; its owner has to make room before anything is painted."
GONE = "This picture is no longer kept: it was deleted, or was older than this bot keeps pictures."
GONE_BEFORE = "What this starts from is no longer kept; send the picture again."
KINDS = ("inputs", "pictures", "latents", "checkpoints", "frames")


class GoneError(Exception):
    """A file that was deleted; the text is one sentence for the person who asked for it."""


class StorageError(Exception):
    """A folder that cannot be written, or a full disk; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Needed:
    """The jobs and paths that retention must keep."""

    job_ids: frozenset[str] = frozenset()
    paths: frozenset[str] = field(default=frozenset())
    """Relative to the data folder."""

    @classmethod
    def by(cls, jobs: Iterable[Job]) -> "Needed":
        """Collect what these jobs, their parents and their specs refer to."""
        jobs = list(jobs)
        ids = {job.id for job in jobs} | {job.parent_id for job in jobs if job.parent_id is not None}
        return cls(frozenset(ids), frozenset(path for job in jobs for path in _paths_in(job.spec)))


class Files:
    """Paths of a job's files, and operations on them. Methods that read or write block: not for the event loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.ledger = self.folder / "ledger.sqlite3"
        self.lock = self.folder / "lock"

    def prepare(self) -> None:
        """Make the folders; raise `StorageError` where that is not possible."""
        try:
            for kind in KINDS:
                (self.folder / kind).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"storage.folder: {self.folder} cannot be written ({error.strerror}).") from None

    def clear_scraps(self) -> None:
        """Delete half-written files of an earlier process. Only for the holder of the lock."""
        for scrap in self.folder.glob("*/*.part"):
            scrap.unlink(missing_ok=True)

    def result_path(self, job: Job) -> Path:
        """Return where the job's final picture, or film, lies or will lie."""
        return self.folder / "pictures" / f"{job.id}.{'mp4' if job.kind == 'timelapse' else 'png'}"

    def checkpoint_path(self, job_id: str) -> Path:
        """Return where the checkpoint of a running job lies or will lie."""
        return self.folder / "checkpoints" / f"{job_id}.pt"

    def latent_path(self, job_id: str) -> Path:
        """Return where the final latent lies or will lie."""
        return self.folder / "latents" / f"{job_id}.safetensors"

    def frame_path(self, job_id: str, step: int) -> Path:
        """Return where the frame of a step lies or will lie."""
        return self.folder / "frames" / job_id / f"{step:06d}.jpg"

    def picture(self, job: Job) -> Path | None:
        """Return the job's final picture or film; None when it is gone or was never made."""
        path = self.result_path(job)
        return path if path.is_file() else None

    def picture_of(self, job: Job) -> str:
        """Return the relative path of the job's picture, for a spec; raise `GoneError`."""
        return self._kept(self.result_path(job))

    def latent_of(self, job: Job) -> str:
        """Return the relative path of the job's latent, for a spec; raise `GoneError`."""
        return self._kept(self.latent_path(job.id))

    def frames(self, job_id: str) -> list[Path]:
        """List the job's frames in order."""
        return sorted((self.folder / "frames" / job_id).glob("*.jpg"))

    def save_input(self, content: bytes, suffix: str) -> str:
        """Keep an uploaded file, such as a PNG with `suffix` ".png"; return its path for a spec.

        Equal contents are kept once. Raises `StorageError` when the disk is full.
        """
        path = self.folder / "inputs" / f"{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
        if path.exists():
            os.utime(path)  # it is young again: retention goes by age
        else:
            write_whole(path, lambda part: part.write_bytes(content))
        return str(path.relative_to(self.folder))

    def resolved(self, spec: PaintingSpec) -> PaintingSpec:
        """Return the spec with paths that the engine can open."""

        def absolute(path: str | None) -> str | None:
            return None if path is None else str(self.folder / path)

        return spec.but(
            init_image=absolute(spec.init_image),
            init_latent=absolute(spec.init_latent),
            mask=absolute(spec.mask),
            prompts=tuple(
                prompt.model_copy(update={"content": absolute(prompt.content)}) if prompt.kind == "image" else prompt
                for prompt in spec.prompts
            ),
        )

    def missing(self, spec: PaintingSpec) -> bool:
        """Tell whether the spec refers to something that is no longer kept."""
        return not all((self.folder / path).is_file() for path in _paths_in(spec))

    def drop_checkpoint(self, job: Job) -> None:
        """Delete the checkpoint of a job that needs none any more."""
        self.checkpoint_path(job.id).unlink(missing_ok=True)

    def forget(self, job: Job) -> None:
        """Delete all that belongs to the job alone."""
        for path in (self.result_path(job), self.checkpoint_path(job.id), self.latent_path(job.id)):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "frames" / job.id, ignore_errors=True)

    def prune(self, needed: Needed, keep_days: float, keep_bytes: float, now: float | None = None) -> int:
        """Delete what is older than `keep_days`, then the oldest while there is more than `keep_bytes`; count it.

        What `needed` names stays, whatever its age.
        """
        now = time.time() if now is None else now
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        deleted = 0
        for changed, size, path in entries:
            if now - changed <= keep_days * 86400 and total <= keep_bytes:
                break
            if path.stem in needed.job_ids or str(path.relative_to(self.folder)) in needed.paths:
                continue
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            total -= size
            deleted += 1
        if deleted:
            log.info("Retention deleted %d files and frame folders; %.1f MB are kept.", deleted, total / 1e6)
        return deleted

    def with_pictures(self) -> frozenset[str]:
        """Name the jobs whose picture or film is kept."""
        return frozenset(path.stem for path in (self.folder / "pictures").iterdir())

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        for kind in KINDS:
            for path in (self.folder / kind).iterdir():
                parts = list(path.iterdir()) if path.is_dir() else [path]
                sizes = [part.stat().st_size for part in parts]
                yield path.stat().st_mtime, sum(sizes), path

    def _kept(self, path: Path) -> str:
        if not path.is_file():
            raise GoneError(GONE)
        return str(path.relative_to(self.folder))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path` and put it in its place; raise `StorageError` when the disk is full."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except Exception as error:
        part.unlink(missing_ok=True)
        if is_full_disk(error):
            raise StorageError(FULL_DISK) from error
        raise


def is_full_disk(error: BaseException) -> bool:
    """Tell a full disk from other failures; safetensors reports it in words of its own."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"os error {errno.ENOSPC}" in str(error)


def _paths_in(spec: PaintingSpec) -> Iterator[str]:
    yield from (path for path in (spec.init_image, spec.init_latent, spec.mask) if path is not None)
    yield from (prompt.content for prompt in spec.prompts if prompt.kind == "image")
