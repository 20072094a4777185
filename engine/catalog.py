"""Which models can be fetched (`catalog.yaml` lists them), and fetching them whole and unaltered."""

import contextlib
import errno
import time
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pooch
import requests
import yaml
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

Kind = Literal["generator", "perceptor", "upscaler"]

_ATTEMPTS = 4
_PAUSE = 1.0  # seconds before the second attempt; doubled for each further one
_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of the body
_PIECE = 2**20
_MOST_BYTES = 20 * 2**30
"""Of a file whose size is not published."""
_OLD_FORMAT = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickled number that torch's files began with

# Each attempt's failure is answered by the next mirror: the network's, the disk's, and a file with another hash.
_FAILURES = (OSError, ValueError)


class UnknownModelError(ValueError):
    """A name that no model has; its text is one sentence for people."""


class ModelMissingError(Exception):
    """A model that is not on this machine and could not be fetched; its text is one sentence for people."""


@dataclass(frozen=True)
class RemoteFile:
    """Say where one file comes from and how to recognise it."""

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    """None: whatever comes first is trusted, and recorded beside the file."""
    bytes: int | None = None


@dataclass(frozen=True)
class Model:
    """Describe one published model."""

    name: str
    kind: Kind
    licence: str
    source: str
    files: tuple[RemoteFile, ...]

    @property
    def bytes(self) -> int | None:
        """Return how much is to be downloaded, None if nobody wrote it down."""
        sizes = [file.bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def converted(self, folder: Path) -> Path:
        """Return where the model's safetensors file is, once it was first loaded."""
        path = folder / self.files[-1].name
        return path.with_suffix(".read.safetensors" if path.suffix == ".safetensors" else ".safetensors")

    def is_in(self, folder: Path) -> bool:
        """Return whether the model could be loaded from `folder`, without looking into its files."""
        return self.converted(folder).exists() or all((folder / file.name).exists() for file in self.files)


@cache
def catalogue() -> Mapping[str, Model]:
    """Return every model that can be fetched, by name."""
    listed = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    kinds: tuple[Kind, ...] = ("generator", "perceptor", "upscaler")
    return {name: _model(name, kind, entry) for kind in kinds for name, entry in listed[f"{kind}s"].items()}


def _model(name: str, kind: Kind, entry: dict[str, Any]) -> Model:
    files = tuple(RemoteFile(**{**file, "urls": tuple(file["urls"])}) for file in entry["files"])
    assert all(url.startswith("https://") for file in files for url in file.urls)
    return Model(name, kind, entry["licence"], entry["source"], files)


def find(name: str, kind: Kind | None = None) -> Model:
    """Return the model `name`; raise `UnknownModelError`, which names those there are."""
    names = [model.name for model in catalogue().values() if kind in (None, model.kind)]
    if name not in names:
        raise UnknownModelError(f"There is no {kind or 'model'} '{name}'; there are embedded, {', '.join(names)}.")
    return catalogue()[name]


def fetch(model: Model, folder: Path, console: Console | None = None) -> None:
    """Make the files of `model` be in `folder`, whole, with a progress bar on `console`.

    What is there and right stays; what is truncated, altered or a web page is replaced. Two processes may fetch at
    once: the second waits. Raise `ModelMissingError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(model.converted(folder).with_suffix(".lock")), _progress_bar(console) as progress:
        converted = model.converted(folder).exists()
        for file in model.files:
            if not converted or (folder / file.name).exists():  # once converted, the originals may be deleted
                _obtain(file, model, folder, progress)


def missing(model: Model, folder: Path) -> ModelMissingError:
    """Return the error that says how to get a model that is not in `folder`."""
    return ModelMissingError(
        f"The model '{model.name}' is not on this machine: run `models fetch {model.name}`, "
        f"or put {_by_hand(model, folder)} into {folder}."
    )


def _by_hand(model: Model, folder: Path) -> str:
    """Name every file that is to be put there, and where each comes from."""
    absent = [file for file in model.files if not is_whole(file, folder / file.name)]
    return " and ".join(f"{file.urls[0]} as {file.name}" for file in absent)


def is_whole(file: RemoteFile, path: Path) -> bool:
    """Return whether `path` is `file`: by its hash where one is known, else by its form."""
    known = file.sha256 or _recorded(path)
    if not path.exists() or known is None:
        return path.exists() and _looks_right(path, file.name)
    # The size first: it takes no reading.
    return file.bytes in (None, path.stat().st_size) and pooch.file_hash(str(path)) == known


def verify(model: Model, folder: Path) -> None:
    """Hold the files of `model` in `folder` to their hashes, however they came there; raise `ModelMissingError`.

    A file is read once: what was found right is noted by size and time of change, and read again when those differ.
    """
    for file in model.files:
        path = folder / file.name
        known = file.sha256 or _recorded(path)
        if known is None or _noted(path) == _stamp(path, known):
            continue
        if not is_whole(file, path):
            raise ModelMissingError(
                f"{path} is not the published file (its size or SHA-256 differs): delete it, "
                f"and run `models fetch {model.name}`."
            )
        with contextlib.suppress(OSError):  # a folder that cannot be written: it is read again next time
            _note_of(path).write_text(_stamp(path, known))


def _stamp(path: Path, sha256: str) -> str:
    status = path.stat()
    return f"{sha256} {status.st_size} {status.st_mtime_ns}\n"


def _note_of(path: Path) -> Path:
    return path.with_name(path.name + ".verified")


def _noted(path: Path) -> str | None:
    return _note_of(path).read_text() if _note_of(path).is_file() else None


def _looks_right(path: Path, name: str) -> bool:
    """Return whether it is a whole checkpoint or config and no web page, as far as that goes without a hash."""
    if name.endswith(".safetensors"):
        with path.open("rb") as opened:
            header, size = int.from_bytes(opened.read(8), "little"), path.stat().st_size
            return header < size and opened.read(1) == b"{"
    if not name.endswith(".yaml"):
        with path.open("rb") as opened:
            before_torch_1_6 = opened.read(len(_OLD_FORMAT)) == _OLD_FORMAT
        return before_torch_1_6 or zipfile.is_zipfile(path)  # which finds a table at the file's very end
    try:
        return isinstance(yaml.safe_load(path.read_text()), dict)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False


def _obtain(file: RemoteFile, model: Model, folder: Path, progress: Progress) -> None:
    path = folder / file.name
    reason = "no address is known"
    for url in () if is_whole(file, path) else file.urls:
        try:
            _retrieve(file, url, folder, progress)
            break
        except _FAILURES as error:
            reason = _in_short(error)
    if not is_whole(file, path):
        raise ModelMissingError(
            f"The model '{model.name}' could not be fetched ({reason}): try again with a working connection, "
            f"or put {_by_hand(model, folder)} into {folder}."
        )
    if file.sha256 is None and _recorded(path) is None:
        _record(path).write_text(f"{pooch.file_hash(str(path))}  {file.name}\n")


def _retrieve(file: RemoteFile, url: str, folder: Path, progress: Progress) -> None:
    known = file.sha256 or _recorded(folder / file.name)
    if known is None:
        (folder / file.name).unlink(missing_ok=True)  # not whole, or it would not be fetched; pooch could not tell
    pooch.get_logger().setLevel("WARNING")  # the progress bar says the rest
    pooch.retrieve(
        url,
        known_hash=f"sha256:{known}" if known else None,
        fname=file.name,
        path=folder,
        downloader=_Download(file, folder, progress),
    )


class _Download:
    """Download for pooch, going on where a broken connection or an earlier run stopped."""

    def __init__(self, file: RemoteFile, folder: Path, progress: Progress) -> None:
        self._file = file
        self._folder = folder
        self._progress = progress
        self._task = progress.add_task(file.name, total=file.bytes)

    def __call__(self, fname: str, action: Any, pooch: Any, *, check_only: bool | None = None) -> None:
        """Write what the URL `fname` sends to the path `action` (pooch's names); raise `OSError` if it breaks off."""
        del pooch, check_only
        url, output_file = fname, action
        part = self._folder / f"{self._file.name}.{zlib.crc32(url.encode()):08x}.part"  # one per mirror
        for attempt in range(_ATTEMPTS):
            have = _size_of(part)
            try:
                self._stream(url, part)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                # Nothing twice: there is no connection, and whoever waits should know at once.
                nothing_came = attempt > 0 and _size_of(part) == have
                if nothing_came or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_PAUSE * 2**attempt)
        if self._file.sha256 is None and not _looks_right(part, self._file.name):
            part.unlink()
            raise ValueError(f"{url} sent another file")
        part.replace(output_file)

    def _stream(self, url: str, part: Path) -> None:
        have = _size_of(part)
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                part.unlink()
                raise requests.ConnectionError(f"{url} has a shorter file than before")
            response.raise_for_status()
            passed = [step.url for step in (*response.history, response)]
            if url.startswith("https:") and not all(step.startswith("https:") for step in passed):
                raise ValueError(f"{url} leads to a connection that anybody could alter")
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise ValueError(f"{url} sent a web page")
            have = have if response.status_code == requests.codes.partial_content else 0
            length = response.headers.get("Content-Length")
            self._progress.update(self._task, completed=have, total=have + int(length) if length else self._file.bytes)
            with part.open("ab" if have else "wb") as output:
                most = self._file.bytes or (have + int(length) if length else _MOST_BYTES)
                for piece in response.iter_content(_PIECE):
                    have += len(piece)
                    if have > most:
                        break
                    output.write(piece)
                    self._progress.advance(self._task, len(piece))
            if have > most:
                part.unlink()
                raise ValueError(f"{url} sends more than the {most} bytes of the file")


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _record(path: Path) -> Path:
    """Return where the hash of a file that was trusted on first use is kept, as `sha256sum -c` reads it."""
    return path.with_name(path.name + ".sha256")


def _recorded(path: Path) -> str | None:
    return _record(path).read_text().split()[0] if _record(path).exists() else None


def _in_short(error: Exception) -> str:
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "the server cannot be reached"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    return str(error).split("\n")[0].rstrip(".")


def _progress_bar(console: Console | None) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=console is None)
