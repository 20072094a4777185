"""The discord.py client: starts the services, loads the cogs, explains errors, shuts down in order."""

import asyncio
import contextvars
import gc
import hashlib
import json
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import discord
import yarl
from discord import app_commands
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from pydantic import SecretStr

from bot import logs
from bot.chat.actions import Actions
from bot.chat.attachments import Uploads
from bot.chat.components import GroupButton, JobButton, PageButton
from bot.chat.delivery import Delivery
from bot.chat.edit_rate import EditRate
from bot.chat.errors import UNEXPECTED, sentence_for
from bot.chat.forms import Answers, form_of
from bot.chat.history import History
from bot.chat.intake import Intake
from bot.chat.people import INVITED
from bot.chat.progress import ProgressReporter
from bot.chat.reactions import Reactions
from bot.chat.waiting import WaitingMessages
from bot.operations.health import Health, serving
from bot.operations.metrics import Metrics
from bot.queue.files import StorageError, write_whole
from bot.queue.service import PaintingQueue
from bot.refusals import Refusal
from bot.sandbox import protect
from bot.settings import BadSettingsError, DiscordSettings, Settings, require_token
from bot.worker.thread import DeviceLostError

log = logging.getLogger(__name__)

COGS = (
    "imagine",
    "groups",
    "edit",
    "blend",
    "animate",
    "describe",
    "queue",
    "settings",
    "info",
    "admin",
    "privacy",
    "owner",
    "reactions",
)
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # it paints and does not talk
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 300.0
_STABLE_SECONDS = 600.0
_LEAVE_SECONDS = 5.0
"""How long the worker has for its last checkpoint: with the farewells, less than the ten that service managers wait."""


TakesForm = Callable[[discord.Interaction[Any], str, Answers], Awaitable[None]]
"""Called with what the form is about and what was filled in."""
TakesGroup = Callable[[discord.Interaction[Any], str], Awaitable[None]]


_GUILD_SECONDS = {True: 2.0, False: 0.2}
"""Seconds to wait for one more server after the last that the gateway named: Discord may be slow, ours is not."""


def _is_discord(settings: Settings) -> bool:
    """Return whether the API is Discord's own, and not of another server that speaks like it."""
    return settings.discord.api_base == DiscordSettings().api_base


