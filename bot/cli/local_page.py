"""The bot without a token: a Discord of its own on this machine, and a page of the browser to use it in."""

import asyncio
import getpass
import logging
import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from bot import logs
from bot.available_models import PUBLISHED, is_here
from bot.chat import client
from bot.cli.program import program
from bot.settings import BadSettingsError, ModelSettings, Settings
from engine.catalog import find
from local_discord import TOKEN, LocalDiscord, people_api
from local_discord.furnish import furnish
from local_discord.world import World

FIRST_WORDS = "/imagine a red apple"
"""What to type first: the networks that ship know apples."""


def run(settings: Settings) -> None:
    """Be a Discord, its page and its one bot until somebody ends the process; raise `BadSettingsError`."""
    logs.set_up(settings.log)
    logging.getLogger("discord").setLevel(logging.WARNING)  # which speaks of tokens and log-ins, and there are none
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    own = settings.storage.folder / "local"
    try:
        discord = await LocalDiscord.start(own / "discord", settings.local.port, people_api.routes)
    except OSError:
        raise BadSettingsError(
            f"local.port: expected a free port, found {settings.local.port}, which is taken: "
            "end the other program, or choose another with PAINTER__LOCAL__PORT."
        ) from None
    try:
        furnish(discord.world)
        _describe(discord.world, settings.models)
        _say(welcome(discord.page_url, settings.models, os.environ))
        if settings.local.open_browser and has_browser(os.environ):
            webbrowser.open(discord.page_url)
        await client.serve(at(settings, discord.api_base, own), SecretStr(TOKEN))
    finally:
        await discord.close()


def _describe(world: World, models: ModelSettings) -> None:
    """Name the bot, and say above the first channel what to do there and what more there could be."""
    channel = min((one for one in world.channels.values() if one.guild_id is not None), key=lambda one: one.position)
    topic = f"Type `/` for the commands, or begin with `{FIRST_WORDS}`"
    if not _published(models):
        topic += f". For nearly everything beyond apples: `{program()} models fetch published` ({_size()})"
    channel.topic = topic
    world.add_channel(channel)
    world.bot.name = "Painter"
    world.add_user(world.bot)


def at(settings: Settings, api_base: str, folder: Path) -> Settings:
    """Return the settings for a bot on the Discord at `api_base`, which keeps its data in `folder`."""
    changes = {"api_base": api_base, "cdn_hosts": ("127.0.0.1",), "guild_ids": ()}
    return settings.model_copy(
        update={
            "discord": settings.discord.model_copy(update=changes),
            "storage": settings.storage.model_copy(update={"folder": folder}),
        }
    )


def welcome(url: str, models: ModelSettings, environment: Mapping[str, str]) -> str:
    """Say where the page is, what to type first, and what more there could be."""
    lines = ["", f"Open  {url}", f"Type  {FIRST_WORDS}", "End   with Ctrl-C; everything goes on at the next start."]
    if is_remote(environment):
        port = urlsplit(url).port
        lines += [f"From your own machine first:  ssh -L {port}:127.0.0.1:{port} {_login(environment)}"]
    if not _published(models):
        lines += [
            "",
            "What ships with the program paints simple things, small. The published networks paint nearly everything:",
            f"      {program()} models fetch published   ({_size()}; this bot takes them up by itself)",
        ]
    return "\n".join([*lines, "", ""])


def _published(models: ModelSettings) -> bool:
    return all(is_here(name, models) for name in PUBLISHED)


def _size() -> str:
    return f"{sum(find(name).bytes or 0 for name in PUBLISHED) / 1e9:.1f} GB"


def has_browser(environment: Mapping[str, str]) -> bool:
    """Return whether there is a screen for a browser to open on."""
    screen = sys.platform in ("darwin", "win32") or "DISPLAY" in environment or "WAYLAND_DISPLAY" in environment
    return screen and not is_remote(environment)


def is_remote(environment: Mapping[str, str]) -> bool:
    """Return whether somebody sits at another machine."""
    return "SSH_CONNECTION" in environment


def _login(environment: Mapping[str, str]) -> str:
    """Return who and where to log in as, as the present session did."""
    _, _, address, port = (environment["SSH_CONNECTION"].split() + [""] * 4)[:4]
    return f"{getpass.getuser()}@{address}" + (f" -p {port}" if port not in ("", "22") else "")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
