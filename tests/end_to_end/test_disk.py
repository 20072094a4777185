"""A full disk at each write, a damaged ledger, damaged networks, and two processes on one folder."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.models import EMBEDDED
from local_discord.objects import Channel
from tests.end_to_end.bot_process import BotProcesses, Forked, final
from tests.end_to_end.loopback import Interaction, Loopback, hold, until


async def imagine(bots: BotProcesses, channel: Channel, user: str = "alice", **options) -> Interaction:
    return await bots.discord.slash(bots.discord.user(user), channel, "imagine", prompt="a red apple", **options)


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Mount a disk of this size; skip where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk takes root and a kernel that allows it")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
async def cramped(tmp_path):
    """Bots whose data lies on a disk of one megabyte."""
    with small_disk(tmp_path / "data", 1024):
        processes = BotProcesses(await Loopback.start(), Forked(), tmp_path)
        yield processes
        await processes.close()


def fill(folder: Path) -> Path:
    """Use up the disk, to the last page."""
    stuffing = folder / "stuffing"
    with stuffing.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return stuffing


async def painting(bots: BotProcesses, channel: Channel, **options) -> Interaction:
    """Ask for a picture, and wait until it is being painted and its message is noted."""
    asking = await imagine(bots, channel, **options)
    await bots.ledger_says("SELECT state = 'running' AND message_id IS NOT NULL FROM jobs", 1)
    return asking


async def test_a_disk_that_is_full_at_a_checkpoint_stops_no_painting(cramped):
    channel = cramped.discord.channel("paintings")
    bot = await cramped.start(worker__frames=0)
    asking = await painting(cramped, channel, steps=80)
    stuffing = fill(cramped.data)
    await until(lambda: "could not be checkpointed" in bot.log, 60, "a checkpoint fails")
    stuffing.unlink()
    await cramped.delivered(1)
    assert asking.response is not None
    assert asking.response.files
    assert not list(cramped.data.glob("*/*.part"))


async def test_a_picture_for_which_there_is_no_room_is_kept_once_there_is(cramped):
    """Nothing can be noted of it before, neither its numbers nor a failure."""
    channel = cramped.discord.channel("paintings")
    bot = await cramped.start(worker__frames=0, worker__checkpoint_seconds=1000)
    asking = await painting(cramped, channel, steps=20)
    stuffing = fill(cramped.data)
    await until(lambda: "The ledger cannot be written" in bot.log, 60, "the picture cannot be saved")
    stuffing.unlink()
    await cramped.delivered(1)
    assert asking.response is not None
    assert asking.response.files
    assert bot.alive
    assert not list(cramped.data.glob("*/*.part"))


async def test_a_disk_that_is_full_when_somebody_asks(cramped):
    """The ledger cannot be written: a private sentence, and nothing is promised."""
    channel = cramped.discord.channel("paintings")
    bot = await cramped.start()
    stuffing = fill(cramped.data)
    asking = await imagine(cramped, channel)
    await until(lambda: bool(asking.said), 20, "an answer")
    assert asking.response is not None
    assert asking.response.ephemeral
    assert "sqlite" not in asking.said.lower()
    assert cramped.discord.messages(channel) == []
    stuffing.unlink()
    again = await imagine(cramped, channel)
    await cramped.delivered(1)
    assert again.response is not None
    assert bot.alive


async def test_a_disk_that_is_full_while_a_picture_is_delivered(cramped):
    """The channel has the picture, and the ledger learns of it when there is room again."""
    channel = cramped.discord.channel("paintings")
    opened = asyncio.Event()
    fault = cramped.discord.fault("edit", hold(opened, applied=True), where=final)
    bot = await cramped.start()
    await imagine(cramped, channel)
    await fault.seen()
    stuffing = fill(cramped.data)
    opened.set()
    await asyncio.sleep(1)
    assert bot.alive
    stuffing.unlink()
    await bot.kill()
    await cramped.start()
    await cramped.delivered(1)
    assert [len(shown) for shown in cramped.finals(channel).values()] == [1]


async def test_a_damaged_ledger_is_set_aside_and_the_bot_starts(bots):
    channel = bots.discord.channel("paintings")
    bot = await bots.start()
    for number in range(8):
        await imagine(bots, channel, user=f"user {number}")
    await bots.delivered(8)
    await bot.end()
    ledger = bots.data / "ledger.sqlite3"
    content = bytearray(ledger.read_bytes())
    content[4096 : len(content) // 2] = b"\xa5" * (len(content) // 2 - 4096)
    ledger.write_bytes(content)
    bot = await bots.start()
    assert "is damaged" in bot.log
    assert "Traceback" not in bot.log
    [aside] = bots.data.glob("ledger.damaged-*.sqlite3")
    assert aside.read_bytes() == content
    await imagine(bots, channel, user="bob")
    await bots.delivered(1)


@pytest.mark.parametrize("damage", ["truncated", "an error page", "missing"])
async def test_a_damaged_network_is_a_sentence_and_the_bot_stays_up(bots, tmp_path, damage):
    models = tmp_path / "damaged"
    shutil.copytree(EMBEDDED, models)
    file = models / "embedded-generator.safetensors"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "an error page":
        file.write_text("<html>404</html>", encoding="utf-8")
    else:
        file.unlink()
    channel = bots.discord.channel("paintings")
    bot = await bots.start(models=models)
    asking = await imagine(bots, channel)
    await bots.ledger_says("SELECT state FROM jobs", "failed")
    await until(lambda: asking.response is not None and "⚠️" in asking.response.text, 20, "the requester is told")
    assert asking.response is not None
    assert str(tmp_path) not in asking.response.text
    assert "Traceback" not in asking.response.text
    assert bot.alive
    await bot.end()
    await bots.start()
    await imagine(bots, channel, user="bob")
    await bots.delivered(1)


async def test_a_second_process_on_one_folder_ends_with_a_clear_line(bots):
    channel = bots.discord.channel("paintings")
    first = await bots.start()
    second = await bots.launch()
    await until(lambda: not second.alive, 60, "the second process ends")
    assert "another process works in" in second.log
    assert "Traceback" not in second.log
    assert first.alive
    await imagine(bots, channel)
    await bots.delivered(1)
    assert [len(shown) for shown in bots.finals(channel).values()] == [1]


async def test_a_folder_that_cannot_be_written_is_a_clear_line(bots):
    bots.data.write_text("a file where the folder should be", encoding="utf-8")
    bot = await bots.launch()
    await until(lambda: not bot.alive, 60, "it ends")
    assert bot.log.strip().splitlines()[-1].startswith("storage.folder: ")
    assert "Traceback" not in bot.log


async def test_a_start_on_a_full_disk_is_a_clear_line_and_loses_nothing(cramped):
    channel = cramped.discord.channel("paintings")
    bot = await cramped.start()
    await painting(cramped, channel, steps=2000)
    await bot.kill()
    stuffing = fill(cramped.data)
    bot = await cramped.launch()
    await until(lambda: not bot.alive or "Painting on" in bot.log, 60, "it starts or ends")
    assert "Traceback" not in bot.log
    if not bot.alive:
        assert bot.log.strip().splitlines()[-1].startswith("The ledger ")
    await bot.kill()
    stuffing.unlink()
    [(step,)] = cramped.rows("SELECT step FROM jobs")
    await cramped.start()
    await cramped.ledger_says(f"SELECT step > {step} FROM jobs", 1)  # it is being painted again
    [message] = cramped.discord.messages(channel)
    await cramped.discord.press(cramped.discord.user("alice"), message, "job:stop")
    await cramped.delivered(1)


async def test_a_log_that_cannot_be_written_stops_nothing(bots, tmp_path):
    with small_disk(tmp_path / "logs", 16):
        fill(tmp_path / "logs")
        channel = bots.discord.channel("paintings")
        bot = await bots.start(log_file=tmp_path / "logs" / "stuffing")
        await imagine(bots, channel)
        await bots.delivered(1)
        assert bot.alive
        await bot.kill()
