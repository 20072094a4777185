"""Steady work for half an hour: `python -m tests.end_to_end.soak --minutes 30 --name after`.

The command that people start (`python -m bot run`, the shipped pair, preset draft, every setting at its default but for
the places of things) lives on the loopback Discord, where somebody asks for something every few seconds: a picture by
command, by reaction, by button, a film; the queue and the history in between. Written to bench/soak/NAME.json.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from local_discord.ids import Json
from local_discord.objects import Channel, Interaction
from tests.end_to_end.bot_process import ROOT, Bot, BotProcesses
from tests.end_to_end.loopback import Loopback, Message, until

RESULTS = ROOT / "bench" / "soak"
AS_SHIPPED = {
    "worker__precision": "auto",
    "worker__checkpoint_seconds": 15,
    "worker__frames": 120,
    "discord__preview_seconds": 3,
    "log__format": "json",
}
ROUND = ("imagine", "imagine", "🔁", "imagine", "vary", "imagine", "🎲", "timelapse")
PEOPLE = 8
_SAMPLE_SECONDS = 5.0
_LAST_FINAL_SECONDS = 300.0


class Plain:
    """Start bots as people do, in place of forking them."""

    def start(self, order: Json) -> int:
        """Start the command in the order's folder; return its process id."""
        environment = os.environ | order["environment"] | {"PYTHONPATH": str(ROOT)}
        with Path(order["log"]).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bot", "run"], cwd=order["folder"], env=environment, stdout=log, stderr=log
            )
        return process.pid


@dataclass
class SoakRequest:
    """One thing asked for; times in seconds since the soak began, or since it was asked for."""

    at: float
    kind: str
    answer: float | None = None
    final: float | None = None