class PaintingBot(commands.Bot):
    """The discord.py bot that connects the components of this package."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=discord.Intents(guilds=True, guild_reactions=True, dm_reactions=True),
            allowed_mentions=discord.AllowedMentions.none(),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            http_trace=(metrics or Metrics()).trace(),
            max_ratelimit_timeout=settings.discord.longest_rate_limit,
            tree_cls=_Tree,
            guild_ready_timeout=_GUILD_SECONDS[_is_discord(settings)],
        )
        self.settings = settings
        self.queue = PaintingQueue(settings)
        edit_rate = EditRate(settings.discord.preview_seconds, time.monotonic)
        self.waiting = WaitingMessages(self, self.queue, edit_rate, settings.discord.preview_seconds)
        self.intake = Intake(self, self.queue, settings, self.waiting)
        self.uploads = Uploads(settings)
        self.delivery = Delivery(self, self.queue, settings)
        self.actions = Actions(self, self.queue, settings, self.intake, self.delivery)
        self.reactions = Reactions(self, self.queue, settings.reactions, self.intake, self.actions)
        self.progress = ProgressReporter(self, self.queue, self.delivery, edit_rate, self.waiting)
        self.history = History(self.queue)
        self.forms: dict[str, TakesForm] = {"steer": self.actions.steer, "remix": self.actions.remix}
        """Who takes the forms of each kind."""
        self.take_group: TakesGroup = _refuse_unknown_form
        """Who queues the paintings of a prompt with choices."""
        self.stop_group: TakesGroup = _refuse_unknown_form
        """Who stops them."""
        self.started_at = time.time()
        self.token_refused = asyncio.Event()
        self._closing = False

    async def setup_hook(self) -> None:
        """Start the services, load the commands, and register them with Discord if they changed."""
        await self._meet_gateway()
        # In a task of its own: what lives as long as the process must not hang on the task that logs in.
        await asyncio.create_task(self._start_services(), context=contextvars.Context())
        for name in COGS:
            await self.load_extension(f"cogs.{name}")
        self.add_dynamic_items(JobButton, PageButton, GroupButton)
        await self.sync_commands()

    async def _meet_gateway(self) -> None:
        """Use the gateway that the API names: discord.py would use Discord's own; raise `ShardsWantedError`."""
        shards, address, _ = await self.http.get_bot_gateway()
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(address)
        if shards > 1 and not isinstance(self, ShardedPaintingBot):
            raise ShardsWantedError(shards)

    async def _start_services(self) -> None:
        await self.queue.start()
        self.progress.start()
        self.waiting.start()
        if not gc.get_freeze_count():
            gc.collect()
            gc.freeze()  # the modules and networks: a full collection that walks them holds up the loop for 0.15 s

    async def stop_services(self) -> None:
        """Post "back soon" under running jobs, checkpoint them and close the queue."""
        if not self._closing:
            self._closing = True
            self.waiting.close()
            await self.progress.close()
            await self.queue.close(_LEAVE_SECONDS)

    async def close(self) -> None:
        """Stop the services while messages can still be edited, then disconnect."""
        await self.stop_services()
        await super().close()

    def dispatch(self, event_name: str, /, *args: Any, **kwargs: Any) -> None:
        """Hand an event to who listens; none any more once the client has ended.

        discord.py finds out that it is ready in a task that its end does not wait for, and which would fail then.
        """
        if self.loop is not discord.utils.MISSING:
            super().dispatch(event_name, *args, **kwargs)

    async def sync_commands(self) -> bool:
        """Send the commands to Discord if they are not the ones sent last; return whether they were sent."""
        guilds = [discord.Object(guild_id) for guild_id in self.settings.discord.guild_ids]
        for guild in guilds:
            self.tree.copy_global_to(guild=guild)
        payload = [command.to_dict(self.tree) for command in self.tree.get_commands()]
        stamp = f"{self.application_id} {[guild.id for guild in guilds]} {json.dumps(payload, sort_keys=True)}"
        digest = hashlib.sha256(stamp.encode()).hexdigest()
        path = self.settings.storage.folder / "commands.sha256"
        if path.is_file() and path.read_text(encoding="utf-8") == digest and await self._has_commands(guilds):
            return False
        for guild in guilds or [None]:
            await self.tree.sync(guild=guild)
        try:
            write_whole(path, lambda part: part.write_text(digest, encoding="utf-8"))
        except (OSError, StorageError) as error:  # they are sent again at the next start
            log.warning("It could not be noted that the commands were sent (%s)", error)
        log.info("Sent %d commands to Discord", len(payload))
        return True

    async def _has_commands(self, guilds: list[discord.Object]) -> bool:
        """Return whether Discord holds as many commands as this bot; they may have been cleared from outside."""
        there = await self.tree.fetch_commands(guild=guilds[0] if guilds else None)
        return len(there) == len(self.tree.get_commands())

    def connected(self) -> bool:
        """Return whether commands reach the bot, from all servers."""
        return not self.is_closed() and self.is_ready() and None not in self.shard_latencies().values()

    def shard_latencies(self) -> dict[int, float | None]:
        """Return the seconds between heartbeat and answer by shard; None for one that is not connected."""
        ws: DiscordWebSocket | None = self.ws  # pyright: ignore[reportAssignmentType]  # None before it connects
        return {0: ws.latency if ws is not None and ws.open else None}

    async def on_ready(self) -> None:
        """Log the connection; discord.py calls this again after each reconnect."""
        log.info("Connected as %s, in %d guilds", self.user, len(self.guilds))
        if self.application_id is not None and self.settings.discord.api_base == DiscordSettings().api_base:
            log.info("Invite it with %s", discord.utils.oauth_url(self.application_id, permissions=INVITED))

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Call the handler of a submitted form."""
        if (form := form_of(interaction)) is None:
            return
        kind, about, answers = form
        try:
            await self.forms.get(kind, _refuse_unknown_form)(interaction, about, answers)
        except Exception as error:
            await self.explain(interaction, error)

    async def press_button(self, interaction: discord.Interaction[Any], action: str, job_id: str, /) -> None:
        """Do what a button under a job says; explain what cannot be done."""
        try:
            await self.actions.press(interaction, action, job_id)
        except Exception as error:
            await self.explain(interaction, error)

    async def press_group(self, interaction: discord.Interaction[Any], note: str, /, *, stops: bool) -> None:
        """Queue the paintings of a prompt with choices, or stop them; explain what cannot be done."""
        try:
            await (self.stop_group if stops else self.take_group)(interaction, note)
        except Exception as error:
            await self.explain(interaction, error)

    async def turn_page(self, interaction: discord.Interaction[Any], user_id: int, page: int, /) -> None:
        """Show another page of somebody's history; explain what cannot be done."""
        try:
            await self.history.turn(interaction, user_id, page)
        except Exception as error:
            await self.explain(interaction, error)

    async def on_token_refused(self) -> None:
        """End this client; the next one's login shows whether the token is valid."""
        self.token_refused.set()

    async def explain(self, interaction: discord.Interaction[Any], error: Exception) -> None:
        """Answer an interaction with one private sentence on what went wrong. The only error handler."""
        if isinstance(error, app_commands.CommandInvokeError):
            error = error.original if isinstance(error.original, Exception) else error
        text = sentence_for(error)
        if text is None:
            log.error("Interaction %s failed", interaction.id, exc_info=error)
            text = UNEXPECTED
        try:
            if interaction.response.is_done():
                await interaction.followup.send(text, ephemeral=True)
            else:
                await interaction.response.send_message(text, ephemeral=True)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as unheard:
            log.info("Interaction %s: its error could not be told (%s)", interaction.id, unheard)


