"""The bot as a process of its own, over real sockets, while its connection to Discord comes and goes."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from tests.end_to_end.bot_process import ROOT, BotProcesses
from tests.end_to_end.loopback import until


async def paint(bots: BotProcesses, channel, user="alice", **options):
    """Ask for a picture."""
    return await bots.discord.slash(bots.discord.user(user), channel, "imagine", prompt="a red apple", **options)


async def test_a_picture_from_the_command_to_the_channel(bots):
    channel = bots.discord.channel("paintings")
    await bots.start()
    asked = await paint(bots, channel, steps=20)
    await bots.delivered(1)
    await until(lambda: len(bots.discord.messages(channel)[0].reactions) == 3, 10, "the reactions are seeded")
    [message] = bots.discord.messages(channel)
    assert message is asked.response
    assert message.attachments[0].content.startswith(b"\x89PNG")
    assert message.attachments[0].description == "a red apple"
    assert message.mentions == ()
    assert bots.discord.gateway.identifies == 1


async def test_a_gateway_that_refuses_the_first_connections_is_tried_again(bots):
    channel = bots.discord.channel("paintings")
    bots.discord.gateway.refusals = 1
    bot = await bots.start()
    assert bots.discord.gateway.refused == 1
    await paint(bots, channel)
    await bots.delivered(1)
    assert "The connection to Discord broke (AttributeError" in bot.log


async def test_a_dropped_gateway_is_resumed_while_a_painting_goes_on(bots):
    channel = bots.discord.channel("paintings")
    await bots.start()
    await paint(bots, channel, steps=40)
    await bots.ledger_says("SELECT state FROM jobs", "running")
    bots.discord.gateway.drop()
    missed = await paint(bots, channel, user="bob")
    await until(lambda: bots.discord.gateway.resumes == 1, 30, "a RESUME")
    await until(lambda: missed.kind is not None, 10, "a command from before the RESUME is answered")
    await bots.delivered(2)
    assert [len(shown) for shown in bots.finals(channel).values()] == [1, 1]
    assert bots.discord.gateway.identifies == 1


async def test_an_invalid_session_starts_no_second_worker_and_sends_no_commands_again(bots):
    channel = bots.discord.channel("paintings")
    bot = await bots.start()
    await paint(bots, channel, steps=40)
    await bots.ledger_says("SELECT state FROM jobs", "running")
    bots.discord.gateway.invalidate()
    await until(lambda: bots.discord.gateway.identifies == 2, 30, "a second IDENTIFY")
    await paint(bots, channel, user="bob")
    await bots.delivered(2)
    assert [len(shown) for shown in bots.finals(channel).values()] == [1, 1]
    assert bots.discord.world.syncs == 1
    assert bot.log.count("Painting on") == bots.painters


async def test_commands_are_sent_again_only_when_they_changed(bots):
    bots.discord.channel("paintings")
    bot = await bots.start()
    await bot.end()
    await bots.start()
    await bots.discord.gateway.connected.wait()
    assert bots.discord.world.syncs == 1


async def test_sigterm_in_the_middle_says_back_soon_and_the_painting_goes_on_afterwards(bots):
    channel = bots.discord.channel("paintings")
    bot = await bots.start()
    await paint(bots, channel, steps=80)
    await bots.ledger_says("SELECT state FROM jobs", "running")
    await until(lambda: bool(bots.discord.messages(channel)), 30, "the job's message")
    [message] = bots.discord.messages(channel)
    await until(lambda: bool(message.files), 30, "a preview")
    await bot.end(seconds=10)
    assert "Back soon" in message.text
    [(step, state)] = bots.rows("SELECT step, state FROM jobs")
    assert state == "running"
    assert step > 0
    await bots.start()
    await bots.delivered(1)
    assert list(map(len, bots.finals(channel).values())) == [1]
    assert bots.discord.messages(channel) == [message]


async def test_a_token_that_discord_refuses_is_one_line_and_exit_2(bots):
    environment = os.environ | bots.environment() | {"DISCORD_TOKEN": "wrong", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bot", "run"]
    process = await asyncio.to_thread(
        subprocess.run, command, cwd=bots.folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 2
    assert process.stderr.strip().splitlines()[-1].startswith("DISCORD_TOKEN: ")
    assert "Traceback" not in process.stderr
    assert "wrong" not in process.stderr


async def test_the_command_itself_starts_and_ends(bots):
    """`python -m bot run`, with nothing of the tests in its process."""
    environment = os.environ | bots.environment() | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "run", cwd=bots.folder, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        await bots.discord.ready()
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    assert b"Traceback" not in log


@pytest.mark.parametrize("signals", [signal.SIGINT, signal.SIGTERM])
async def test_a_bot_without_work_ends_at_once(bots, signals):
    bot = await bots.start()
    bot.signal(signals)
    await until(lambda: not bot.alive, 10, f"the bot ends; its log:\n{bot.log}")
