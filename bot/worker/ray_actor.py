"""A painter as an actor of a Ray cluster: orders in, a stream of events out, controls beside it. Imports no Ray."""

import hashlib
import logging
import os
import queue
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import cache
from pathlib import Path

import torch

from bot import logs
from bot.available_models import is_here, perceptors, usual_generator
from bot.settings import ModelSettings, Settings
from bot.worker.events import PainterEvent
from bot.worker.orders import Control, Inbox, Order
from bot.worker.thread import set_up
from engine.catalog import ModelMissingError, catalogue, fetch, verify
from engine.devices import Device

log = logging.getLogger(__name__)

UNREAD = 8
"""Events that a painter may be ahead of who reads them; then it waits."""
Said = tuple[PainterEvent, int]


class NodeError(Exception):
    """A machine of the cluster that cannot paint; the text is one sentence for the owner."""


class PaintingActor:
    """Own one device of the cluster. All painting happens in one thread, whichever threads Ray calls from."""

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._entering = threading.Lock()
        self._events: queue.Queue[Said | None] = queue.Queue(UNREAD)
        self._device: Future[Device] | None = None

    def here(self) -> tuple[str, int]:
        """Name the machine, and this process on it."""
        return socket.gethostname(), os.getpid()

    def ready(self, settings: Settings, code: str) -> Device:
        """Get device and models ready, once; raise `NodeError`. `code` is the bot's `code_version`."""
        with self._entering:
            if self._device is None or self._device.exception() is not None:
                self._device = Future()
                threading.Thread(target=self._run, args=(settings, code, self._device), daemon=True).start()
            device = self._device
        return device.result()

    def paint(self, order: Order) -> Iterator[Said | None]:
        """Paint one order; yield None once it has been taken, so that controls find it, then its events."""
        if self._device is None:  # Ray started it anew
            raise NodeError(f"{socket.gethostname()}: the painter was started anew and is not ready.")
        with self._entering:
            self._inbox.put(order)
        yield None
        while (said := self._events.get()) is not None:
            yield said

    def control(self, control: Control) -> None:
        """Pass a control on to the painting under way."""
        with self._entering:
            self._inbox.put(control)

    # In the painting thread

    def _run(self, settings: Settings, code: str, ready: Future[Device]) -> None:
        try:
            logs.set_up(settings.log)
            _require_same_code(code)
            _require_weights(settings.models)
            device, runner = set_up(settings, lambda event, attempt: self._events.put((event, attempt)))
        except Exception as error:
            ready.set_exception(NodeError(f"{socket.gethostname()}: {error}"))
            return
        ready.set_result(device)
        while (order := self._inbox.get()) is not None:
            try:
                runner.paint(*order)
            except torch.AcceleratorError:
                log.exception("The device is lost, and only a new process can use it")
                os._exit(1)  # Ray starts the actor anew
            self._events.put(None)


@cache
def code_version() -> str:
    """Return a hash of the code that paints: what the bot and the painters of a cluster must have in common."""
    root = Path(__file__).resolve().parents[2]
    content = hashlib.sha256()
    for path in sorted(path for folder in ("engine", "bot/worker") for path in (root / folder).rglob("*.py")):
        content.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return content.hexdigest()[:16]


def _require_same_code(code: str) -> None:
    if code != code_version():
        raise NodeError(f"this machine has another version of the program ({code_version()}) than the bot ({code}).")


def _require_weights(models: ModelSettings) -> None:
    """Have the usual networks on this machine, whole by their hashes; raise `ModelMissingError`."""
    generator = usual_generator(models)
    for name in (generator, *perceptors(generator, models)):
        if name not in catalogue():
            continue
        model = catalogue()[name]
        if is_here(name, models):
            verify(model, models.folder)
            continue
        try:
            fetch(model, models.folder)
        except (ModelMissingError, OSError) as error:
            files = ", ".join(file.name for file in model.files)
            raise NodeError(f"{models.folder} lacks {files} of the model '{name}' ({error})") from None