class ShardedPaintingBot(PaintingBot, commands.AutoShardedBot):
    """The bot in as many shards as Discord asks for: one connection for each part of its servers."""

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Wait between two shards as Discord wants it."""
        if _is_discord(self.settings):
            await super().before_identify_hook(shard_id, initial=initial)

    def shard_latencies(self) -> dict[int, float | None]:
        """Return the seconds between heartbeat and answer by shard; None for one that is not connected."""
        up = {number: shard.latency for number, shard in self.shards.items() if not shard.is_closed()}
        return {number: up.get(number) for number in range(self.shard_count or 1)}


class ShardsWantedError(Exception):
    """Discord wants this bot to be sharded."""

    def __init__(self, shards: int) -> None:
        super().__init__(f"Discord wants {shards} shards.")


async def _refuse_unknown_form(*_: object) -> None:
    raise Refusal("This form belongs to another version of me; open it again.")


class _Tree(app_commands.CommandTree[PaintingBot]):
    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        await interaction.client.explain(interaction, error)


def run(settings: Settings) -> None:
    """Run the bot until the process is asked to end; raise `BadSettingsError` for a token that Discord refuses."""
    token = require_token()
    protect("DISCORD_TOKEN")
    logs.set_up(settings.log, (token.get_secret_value(),))
    asyncio.run(serve(settings, token))


async def serve(settings: Settings, token: SecretStr) -> None:
    """Serve health and metrics and run clients until the process is asked to end."""
    Route.BASE = settings.discord.api_base
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    async with serving(settings.health) as health:
        await _run_clients(settings, token, ending, health)


async def _run_clients(settings: Settings, token: SecretStr, ending: asyncio.Event, health: Health) -> None:
    """Run one client after another, as one that failed to connect cannot be used again; pauses grow with failures."""
    pause = _FIRST_PAUSE
    kind = PaintingBot
    while not ending.is_set():
        began = time.monotonic()
        try:
            await _run_client(kind, settings, token, ending, health)
        except ShardsWantedError as wanted:
            log.info("%s", wanted)
            kind = ShardedPaintingBot
        except discord.LoginFailure:
            raise BadSettingsError("DISCORD_TOKEN: expected a bot's token, found one that Discord refuses.") from None
        except (discord.DiscordException, aiohttp.ClientError, OSError, AttributeError) as error:
            # discord.py ends in an AttributeError when the very first gateway refuses.
            if time.monotonic() - began > _STABLE_SECONDS:
                pause = _FIRST_PAUSE
            log.warning("The connection to Discord broke (%s: %s); again in %.0f s", type(error).__name__, error, pause)
            await _first_of(ending.wait(), asyncio.sleep(pause))
            pause = min(pause * 2, _LONGEST_PAUSE)


async def _run_client(
    kind: type[PaintingBot], settings: Settings, token: SecretStr, ending: asyncio.Event, health: Health
) -> None:
    async with kind(settings, health.metrics) as client:
        health.watch(client.queue, client.connected, lambda: client.progress.dropped, client.shard_latencies)
        connection = asyncio.create_task(client.start(token.get_secret_value()))
        await _first_of(connection, ending.wait(), client.token_refused.wait(), client.queue.device_lost.wait())
        if connection.done():
            connection.result()
        if not client.is_ready():
            await _cancelled(connection)  # or it would go on logging in with what is closed below
        await client.close()  # while the connection still stands
        await _cancelled(connection)
        if client.queue.device_lost.is_set():
            raise DeviceLostError
        if client.token_refused.is_set():
            raise discord.ClientException("the token was refused")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _first_of(*awaitables: Any) -> None:
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks[1:]:
        task.cancel()
