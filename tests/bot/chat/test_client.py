"""The client: whom it passes things on to, and what it says of errors."""

import ast
import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest
from discord import app_commands

from bot.chat.client import PaintingBot
from bot.chat.errors import UNEXPECTED, sentence_for
from bot.queue.files import GoneError
from bot.refusals import Refusal
from bot.settings import DiscordSettings
from engine.prompts import BadPromptError
from tests.bot.chat.fake_discord import Asked, refusal


def test_only_the_intents_that_are_needed_and_none_that_is_privileged(settings):
    intents = PaintingBot(settings).intents
    assert {name for name, on in intents if on} == {"guilds", "guild_reactions", "dm_reactions"}


def test_nobody_is_pinged_unless_a_message_says_so(settings):
    allowed = PaintingBot(settings).allowed_mentions
    assert allowed is not None
    assert allowed.to_dict() == discord.AllowedMentions.none().to_dict()


def test_it_is_installed_on_servers_and_used_there_and_in_its_direct_messages(settings):
    tree = PaintingBot(settings).tree
    assert tree.allowed_installs is not None
    assert tree.allowed_contexts is not None
    assert (tree.allowed_installs.to_array(), tree.allowed_contexts.to_array()) == ([0], [0, 1])


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


# What people do, and what they are told


class Answered(Asked):
    """An interaction that may have been answered already: then what follows is a message of its own."""

    client: Any = None
    data: Any = None
    type = discord.InteractionType.modal_submit

    def __init__(self, user_id=1, **options):
        super().__init__(user_id, **options)
        self.followup: Any = SimpleNamespace(send=self._follow)
        self.followed: list[tuple[str, dict[str, Any]]] = []

    async def _follow(self, content, **arguments):
        if "send_message" in self.broken:
            raise self.broken["send_message"]
        self.followed.append((content, arguments))

    def said(self):
        """Return the one private sentence."""
        ((text, how),) = self.answers + self.followed
        assert how == {"ephemeral": True}
        return text or ""


@pytest.fixture
async def bot(settings, idle):
    """A bot that is not connected, with a queue that paints nothing."""
    bot = PaintingBot(settings)
    await bot.queue.start()
    yield bot
    await bot.close()


@pytest.mark.parametrize("deferred", [False, True])
async def test_an_error_is_one_private_sentence(bot, deferred, caplog):
    asked = Answered()
    asked.deferred = deferred
    await bot.explain(asked, Refusal("No cats."))
    assert asked.said() == "No cats."
    assert (len(asked.answers), len(asked.followed)) == ((0, 1) if deferred else (1, 0))
    assert caplog.records == []


async def test_what_a_command_raised_is_looked_at_and_not_that_it_was_a_command(bot, caplog):
    command: Any = SimpleNamespace(name="imagine")
    asked = Answered()
    asked.client = bot
    await bot.tree.on_error(asked, app_commands.CommandInvokeError(command, GoneError("It is gone.")))
    assert asked.said() == "It is gone."
    secret = Answered()
    await bot.explain(secret, app_commands.CommandInvokeError(command, ValueError("/home/me/secret")))
    assert secret.said() == UNEXPECTED
    [record] = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "/home/me/secret"
    assert str(secret.id) in record.getMessage()


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("broken", [refusal(404), aiohttp.ClientError(), OSError("cut")])
async def test_who_cannot_be_told_is_not_told(bot, broken, deferred):
    asked = Answered()
    asked.deferred, asked.broken["send_message"] = deferred, broken
    await bot.explain(asked, Refusal("No cats."))
    assert asked.answers == asked.followed == []


def form(kind, about, words):
    fields = [{"type": 18, "component": {"type": 4, "custom_id": "prompt", "value": words}}]
    return {"custom_id": f"form:{kind}:{about}", "components": fields}


async def test_a_form_goes_to_who_takes_its_kind(bot):
    taken = []

    async def take(interaction, about, answers):
        taken.append((interaction, about, answers.texts["prompt"]))

    bot.forms["edit"] = take
    asked = Answered()
    asked.data = form("edit", "abcdefgh", "a cat")
    await bot.on_interaction(asked)
    assert taken == [(asked, "abcdefgh", "a cat")]
    assert asked.answers == []
    for kind, why in (("juggle", "another version"), ("steer", "There is no job"), ("remix", "There is no job")):
        asked = Answered()
        asked.data = form(kind, "abcdefgh", "a cat")
        await bot.on_interaction(asked)
        assert why in asked.said()
    asked.type, asked.answers = discord.InteractionType.component, []
    await bot.on_interaction(asked)
    assert asked.answers == []


async def test_a_button_goes_to_what_it_is_about_or_says_why_not(bot):
    for press, why in (
        (lambda asked: bot.press_button(asked, "rerun", "abcdefgh"), "There is no job `abcdefgh`"),
        (lambda asked: bot.press_group(asked, "abc", stops=False), "another version"),
        (lambda asked: bot.press_group(asked, "abc", stops=True), "another version"),
        (lambda asked: bot.turn_page(asked, 2, 1), "somebody else's history"),
    ):
        asked = Answered(1)
        await press(asked)
        assert why in asked.said()
    taken = []

    async def take(interaction, note):
        taken.append(("take", note))

    async def stop(interaction, note):
        taken.append(("stop", note))

    bot.take_group, bot.stop_group = take, stop
    await bot.press_group(Answered(), "abc", stops=False)
    await bot.press_group(Answered(), "def", stops=True)
    assert taken == [("take", "abc"), ("stop", "def")]
    asked = Answered(1)
    await bot.turn_page(asked, 1, 1)
    assert len(asked.edits) == 1


async def test_services_are_stopped_once_and_in_time(bot, monkeypatch):
    asked = []
    close = bot.queue.close

    async def noted(seconds):
        asked.append(seconds)
        await close(seconds)

    monkeypatch.setattr(bot.queue, "close", noted)
    await bot.stop_services()
    await bot.stop_services()
    await bot.close()
    assert len(asked) == 1
    assert 0 < asked[0] < 10, "service managers wait no longer"
    assert bot.is_closed()


def test_servers_of_discord_are_waited_for_longer_than_ours(settings):
    assert PaintingBot(settings)._connection.guild_ready_timeout == 2.0
    ours = settings.model_copy(update={"discord": DiscordSettings(api_base="http://127.0.0.1:8123/api/v10")})
    assert PaintingBot(ours)._connection.guild_ready_timeout == 0.2


def test_nothing_is_kept_that_is_not_needed(settings):
    state = PaintingBot(settings)._connection
    assert (state.max_messages, state._chunk_guilds) == (None, False)
    assert state.member_cache_flags == discord.MemberCacheFlags.none()
    patient = settings.model_copy(update={"discord": DiscordSettings(longest_rate_limit=45.0)})
    assert PaintingBot(patient).http.max_ratelimit_timeout == 45.0


async def test_a_client_that_ends_just_when_it_is_ready_ends_without_a_fault(settings, idle):
    client = PaintingBot(settings)
    heard = []

    async def on_ready() -> None:
        heard.append("ready")

    client.add_listener(on_ready, "on_ready")
    await client._async_setup_hook()  # the beginning of logging in
    client.dispatch("ready")
    await asyncio.sleep(0)
    await client.close()
    client._connection._ready_state, client._connection.guild_ready_timeout = asyncio.Queue(), 0
    await client._connection._delay_ready()
    await asyncio.sleep(0)
    assert heard == ["ready"], "the second comes too late"
