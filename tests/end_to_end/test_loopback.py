"""The loopback Discord itself, tried with a plain discord.py client before any bot of ours lives on it."""

import asyncio
import io

import aiohttp
import discord
import pytest
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from local_discord import threads
from local_discord.world import Event
from tests.end_to_end.loopback import TOKEN, Loopback, Message, answer, reset, until
from tests.end_to_end.loopback.description import description
from tests.end_to_end.loopback.dispatches import dispatch_complaints


class _Client(discord.Client):
    """A bot of one command, one button and one reaction."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(guilds=True, guild_messages=True, guild_reactions=True))
        self.tree = app_commands.CommandTree(self)
        self.received: list[str] = []

        @self.tree.command()
        async def echo(interaction: discord.Interaction, text: str, file: discord.Attachment | None = None) -> None:
            """Say it again"""
            attached = [discord.File(io.BytesIO(await file.read()), "out.bin")] if file else []
            await interaction.response.send_message(text, files=attached)

    async def setup_hook(self) -> None:
        _, address, _ = await self.http.get_bot_gateway()
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(address)
        await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Wait for nothing: the library leaves five seconds between two of these."""

    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        self.received.append(f"{event.emoji} by {event.user_id}")

    async def on_resumed(self) -> None:
        self.received.append("resumed")


@pytest.fixture
async def loopback(monkeypatch):
    loopback = await Loopback.start()
    monkeypatch.setattr(Route, "BASE", loopback.api_base)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
    yield loopback
    await loopback.close()


@pytest.fixture
async def client(loopback):
    loopback.channel("paintings")
    client = _Client()
    task = asyncio.create_task(client.start(TOKEN))
    await loopback.ready()
    yield client
    await client.close()
    await task


@pytest.fixture
def place(loopback, client):
    [channel] = loopback.world.channels.values()
    return channel


async def test_a_command_with_a_file_is_answered_with_a_file(loopback, client, place):
    said = await loopback.slash(loopback.user("alice"), place, "echo", text="hello", file=("in.bin", b"abc"))
    await until(lambda: said.response is not None, 5, "an answer")
    [message] = loopback.messages(place)
    assert message.text == "hello"
    assert [(a.filename, a.content) for a in message.attachments] == [("out.bin", b"abc")]
    assert not loopback.violations


async def test_messages_are_sent_once_per_nonce_edited_searched_and_deleted(loopback, client, place):
    channel = client.get_partial_messageable(place.id)
    first = await channel.send("one", nonce="n")
    assert (await channel.send("one", nonce="n")).id == first.id
    await first.edit(content="two", attachments=[discord.File(io.BytesIO(b"abc"), "a.png", description="alt")])
    second = await channel.send("three", reference=first)
    assert [m.content async for m in channel.history(limit=10, after=discord.Object(first.id - 1))] == ["two", "three"]
    await second.delete()
    [left] = loopback.messages(place)
    assert (left.content, left.files, left.attachments[0].description) == ("two", ["a.png"], "alt")
    with pytest.raises(discord.NotFound):
        await channel.get_partial_message(second.id).edit(content="four")
    assert not loopback.violations


async def test_a_layout_shows_its_attachment(loopback, client, place):
    view = discord.ui.LayoutView(timeout=None)
    gallery = discord.ui.MediaGallery()
    gallery.add_item(media="attachment://a.png")
    row = discord.ui.ActionRow(discord.ui.Button(label="Press", custom_id="press"))
    for item in (discord.ui.Container(discord.ui.TextDisplay("words")), gallery, row):
        view.add_item(item)
    channel = client.get_partial_messageable(place.id)
    with pytest.raises(discord.HTTPException, match="no such attachment"):
        await channel.send(view=view)
    sent = await channel.send(view=view, files=[discord.File(io.BytesIO(b"abc"), "a.png")])
    [message] = loopback.messages(place)
    assert (message.text.strip(), message.buttons) == ("words", ["press"])
    async with aiohttp.ClientSession() as session, session.get(sent.components[1].items[0].media.url) as response:
        assert await response.read() == b"abc"
    assert not loopback.violations


async def test_reactions_arrive_and_are_added(loopback, client, place):
    alice = loopback.user("alice")
    sent = await client.get_partial_messageable(place.id).send("one")
    await sent.add_reaction("🔁")
    [message] = loopback.messages(place)
    await loopback.react(alice, message, "🔁")
    own, hers = f"🔁 by {client.user.id}", f"🔁 by {alice.id}"
    await until(lambda: client.received == [own, hers], 5, "both reactions are received")
    assert message.reactions == {"🔁": [client.user.id, alice.id]}


async def test_a_dropped_connection_is_resumed_and_what_was_missed_comes_later(loopback, client, place):
    sent = await client.get_partial_messageable(place.id).send("one")
    loopback.gateway.drop()
    await loopback.react(loopback.user("alice"), loopback.world.messages[sent.id], "🎲")
    await until(lambda: len(client.received) == 2, 20, "the reaction is received after all")
    assert (loopback.gateway.identifies, loopback.gateway.resumes) == (1, 1)


async def test_an_invalid_session_is_identified_anew(loopback, client):
    loopback.gateway.invalidate()
    await until(lambda: loopback.gateway.identifies == 2, 20, "a second IDENTIFY")


async def test_faults_strike_as_often_as_they_are_set_to(loopback, client, place):
    channel = client.get_partial_messageable(place.id)
    broken = loopback.fault("send", reset(), times=1)
    with pytest.raises((OSError, aiohttp.ClientError)):
        await channel.send("one")
    limited = loopback.fault("send", answer(429, retry_after=0.1), times=2)
    await channel.send("two")
    assert (broken.hits, limited.hits) == (1, 2)
    assert [message.content for message in loopback.messages(place)] == ["two"]


def test_bodies_are_held_to_the_description():
    judge = description()
    path = "/channels/1/messages"
    assert judge.complaint("POST", path, {"content": "words", "nonce": "n", "enforce_nonce": True}) is None
    assert "content" in str(judge.complaint("POST", path, {"content": "x" * 5000}))
    assert "not in the description" in str(judge.complaint("POST", "/nowhere", {}))


def test_answers_are_held_to_the_description():
    judge = description()
    path = "/channels/1/messages"
    assert "required" in str(judge.answer_complaint("POST", path, 200, {"content": "words"}))
    assert "does not answer 201" in str(judge.answer_complaint("POST", path, 201, {}))
    assert judge.answer_complaint("DELETE", path + "/1", 204, None) is None


async def test_dispatches_are_held_to_the_description(loopback, client):
    world, alice = loopback.world, loopback.user("alice")
    channel = loopback.channel("sketches")
    thread = threads.start(world, alice, channel, "talk", private=True)
    threads.add(world, thread, world.bot)
    said = await loopback.people.say(alice, thread.id, "hello")
    await loopback.people.react(alice, thread.id, int(said["id"]), "🔁")
    asking = await loopback.slash(alice, channel, "echo", text="hi", file=("a.bin", b"123"))
    await until(lambda: asking.response is not None, 20, "an answer")
    assert not loopback.violations
    broken = Message(channel, alice, flags="none")  # pyright: ignore[reportArgumentType]
    world.emit(Event("MESSAGE_CREATE", {}, channel, broken))
    assert loopback.violations == ['MESSAGE_CREATE: MessageResponse: at flags: "none" is not of type "integer"']
    world.emit(Event("TYPING_STOP", {}, channel))
    assert len(loopback.violations) == 1, "the bot is told of no such thing"
    assert list(dispatch_complaints("TYPING_STOP", {})) == ["nobody says what is in TYPING_STOP"]
