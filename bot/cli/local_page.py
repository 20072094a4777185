"""The same bot on a simulated Discord, in a page of the local browser: no token, no network."""

import asyncio
import signal
import sys
import time

import discord
import simcord
from simcord import Preview

from bot import logs
from bot.background import spawn
from bot.chat.client import PaintingBot
from bot.chat.components import layout
from bot.jobs import JobState
from bot.settings import Settings

_LOOK_SECONDS = 0.3
"""How often the page is looked after."""
_SETTLE_SECONDS = 30.0
_NAME = "Painter"
_UPLOADS = "cdn.simcord.invalid"


def run(settings: Settings, port: int = 0) -> None:
    """Serve the page on 127.0.0.1 (`port` 0: any free one) until Ctrl-C or its own "End session"."""
    logs.set_up(settings.log)
    asyncio.run(serve(local(settings), port))


def local(settings: Settings) -> Settings:
    """Return the settings for the page: a data folder of its own, uploads from the simulated Discord."""
    simulated = settings.discord.model_copy(
        update={"cdn_hosts": (*settings.discord.cdn_hosts, _UPLOADS), "guild_ids": ()}
    )
    storage = settings.storage.model_copy(update={"folder": settings.storage.folder / "preview"})
    return settings.model_copy(update={"discord": simulated, "storage": storage})


async def serve(settings: Settings, port: int) -> None:
    """Run bot, simulated Discord and page until somebody ends one of them."""
    client = PaintingBot(settings)
    env = simcord.Env(client, check_errors=False, settle_timeout=_SETTLE_SECONDS)
    # Made before the clock is set and before the bot starts: so they have the same ids every time, and what an earlier
    # session left unfinished goes on in this one.
    guild = env.create_guild("Atelier")
    channel = guild.create_text_channel("paintings", topic="Type /imagine and say what to paint")
    keeper = guild.create_role("keepers", permissions=discord.Permissions(manage_guild=True, manage_messages=True))
    viewers = [
        guild.add_member(env.create_user("you"), roles=[keeper]),  # so that /admin can be tried too
        guild.add_member(env.create_user("a friend")),
    ]
    await env.start()
    vars(client.tree).pop("on_error")  # simcord's: it takes every refusal for a fault, and the page calls it uncertain
    try:
        await env.advance_time(max(0.0, time.time() - env.now().timestamp()))
        assert client.user is not None
        await client.user.edit(username=_NAME)
        async with env.preview(channel, viewers=viewers, layout="channel", port=port or None) as preview:
            await _show_again(client)
            ending = _ending()  # before anybody knows that there is something to end
            _say(f"Open {preview.url}\nand type /imagine a red apple. Ctrl-C ends it.\n")
            await spawn(_look_after(env, preview, ending), "body after the page")
            _say("Saving what is being painted…\n")
            await client.stop_services()
    finally:
        await env.shutdown()


async def _show_again(client: PaintingBot) -> None:
    """Post what an earlier session left unfinished: the messages of that session are gone with it."""
    for job in await client.queue.ledger.in_state(JobState.QUEUED, JobState.RUNNING):
        body, _ = await client.delivery.current_content(job)
        channel = client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        message = await channel.send(view=layout(body, job.id, None))
        await client.queue.attach_message(job.id, job.channel_id, message.id)


async def _look_after(env: simcord.Env, preview: Preview, ending: asyncio.Event) -> None:
    """Publish to the page whatever has happened, and let the simulated clock go with ours, until the end."""
    closed = asyncio.ensure_future(preview.wait_closed())
    seen = -1
    while not ending.is_set() and not closed.done():
        await asyncio.sleep(_LOOK_SECONDS)
        happened = len(env.backend.transcript)
        try:
            await env.advance_time(max(0.0, time.time() - env.now().timestamp()))
            if happened != seen:
                await preview.refresh()
                seen = happened
        except simcord.SetupError:
            continue  # somebody has just pressed something; the page is published afterwards
        preview.capture_time = env.now()  # what "in 5 seconds" is counted from, also in pages published by a press
    closed.cancel()


def _ending() -> asyncio.Event:
    """Return what is set by Ctrl-C or by the end of the process being asked for."""
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    return ending


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
