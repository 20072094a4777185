"""Options that several commands share, with their choices and suggestions."""

from collections.abc import Callable
from typing import Any, TypeVar

import discord
from discord import app_commands
from discord.app_commands import Choice

from bot.available_models import generators, usual_generator
from bot.chat.client import PaintingBot
from bot.options import HELP, preset_names, sizes
from engine.spec import LARGEST_SEED, MOST_PICTURES

T = TypeVar("T")
_MOST = 25
"""Suggestions that Discord shows."""


class _PresetOption(app_commands.Transformer):
    """A preset, chosen from a list."""

    @property
    def choices(self) -> list[Choice[str]]:  # pyright: ignore[reportIncompatibleMethodOverride]  # its type is a union
        return [Choice(name=name, value=name) for name in preset_names()]

    async def transform(self, interaction: discord.Interaction[Any], value: Any, /) -> str:
        return value


class _SizeOption(app_commands.Transformer):
    """A size, with suggestions for the chosen generator."""

    async def transform(self, interaction: discord.Interaction[Any], value: Any, /) -> str:
        return value

    async def autocomplete(self, interaction: discord.Interaction[Any], value: Any, /) -> list[Choice[Any]]:
        client: PaintingBot = interaction.client
        generator = getattr(interaction.namespace, "model", None) or usual_generator(client.settings.models)
        return suggestions(sizes(generator), str(value))


class _ModelOption(app_commands.Transformer):
    """A generator that is on disk."""

    async def transform(self, interaction: discord.Interaction[Any], value: Any, /) -> str:
        return value

    async def autocomplete(self, interaction: discord.Interaction[Any], value: Any, /) -> list[Choice[Any]]:
        client: PaintingBot = interaction.client
        return suggestions(generators(client.settings.models), str(value))


Preset = app_commands.Transform[str, _PresetOption]
Size = app_commands.Transform[str, _SizeOption]
Model = app_commands.Transform[str, _ModelOption]
Count = app_commands.Range[int, 1, MOST_PICTURES]
Steps = app_commands.Range[int, 1, 10_000]
Seed = app_commands.Range[int, 0, LARGEST_SEED]
Strength = app_commands.Range[float, 0.05, 1.0]


def described(*names: str, **others: str) -> Callable[[T], T]:
    """Describe a command's options by `HELP`; `others` are those of another name here, with their key there."""
    keys = {name: name for name in names} | others
    return app_commands.describe(**{name: HELP[key] for name, key in keys.items()})


def suggestions(names: tuple[str, ...], typed: str) -> list[Choice[Any]]:
    """Offer the names that contain what was typed so far."""
    found = [name for name in names if typed.strip().lower() in name.lower()]
    return [Choice(name=name[:100], value=name[:100]) for name in found[:_MOST]]
