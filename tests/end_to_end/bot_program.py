"""A bot in a process that was forked for it (`tests.warm_processes`).

It runs what `python -m bot run` runs, with the networks that ship, loaded already, shorter pauses and a small preset;
from then on it is a process like any other.
"""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.end_to_end import wrong_clock

# isort: split

import torch
from discord import http

import bot.chat.client
import bot.chat.delivery
import bot.chat.retry
import bot.cli.commands
import bot.queue.dispatcher
import bot.queue.event_writer
import bot.worker.process
import bot.worker.runner
import bot.worker.thread
from bot.chat.client import PaintingBot
from engine.models import ModelStore
from engine.painting import Iterate, Painting
from engine.presets import EMBEDDED
from engine.spec import Cutouts
from tests import warm_processes
from tests.end_to_end.loopback import HurriedAsyncio

PAINT = bot.worker.process.main
SMALL = {
    "width": 32,
    "height": 32,
    "steps": 2,
    "start": "noise",
    "candidates": 1,
    "coarse": 0.0,
    "cutouts": Cutouts(count=1),
}


def hurry() -> None:
    """Let pauses be short, and the quickest preset small."""
    EMBEDDED["draft"] = SMALL  # type: ignore[index]
    bot.chat.retry.retried.__kwdefaults__["first_pause"] = 0.05  # type: ignore[index]  # faults pass sooner here than at Discord
    bot.chat.retry._LONGEST_PAUSE = 0.5
    bot.chat.delivery._OUTAGE_SECONDS = 1.0
    bot.chat.client._FIRST_PAUSE = 0.2
    bot.queue.event_writer.RETRY_SECONDS = bot.queue.dispatcher.RETRY_SECONDS = 0.5
    http.asyncio = HurriedAsyncio()  # type: ignore[assignment]
    http.HTTPClient.__init__ = shorter_rate_limits(http.HTTPClient.__init__)  # type: ignore[method-assign]
    PaintingBot.before_identify_hook = at_once  # type: ignore[method-assign]  # the library's takes 5 s


def shorter_rate_limits(init: Callable[..., None]) -> Callable[..., None]:
    """Let the library wait for rate limits of at most two seconds, where it takes no less than 30."""

    def begin(self: http.HTTPClient, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        self.max_ratelimit_timeout = 2.0

    return begin


async def at_once(client: PaintingBot, shard_id: int | None, *, initial: bool = False) -> None:
    """Identify anew without a pause."""


class LosesDevice(Painting):
    """Poison the device after step 20 of a painting, as often as the file device-losses in the working folder says."""

    def __next__(self) -> Iterate:
        losses = Path("device-losses")
        if self.step >= 20 and losses.exists() and (left := int(losses.read_text(encoding="utf-8") or 0)):
            losses.write_text(str(left - 1), encoding="utf-8")
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return super().__next__()


def settle(order: dict[str, Any]) -> None:
    """Take the environment, folder, log, models and clock that were ordered."""
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if order["models"]:
        others = functools.partial(ModelStore, embedded=Path(order["models"]))
        bot.worker.thread.ModelStore = others  # type: ignore[misc]
    bot.worker.runner.Painting = LosesDevice  # type: ignore[misc]
    wrong_clock.follow(Path("clock"))


def paint(order: dict[str, Any], *arguments: Any) -> None:
    """Be a painting process of that bot, which has all that from its parent."""
    settle(order)
    PAINT(*arguments)


def live(order: dict[str, Any]) -> None:
    """Be the bot that was ordered, and end with it; its painting processes are forked from the same server."""
    hurry()
    if order["environment"].get("PAINTER__WORKER__ISOLATION") == "process":
        warm_processes.fork_painters_from(order["server"])
        bot.worker.process.main = functools.partial(paint, order)
    os.setsid()
    settle(order)
    sys.argv = ["bot", "run"]
    code = 1
    try:
        bot.cli.commands.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        Path(f"exit-{os.getpid()}").write_text(str(code), encoding="utf-8")
        os._exit(code)
