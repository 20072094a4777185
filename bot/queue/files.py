"""The data folder: paths, atomic writes, retention."""

import hashlib
import logging
import os
import re
import shutil
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from bot.full_disk import FULL_DISK, is_full_disk
from bot.jobs import Job
from engine.prompts import Prompt
from engine.spec import PaintingSpec

log = logging.getLogger(__name__)

GONE = "This picture is no longer kept: it was deleted, or was older than this bot keeps pictures."
GONE_BEFORE = "What this starts from is no longer kept; send the picture again."
KINDS = ("inputs", "pictures", "latents", "checkpoints", "frames")


_Entry = tuple[float, int, Path]
"""When a file or folder was changed (unix seconds), its bytes, and where it lies."""


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
            self.folder.chmod(0o700)  # what people asked for is nobody else's on this machine
        except OSError as error:
            raise StorageError(f"storage.folder: {self.folder} cannot be written ({error.strerror}).") from None

    def clear_scraps(self) -> None:
        """Delete half-written files of an earlier process. Only for the holder of the lock."""
        for scrap in self.folder.glob("*/*.part"):
            scrap.unlink(missing_ok=True)

    def result_path(self, job: Job, index: int = 0) -> Path:
        """Return where one of the job's final pictures, or its film, lies or will lie."""
        return self.folder / "pictures" / f"{_name(job.id, index)}.{'mp4' if job.kind == 'timelapse' else 'png'}"

    def animation_path(self, job: Job) -> Path:
        """Return where the film of an animation lies or will lie."""
        suffix = job.spec.motion.format if job.spec.motion is not None else "mp4"
        return self.folder / "pictures" / f"{checked_id(job.id)}.{suffix}"

    def checkpoint_path(self, job_id: str) -> Path:
        """Return where the checkpoint of a running job lies or will lie."""
        return self.folder / "checkpoints" / f"{checked_id(job_id)}.pt"

    def latent_path(self, job_id: str, index: int = 0) -> Path:
        """Return where the latent of one of the final pictures lies or will lie."""
        return self.folder / "latents" / f"{_name(job_id, index)}.safetensors"

    def frame_path(self, job_id: str, step: int) -> Path:
        """Return where the frame of a step lies or will lie."""
        return self.folder / "frames" / checked_id(job_id) / f"{step:06d}.jpg"

    def picture(self, job: Job) -> Path | None:
        """Return the job's final picture, the first of several, or film; None when it is gone or was never made."""
        path = self.result_path(job)
        return path if path.is_file() else None

    def pictures(self, job: Job) -> list[Path]:
        """List the job's final pictures, or its film; none when they are gone or were never made."""
        count = 1 if job.kind == "timelapse" else job.spec.count
        paths = [self.result_path(job, index) for index in range(count)]
        return paths if all(path.is_file() for path in paths) else []

    def picture_of(self, job: Job, index: int = 0) -> str:
        """Return the relative path of one of the job's pictures, for a spec; raise `GoneError`."""
        return self._kept(self.result_path(job, index))

    def latent_of(self, job: Job, index: int = 0) -> str:
        """Return the relative path of the latent of one of the job's pictures, for a spec; raise `GoneError`."""
        return self._kept(self.latent_path(job.id, index))

    def frames(self, job_id: str) -> list[Path]:
        """List the job's frames in order."""
        return sorted((self.folder / "frames" / checked_id(job_id)).glob("*.jpg"))

    def save_input(self, content: bytes, suffix: str) -> str:
        """Keep an uploaded file, such as a PNG with `suffix` ".png"; return its path for a spec.

        Equal contents are kept once. Raises `StorageError` when the disk is full.
        """
        path = self.folder / "inputs" / f"{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
        if path.exists():
            os.utime(path)  # it is young again: retention goes by age
        else:
            _write_bytes(path, content)
        return str(path.relative_to(self.folder))

    def inputs(self, wanted: PaintingSpec | tuple[Prompt, ...]) -> dict[str, bytes]:
        """Read all files that a spec or some prompts name; raise `GoneError` when one is no longer kept."""
        paths = _paths_in(wanted) if isinstance(wanted, PaintingSpec) else _pictures_in(wanted)
        try:
            return {path: self._inside(path).read_bytes() for path in set(paths)}
        except FileNotFoundError:
            raise GoneError(GONE_BEFORE) from None

    def delete_inputs(self, paths: Iterable[str]) -> None:
        """Delete files of the folder `inputs`; whatever else is named is left alone."""
        for path in paths:
            kind, _, name = path.partition("/")
            if kind == "inputs" and name and "/" not in name and name not in {".", ".."}:
                (self.folder / kind / name).unlink(missing_ok=True)

    def input_paths(self) -> frozenset[str]:
        """Name the files that people sent, as specs do."""
        return frozenset(f"inputs/{path.name}" for path in (self.folder / "inputs").iterdir())

    def checkpoint(self, job_id: str) -> bytes | None:
        """Read the job's last checkpoint; None when there is none."""
        try:
            return self.checkpoint_path(job_id).read_bytes()
        except FileNotFoundError:
            return None

    def save_checkpoint(self, job_id: str, content: bytes) -> None:
        """Keep a checkpoint in place of the one before; raise `StorageError` when the disk is full."""
        _write_bytes(self.checkpoint_path(job_id), content)

    def save_frame(self, job_id: str, step: int, jpeg: bytes) -> None:
        """Keep one picture of the time-lapse."""
        path = self.frame_path(job_id, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg)  # not worth a sync: a film may miss a frame

    def save_result(self, job: Job, pictures: Sequence[bytes], latents: Sequence[bytes]) -> Path:
        """Keep the final pictures and their latents, and return the first picture's path; raise `StorageError`.

        The first picture comes last: where it lies, all of them do.
        """
        for index, latent in enumerate(latents):
            _write_bytes(self.latent_path(job.id, index), latent)
        for index, picture in reversed(list(enumerate(pictures))):
            _write_bytes(self.result_path(job, index), picture)
        return self.result_path(job)

    def drop_checkpoint(self, job: Job) -> None:
        """Delete the checkpoint of a job that needs none any more."""
        self.checkpoint_path(job.id).unlink(missing_ok=True)

    def delete(self, job: Job) -> None:
        """Delete all that belongs to the job alone."""
        self.checkpoint_path(job.id).unlink(missing_ok=True)
        self.animation_path(job).unlink(missing_ok=True)
        for index in range(job.spec.count):
            self.result_path(job, index).unlink(missing_ok=True)
            self.latent_path(job.id, index).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "frames" / checked_id(job.id), ignore_errors=True)

    def prune(
        self,
        needed: Needed,
        keep_days: float,
        keep_bytes: float,
        now: float | None = None,
        owners: Mapping[str, int] = MappingProxyType({}),
    ) -> int:
        """Delete what is older than `keep_days`, then while there is more than `keep_bytes`; return how many.

        What `needed` names stays, whatever its age. Where room has to be made, it is whoever has the most (`owners`
        names people by job) that loses their oldest, so that nobody's pictures are pushed out by another's.
        """
        now = time.time() if now is None else now
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        free = [entry for entry in entries if not self._is_needed(entry[2], needed)]
        old = [entry for entry in free if now - entry[0] > keep_days * 86400]
        total -= sum(size for _, size, _ in old)
        old += _over_share(free[len(old) :], total - keep_bytes, owners)
        for _, _, path in old:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if old:
            kept = sum(size for _, size, _ in entries) - sum(size for _, size, _ in old)
            log.info("Retention deleted %d files and frame folders; %.1f MB are kept.", len(old), kept / 1e6)
        return len(old)

    def _is_needed(self, path: Path, needed: Needed) -> bool:
        return _job_of(path) in needed.job_ids or str(path.relative_to(self.folder)) in needed.paths

    def with_pictures(self) -> frozenset[str]:
        """Name the jobs whose picture or film is kept."""
        return frozenset(_job_of(path) for path in (self.folder / "pictures").iterdir())

    def _entries(self) -> Iterator[_Entry]:
        for path in (path for kind in KINDS for path in (self.folder / kind).iterdir()):
            try:
                parts = list(path.iterdir()) if path.is_dir() else [path]
                sizes = [part.stat().st_size for part in parts]
                yield path.stat().st_mtime, sum(sizes), path
            except FileNotFoundError:  # deleted, or given its name, this moment
                continue

    def _inside(self, path: str) -> Path:
        """Return where a path of a spec leads; raise `StorageError` where that is outside the data folder."""
        resolved = (self.folder / path).resolve()
        if not resolved.is_relative_to(self.folder.resolve()):
            raise StorageError("A job refers to a file outside the data folder; it was not asked of this program.")
        return resolved

    def _kept(self, path: Path) -> str:
        if not path.is_file():
            raise GoneError(GONE)
        return str(path.relative_to(self.folder))


