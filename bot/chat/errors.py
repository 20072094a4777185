"""Error messages for people."""

from discord import app_commands

from bot.queue.files import GoneError, StorageError
from bot.refusals import Refusal
from engine.pictures import BadPictureError
from engine.prompts import BadPromptError
from engine.spec import BadSpecError

UNEXPECTED = "Something went wrong on my side, and it has been noted; try again in a moment."
_SENTENCES = (Refusal, GoneError, StorageError, BadPromptError, BadSpecError, BadPictureError)
"""Errors whose text is one sentence for the person who asked."""


def sentence_for(error: Exception) -> str | None:
    """Return the sentence that a person may read about `error`; None for unexpected errors."""
    if isinstance(error, _SENTENCES):
        return str(error)
    if isinstance(error, app_commands.MissingPermissions):
        return "Only people who manage this server can do that."
    if isinstance(error, app_commands.NoPrivateMessage):
        return "This works on a server only, not in direct messages."
    if isinstance(error, app_commands.TransformerError):
        return f"'{str(error.value)[:50]}' does not fit there; pick one of the suggestions."
    if isinstance(error, app_commands.CommandSignatureMismatch | app_commands.CommandNotFound):
        return "My commands have just changed; reload Discord (Ctrl+R) and try again."
    return None