@dataclass
class Course:
    """What was seen, as it is written down."""

    every: float
    minutes: float
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Time, and resident MiB of the bot."""
    open_files: list[tuple[float, int]] = field(default_factory=list)
    requests: list[SoakRequest] = field(default_factory=list)

    def growth(self) -> float:
        """Return by how many MiB the memory grew at most since each kind of request had been answered once."""
        first: dict[str, float] = {}
        for one in self.requests:
            done = one.at + (one.final or one.answer or 0.0)
            first[one.kind] = min(done, first.get(one.kind, done))
        warm = [memory for at, memory in self.memory if at >= max(first.values())] or [self.memory[-1][1]]
        return max(warm) - warm[0]

    def part(self, begin: float, end: float) -> dict[str, float]:
        """Sum up what happened between two times."""
        within = [request for request in self.requests if begin <= request.at < end]
        answers = sorted(request.answer for request in within if request.answer is not None)
        finals = sorted(
            request.final for request in within if request.final is not None and request.kind != "timelapse"
        )
        memory = [value for at, value in self.memory if begin <= at < end]
        files = [value for at, value in self.open_files if begin <= at < end]
        return {
            "memory": statistics.mean(memory),
            "files": statistics.mean(files),
            "answer": statistics.median(answers),
            "answer_95": answers[int(0.95 * (len(answers) - 1))],
            "final": statistics.median(finals),
            "final_95": finals[int(0.95 * (len(finals) - 1))],
            "pictures": len(finals),
        }


class Soak:
    """People who ask steadily, and somebody who watches the bot meanwhile."""

    def __init__(self, bots: BotProcesses, bot: Bot, channel: Channel, course: Course) -> None:
        self._bots, self._bot, self._channel, self.course = bots, bot, channel, course
        self._began = time.monotonic()
        self._following: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Ask until the time is over, and wait for what was asked for last."""
        watching = asyncio.create_task(self._watch())
        number, end = 0, self.course.minutes * 60
        while (due := number * self.course.every) < end:
            await asyncio.sleep(max(0.0, due - self._now()))
            await self._ask(number)
            number += 1
        async with asyncio.timeout(_LAST_FINAL_SECONDS):
            await asyncio.gather(*self._following)
        watching.cancel()

    def _now(self) -> float:
        return time.monotonic() - self._began

    async def _watch(self) -> None:
        while True:
            self.course.memory.append((self._now(), self._bot.memory))
            self.course.open_files.append((self._now(), self._bot.open_files))
            await asyncio.sleep(_SAMPLE_SECONDS)

    async def _ask(self, number: int) -> None:
        user, kind = self._bots.discord.user(f"user {number % PEOPLE}"), ROUND[number % len(ROUND)]
        shown = [message for message in self._bots.discord.messages(self._channel) if _picture(message)]
        if kind == "imagine" or not shown:
            kind = "imagine"
            prompt = f"a {('red', 'blue', 'green', 'grey')[number % 4]} apple {number}"
            asked = await self._bots.discord.slash(user, self._channel, "imagine", prompt=prompt, preset="draft")
            self._follow(self._from_interaction(asked, self._request(kind), picture=True))
        elif kind in ("vary", "timelapse"):
            asked = await self._bots.discord.press(user, shown[-1], f"job:{kind}")
            self._follow(self._from_interaction(asked, self._request(kind), picture=True))
        else:
            before = set(self._bots.discord.world.messages)
            await self._bots.discord.react(user, shown[-1], kind)
            self._follow(self._from_reaction(shown[-1], before, self._request(kind)))
        if number % len(ROUND) == len(ROUND) - 1:
            for command in ("queue", "history"):
                asked = await self._bots.discord.slash(user, self._channel, command)
                self._follow(self._from_interaction(asked, self._request(command), picture=False))

    def _request(self, kind: str) -> SoakRequest:
        self.course.requests.append(request := SoakRequest(self._now(), kind))
        return request

    def _follow(self, work: Any) -> None:
        self._following.add(asyncio.ensure_future(work))

    async def _from_interaction(self, asked: Interaction, request: SoakRequest, *, picture: bool) -> None:
        began = time.time()
        await until(lambda: asked.kind is not None and asked.response is not None, 60, f"{request.kind} is answered")
        request.answer = asked.answered
        if picture and asked.response is not None:
            await self._final(asked.response, request, began)

    async def _from_reaction(self, on: Message, before: set[int], request: SoakRequest) -> None:
        began = time.time()

        def answers() -> list[Message]:
            new = [message for key, message in self._bots.discord.world.messages.items() if key not in before]
            return [one for one in new if one.reference and int(one.reference["message_id"]) == on.id]

        await until(lambda: bool(answers()), 60, f"{request.kind} is answered")
        request.answer = answers()[0].created - began
        await self._final(answers()[0], request, began)

    async def _final(self, message: Message, request: SoakRequest, began: float) -> None:
        await until(lambda: any(name.startswith("painting-") for name in message.files), 300, f"{request.kind} ends")
        request.final = (message.edited or message.created) - began


def _picture(message: Message) -> bool:
    return any(name.startswith("painting-") and not name.endswith(".mp4") for name in message.files)


async def soak(bots: BotProcesses, minutes: float, every: float) -> tuple[Course, Bot]:
    """Let a bot live and be asked for things on a loopback Discord; return what was seen, and the bot, still alive."""
    channel = bots.discord.channel("paintings")
    bot = await bots.start(**AS_SHIPPED)
    course = Course(every, minutes)
    await Soak(bots, bot, channel, course).run()
    return course, bot


async def main() -> None:
    """Read the command line, soak and write down what was seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=12.0, help="seconds between two requests")
    parser.add_argument("--name", required=True, help="of the file in bench/soak")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bots = BotProcesses(await Loopback.start(), Plain(), Path(folder))
        try:
            course, bot = await soak(bots, options.minutes, options.every)
            await bot.end()
        finally:
            await bots.close()
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{options.name}.json").write_text(json.dumps(asdict(course)) + "\n", encoding="utf-8")
    for begin in (0.0, options.minutes * 60 - 300):
        print(json.dumps(course.part(begin, begin + 300)))


if __name__ == "__main__":
    asyncio.run(main())
