"""From `git clone` to the first picture in the page, timed: `python -m tests.end_to_end.first_picture --name NAME`.

Clones this repository into an empty folder, runs `make run` there with an empty pip cache, waits until the page
answers, types `/imagine a red apple` as the page does, and waits for the picture. Needs a registry for pip, no token
and no browser. Written to bench/first_picture/NAME.json.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from local_discord.ids import Json
from tests.end_to_end.browser import ROOT, free_port

RESULTS = ROOT / "bench" / "first_picture"
PROMPT = "a red apple"
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]+/")
_LONGEST = 3600.0


def _environment(port: int) -> dict[str, str]:
    """Return this process's environment without what a fresh machine would not have."""
    foreign = ("DISCORD_", "PAINTER__", "VIRTUAL_ENV", "PYTHON", "DISPLAY")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return clean | {"PIP_NO_CACHE_DIR": "1", "PAINTER__LOCAL__PORT": str(port)}


async def _follow(process: asyncio.subprocess.Process, began: float, lines: list[tuple[float, str]]) -> str:
    """Note each line that the program prints with its time, until one has the page's address; return that."""
    assert process.stdout is not None
    async for line in process.stdout:
        text = line.decode(errors="replace").rstrip()
        lines.append((round(time.monotonic() - began, 1), text))
        print(f"{lines[-1][0]:8.1f} s  {text}", flush=True)
        if (found := _ADDRESS.search(text)) is not None:
            return found[0]
    raise RuntimeError("make run ended before it had an address")


async def _page_answers(session: aiohttp.ClientSession, address: str) -> None:
    while True:
        try:
            async with session.get(address) as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)


class _Tab:
    """What a tab of the page says to the server, and gets."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self._asked = 0

    async def ask(self, what: str, **details: object) -> object:
        """Do something, and return what comes of it."""
        self._asked += 1
        await self._websocket.send_json({"do": what, "id": self._asked, **details})
        while (packet := await self._websocket.receive_json()).get("re") != self._asked:
            pass
        if "error" in packet:
            raise RuntimeError(packet["error"])
        return packet["ok"]

    async def enter(self) -> str:
        """Come in, and wait until the bot is there; return the first channel's id."""
        await self._websocket.send_json({"do": "enter"})
        packet = await self._websocket.receive_json()
        online = packet["data"]["online"]
        while not online:
            online = (await self._websocket.receive_json()).get("event") == "BOT_ONLINE"
        return packet["data"]["channels"][0]["id"]

    async def message(self, fits: str) -> None:
        """Wait for a message that has these words in it, new or edited."""
        while True:
            packet = await self._websocket.receive_json()
            if packet.get("event") in ("MESSAGE_CREATE", "MESSAGE_UPDATE") and fits in json.dumps(packet["data"]):
                return


async def _paint(session: aiohttp.ClientSession, address: str, marks: dict[str, float], began: float) -> None:
    def mark(what: str) -> None:
        marks[what] = round(time.monotonic() - began, 1)
        print(f"{marks[what]:8.1f} s  {what}", flush=True)

    await _page_answers(session, address)
    mark("the page answers")
    async with session.ws_connect(f"{address}api/socket", max_msg_size=0) as websocket:
        tab = _Tab(websocket)
        channel = await tab.enter()
        mark("the bot is there")
        commands: list[Json] = []
        while not commands:
            await asyncio.sleep(0.1)
            commands = [one for one in await tab.ask("commands", channel_id=channel) if one["name"] == "imagine"]  # type: ignore[attr-defined]
        options = [{"name": "prompt", "type": 3, "value": PROMPT}]
        await tab.ask("command", channel_id=channel, command_id=commands[0]["id"], options=options)
        await tab.message(PROMPT)
        mark("the command is answered")
        await tab.message("/painting-")
        mark("the picture")


async def measure(source: str, folder: Path) -> Json:
    """Clone, install, start and paint; return what was seen, in seconds since the beginning."""
    began = time.monotonic()
    clone = ["git", "clone", "--quiet", source, str(folder)]
    await asyncio.to_thread(subprocess.run, clone, check=True)
    marks: dict[str, float] = {"cloned": round(time.monotonic() - began, 1)}
    lines: list[tuple[float, str]] = []
    process = await asyncio.create_subprocess_exec(
        "make", "run", cwd=folder, env=_environment(free_port()), start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_LONGEST), aiohttp.ClientSession() as session:
            address = await _follow(process, began, lines)
            await _paint(session, address, marks, began)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        await process.wait()
    return {"cores": os.cpu_count(), "installed_mib": _size(folder / ".venv"), "printed": lines, "reached": marks}


def _size(folder: Path) -> int:
    return round(sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20)


def main() -> None:
    """Run and write the result down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--source", default=str(ROOT), help="what is cloned")
    parser.add_argument("--folder", type=Path, default=None, help="where to; empty or not there")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="first-picture-")) / "clone"
    result: Mapping[str, object] = asyncio.run(measure(asked.source, folder))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{asked.name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(result["reached"], indent=1))


if __name__ == "__main__":
    main()
