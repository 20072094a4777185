import importlib
import inspect
import logging
import re
from pathlib import Path

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.client import COGS, PaintingBot
from bot.chat.people import INVITED
from tests.simulated import running_bot


def leaves(command):
    """List a command, or all commands of a group."""
    if isinstance(command, app_commands.Group):
        return [leaf for child in command.commands for leaf in leaves(child)]
    return [command]


async def test_every_cog_loads_and_no_names_clash(settings):
    bot = PaintingBot(settings)
    for name in COGS:
        await bot.load_extension(f"cogs.{name}")  # discord.py refuses a name that is taken
    names = sorted(command.qualified_name for root in bot.tree.get_commands() for command in leaves(root))
    assert len(names) == len(set(names))
    for expected in ("imagine", "edit", "queue", "cancel", "show", "history", "settings", "models", "help", "info"):
        assert expected in names
    for expected in (
        "admin pause",
        "admin resume",
        "admin drain",
        "admin limits",
        "admin channels allow",
        "admin channels deny",
        "admin block word",
        "admin block user",
        "admin default preset",
        "admin default size",
        "admin default model",
    ):
        assert expected in names


def nested(payload):
    """List a command's payload and its subcommands and options."""
    return [payload, *(part for option in payload.get("options", ()) for part in nested(option))]


def characters(payload):
    """Count as Discord does: names, descriptions and the values of choices."""
    return sum(
        len(part["name"])
        + len(part.get("description", ""))
        + sum(len(choice["name"]) + len(str(choice["value"])) for choice in part.get("choices", ()))
        for part in nested(payload)
    )


async def test_everything_is_described_and_fits(settings):
    bot = PaintingBot(settings)
    for name in COGS:
        await bot.load_extension(f"cogs.{name}")
    for root in bot.tree.get_commands():
        payload = root.to_dict(bot.tree)
        assert characters(payload) <= 8000
        if isinstance(root, app_commands.ContextMenu):
            continue
        for options in (part["options"] for part in nested(payload) if "options" in part):
            assert len(options) <= 25
            assert all(len(option["description"]) <= 100 for option in options)
            assert all(re.fullmatch(r"[a-z0-9_-]{1,32}", option["name"]) for option in options)
            assert all(len(option.get("choices", ())) <= 25 for option in options)
        for command in leaves(root):
            assert command.description != "…", command.qualified_name
            for option in command.parameters:
                assert option.description != "…", f"{command.qualified_name} {option.name}"


async def test_commands_are_for_servers_and_their_bot_direct_messages(settings):
    bot = PaintingBot(settings)
    for name in COGS:
        await bot.load_extension(f"cogs.{name}")
    for root in bot.tree.get_commands():
        payload = root.to_dict(bot.tree)
        assert payload["integration_types"] == [0]
        assert payload["contexts"] == ([0] if payload["name"] == "admin" else [0, 1])
        if payload["name"] == "admin":
            assert payload["default_member_permissions"] == 1 << 5


def test_every_file_with_a_cog_is_loaded():
    found = set()
    for path in Path("cogs").glob("*.py"):
        module = importlib.import_module(f"cogs.{path.stem}")
        own = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__]
        if any(issubclass(one, commands.Cog) for one in own):
            found.add(path.stem)
    assert found == set(COGS)


async def test_the_log_prints_the_invitation(settings, caplog, monkeypatch):
    """But not of a Discord on this machine, which nobody can be invited to."""
    caplog.set_level(logging.INFO)
    async with running_bot(settings) as world:
        await world.until(lambda: "Connected as" in caplog.text)
        assert "Invite it" not in caplog.text
        monkeypatch.setattr("bot.chat.client.DiscordSettings", lambda: world.bot.settings.discord)
        await world.bot.on_ready()
        link = discord.utils.oauth_url(world.bot.application_id or 0, permissions=INVITED)
    assert f"Invite it with {link}" in caplog.text
