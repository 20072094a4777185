"""What people read of an error, and what they do not."""

from types import SimpleNamespace
from typing import Any

import pytest
from discord import AppCommandOptionType, app_commands

from bot.chat.errors import UNEXPECTED, sentence_for
from bot.queue.files import GoneError, StorageError
from bot.refusals import Refusal
from engine.pictures import BadPictureError
from engine.prompts import BadPromptError
from engine.spec import BadSpecError

COMMAND: Any = SimpleNamespace(name="paint", qualified_name="paint")


@pytest.mark.parametrize("kind", [Refusal, GoneError, StorageError, BadPromptError, BadSpecError, BadPictureError])
def test_our_own_errors_are_read_as_they_are(kind):
    assert sentence_for(kind("Say it differently.")) == "Say it differently."


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (app_commands.MissingPermissions(["manage_guild"]), "who manage this server"),
        (app_commands.NoPrivateMessage(), "on a server only"),
        (app_commands.CommandNotFound("paint", []), "reload Discord"),
        (app_commands.CommandSignatureMismatch(COMMAND), "reload Discord"),
    ],
)
def test_what_discord_py_refuses_is_said_in_a_sentence(error, words):
    sentence = sentence_for(error)
    assert sentence is not None
    assert words in sentence


def test_an_option_that_does_not_fit_is_named_and_cut():
    transformer: Any = SimpleNamespace(_error_display_name="a size")
    error = app_commands.TransformerError("x" * 60, AppCommandOptionType.string, transformer)
    assert sentence_for(error) == f"'{'x' * 50}' does not fit there; pick one of the suggestions."


@pytest.mark.parametrize("error", [ValueError("/secret/path"), KeyError("x"), RuntimeError(), OSError(5, "I/O")])
def test_of_anything_else_nothing_is_read(error):
    assert sentence_for(error) is None
    assert "secret" not in UNEXPECTED