def _over_share(entries: list[_Entry], surplus: float, owners: Mapping[str, int]) -> list[_Entry]:
    """Choose what makes room for `surplus` bytes: always the oldest of whoever has the most."""
    of_owner: defaultdict[int | None, deque[_Entry]] = defaultdict(deque)
    sizes: Counter[int | None] = Counter()
    for entry in entries:
        owner = owners.get(_job_of(entry[2]))
        of_owner[owner].append(entry)
        sizes[owner] += entry[1]
    chosen: list[_Entry] = []
    while surplus > 0 and sizes:
        owner = max(sizes, key=lambda one: sizes[one])
        entry = of_owner[owner].popleft()
        chosen.append(entry)
        surplus -= entry[1]
        sizes[owner] -= entry[1]
        if not of_owner[owner]:
            del sizes[owner]
    return chosen


def _name(job_id: str, index: int) -> str:
    """Name one of a job's pictures, without its suffix."""
    return f"{checked_id(job_id)}.{index + 1}" if index else checked_id(job_id)


def _job_of(path: Path) -> str:
    """Return the id of the job that a file or a folder belongs to."""
    return path.name.partition(".")[0]


def checked_id(job_id: str) -> str:
    """Return a job's id, which becomes the name of files; raise `StorageError` for one that could lead elsewhere."""
    if re.fullmatch(r"[a-z0-9]{1,32}", job_id) is None:
        raise StorageError("The ledger holds a job with an id that is no id; it was not written by this program.")
    return job_id


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


def _write_bytes(path: Path, content: bytes) -> None:
    write_whole(path, lambda part: part.write_bytes(content))


def _paths_in(spec: PaintingSpec) -> Iterator[str]:
    yield from (path for path in (spec.init_image, spec.init_latent, spec.mask) if path is not None)
    yield from _pictures_in(spec.prompts)


def _pictures_in(prompts: tuple[Prompt, ...]) -> Iterator[str]:
    yield from (prompt.content for prompt in prompts if prompt.kind == "image")
