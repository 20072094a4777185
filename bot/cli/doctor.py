"""Checks of the installation: one line each on what is there and what to do."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bot.available_models import usual_pair
from bot.cli.program import program
from bot.settings import BadSettingsError, Settings, load_settings, read_token
from engine.catalog import catalogue, is_whole

OLDEST_PYTHON = (3, 11)
LITTLE_MEMORY = 4 * 2**30
"""Bytes: a full-size generator and perceptor at 256x256 need about this much."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    mark: Literal["ok", "note", "bad"]
    """note: works, but something can be had. bad: painting or the bot will fail."""
    subject: str
    says: str

    def __str__(self) -> str:
        return f"{self.mark:5}{self.subject:13}{self.says}"


def examine(config: Path | None) -> Iterator[Finding]:
    """Run all checks; none raises."""
    yield _python()
    try:
        settings = load_settings(config)
    except BadSettingsError as error:
        yield Finding("bad", "Settings", str(error))
        return
    yield Finding("ok", "Settings", str(config) if config else "the defaults, as there is no config.yaml here")
    for subject, look in (("Torch", _torch), ("Device", _device), ("Memory", _memory), ("Embedded", _embedded)):
        yield from _safely(subject, look, settings)
    yield Finding("ok", "Paints with", usual_pair(settings.models))
    yield from _safely("Sandbox", _sandbox, settings)
    yield from _fetched(settings.models.folder)
    yield _writable("Data folder", settings.storage.folder)
    yield _writable("Model folder", settings.models.folder)
    yield _token()


def _safely(subject: str, look: Callable[[Settings], Finding], settings: Settings) -> Iterator[Finding]:
    try:
        yield look(settings)
    except Exception as error:  # whatever is broken here, the rest is still worth looking at
        yield Finding("bad", subject, f"{error}")


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Finding("bad", "Python", f"{version}: install 3.11 or newer, then run `make setup` again")
    return Finding("ok", "Python", version)


def _torch(_: Settings) -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("bad", "Torch", f"{error}: run `make setup`")
    return Finding("ok", "Torch", torch.__version__)


def _device(settings: Settings) -> Finding:
    import torch

    from engine.devices import pick_device

    device = pick_device(settings.worker.device, settings.worker.precision)
    if not device.is_cuda and not torch.cuda.is_available():
        return Finding("note", "Device", f"{device}: a GPU would paint ten to fifty times faster")
    return Finding("ok", "Device", str(device))


def _memory(settings: Settings) -> Finding:
    from engine.devices import pick_device

    free = pick_device(settings.worker.device, settings.worker.precision).free_memory()
    says = f"{free / 2**30:.1f} GiB free"
    if free < LITTLE_MEMORY:
        return Finding("note", "Memory", f"{says}: enough for the embedded models, little for full-size ones")
    return Finding("ok", "Memory", says)


def _embedded(settings: Settings) -> Finding:
    from engine.devices import pick_device
    from engine.models import ModelStore

    store = ModelStore(settings.models.folder, pick_device("cpu", "fp32"))
    store.generator("embedded")
    store.perceptor("embedded")
    return Finding("ok", "Embedded", "both networks load")


def _sandbox(_: Settings) -> Finding:
    """Confine a process as the one is that decodes what strangers send."""
    command = [sys.executable, "-m", "bot.sandbox"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, env={}, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    means = done.stdout.split()
    if not means:
        return Finding("note", "Sandbox", "neither seccomp nor Landlock: pictures that people send are refused")
    if len(means) == 1:
        return Finding("ok", "Sandbox", f"what people send is decoded under {means[0]}, the only one of two here")
    return Finding("ok", "Sandbox", f"what people send is decoded under {' and '.join(means)}")


def _fetched(folder: Path) -> Iterator[Finding]:
    """Hash what was fetched: a second or two for each gigabyte."""
    any_here = False
    for model in catalogue().values():
        present = [file.name for file in model.files if (folder / file.name).exists()]
        if not present and not model.is_in(folder):
            continue
        any_here = True
        needed = present if model.is_in(folder) else [file.name for file in model.files]
        broken = [file.name for file in model.files if file.name in needed and not is_whole(file, folder / file.name)]
        if broken:
            what = f"{model.name}: {' and '.join(broken)} not whole"
            yield Finding("bad", "Models", f"{what}; run `{program()} models fetch {model.name}`")
        else:
            yield Finding("ok", "Models", f"{model.name} is here and verified")
    if not any_here:
        yield Finding("note", "Models", f"none fetched; for more: `{program()} models fetch published`")


def _writable(subject: str, folder: Path) -> Finding:
    where = folder.resolve()
    try:
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=where):
            pass
    except OSError as error:
        return Finding("bad", subject, f"{where}: {error.strerror}; make it writable or choose another in config.yaml")
    return Finding("ok", subject, str(where))


def _token() -> Finding:
    try:
        token = read_token(os.environ)
    except BadSettingsError as error:
        return Finding("bad", "Token", str(error))
    if token is None:
        return Finding("note", "Token", "no DISCORD_TOKEN: `make run` opens a local page instead of Discord")
    return Finding("ok", "Token", "there")
