from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.chat import content
from bot.jobs import JobState
from bot.options import preset_names
from cogs.info import _painter
from engine.presets import PRESETS
from tests.cogs.direct import text_of, use
from tests.simulated import words


@pytest.mark.parametrize(
    ("command", "pieces"),
    [
        ("help", ("/imagine", "/edit", "/history", "::-0.5")),
        ("models", ("embedded", *PRESETS)),
        ("info", ("Painter", "cpu", "Paints with** · embedded", "waiting")),
    ],
)
async def test_it_answers_in_private_with_what_there_is_to_know(world, command, pieces):
    result = await world.alice.slash(world.channel, command)
    assert result.ephemeral
    for piece in pieces:
        assert piece in words(result)


def painter(**changes) -> Any:
    fields = {"device": "cpu", "node": "", "alive": True, "job_id": "abcdefgh", "steps_per_second": 2.0}
    return SimpleNamespace(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "cpu · 2.0 it/s"),
        ({"node": "box-1", "device": "cuda:1"}, "cuda:1 of box-1 · 2.0 it/s"),
        ({"steps_per_second": 0.5}, "cpu · 2.0 s/it"),
        ({"steps_per_second": 0.0}, "cpu · starting"),
        ({"job_id": None}, "cpu · free"),
        ({"job_id": None, "node": "box-1"}, "cpu of box-1 · free"),
        ({"alive": False}, "cpu · being started anew"),
        ({"alive": False, "job_id": None}, "cpu · being started anew"),
    ],
)
def test_a_painter_is_said_in_a_line(changes, line):
    assert _painter(painter(**changes)) == line


async def test_the_load_is_counted_by_state(bot, ask, monkeypatch):
    states = [JobState.QUEUED] * 3 + [JobState.RUNNING] * 2 + [JobState.RENDERED] + [JobState.DELIVERED] * 4
    for state in (*states, JobState.FAILED, JobState.CANCELLED):
        job, _ = await bot.queue.ledger.add(ask())
        await bot.queue.ledger.database.write("UPDATE jobs SET state = ? WHERE id = ?", (state.value, job.id))
    monkeypatch.setattr(type(bot.queue), "painters", [painter(), painter(job_id=None, node="box-1")])
    monkeypatch.setattr(bot, "started_at", 1234.9)
    monkeypatch.setattr(type(bot), "guilds", [object()] * 7)
    asked = await use(bot, "info")
    assert asked.private
    assert asked.colour == content.BLUE
    assert asked.lines == [
        "**Painter** · cpu · 2.0 it/s",
        "**Painter** · cpu of box-1 · free",
        "**Paints with** · embedded",
        "**Painting** · 2 now, 3 waiting",
        "**Painted so far** · 5",
        "**Started** · <t:1234:R>",
        "**Servers** · 7",
    ]


async def test_models_and_presets_are_listed_and_the_usual_ones_marked(bot, monkeypatch):
    asked = await use(bot, "models")
    assert asked.private
    assert asked.colour == content.BLUE
    assert asked.lines[0] == "**embedded** · the usual one"
    assert "models list" in asked.lines[1]
    assert [line.split("`")[1] for line in asked.lines[2:]] == list(preset_names())
    assert [line for line in asked.lines[2:] if line.endswith("the usual one")] == [
        "`draft` · 32 × 32, 6 steps · the usual one"
    ]
    monkeypatch.setattr(bot.extensions["cogs.info"], "generators", lambda models: ("embedded", "imagenet-16384"))
    asked = await use(bot, "models")
    assert asked.lines[:2] == ["**embedded** · the usual one", "**imagenet-16384, seen by ViT-B/32**"]
    assert "models list" not in text_of(asked.how["view"])


async def test_help_names_every_command(bot):
    asked = await use(bot, "help")
    assert asked.private
    assert asked.colour == content.BLUE
    known = bot.tree.get_commands(type=discord.AppCommandType.chat_input)
    everybodys = {command.name for command in known} - {"admin", "owner", "help"}
    assert {name for name in everybodys if f"**/{name}**" in text_of(asked.how["view"])} == everybodys
