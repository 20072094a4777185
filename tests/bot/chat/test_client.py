import ast
from pathlib import Path

import discord
import pytest
from discord import app_commands

from bot.chat.client import PaintingBot
from bot.chat.errors import sentence_for
from bot.queue.files import GoneError
from bot.refusals import Refusal
from engine.prompts import BadPromptError


def test_only_the_intents_that_are_needed_and_none_that_is_privileged(settings):
    intents = PaintingBot(settings).intents
    assert {name for name, on in intents if on} == {"guilds", "guild_reactions", "dm_reactions"}


def test_nobody_is_pinged_unless_a_message_says_so(settings):
    allowed = PaintingBot(settings).allowed_mentions
    assert allowed is not None
    assert allowed.to_dict() == discord.AllowedMentions.none().to_dict()


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (Refusal("No cats."), "No cats."),
        (GoneError("It is gone."), "It is gone."),
        (BadPromptError("Say something."), "Say something."),
        (app_commands.MissingPermissions(["manage_guild"]), "manage this server"),
        (app_commands.NoPrivateMessage(), "on a server only"),
        (app_commands.CommandNotFound("x", []), "reload Discord"),
    ],
)
def test_foreseen_errors_are_sentences(error, part):
    assert part in (sentence_for(error) or "")


def test_what_nobody_foresaw_is_not_shown():
    assert sentence_for(ValueError("/home/me/secret")) is None
    assert sentence_for(OSError("disk")) is None


def test_the_painting_thread_knows_nothing_of_discord():
    """Neither the worker nor what runs in its thread imports discord.py or what uses it."""
    names = ("worker/*", "queue/films", "queue/files", "jobs", "background")
    paths = [path for name in names for path in Path("bot").glob(f"{name}.py")]
    assert len(paths) > len(names)
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in imported:
                assert not module.startswith(("discord", "bot.chat")), path
