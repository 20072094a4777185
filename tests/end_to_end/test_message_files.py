"""Pictures are found wherever a message shows them, and what was hidden stays hidden."""

import numpy as np
import pytest
from PIL import Image

from bot.jobs import JobState
from bot.worker.events import FROM_SPOILER_NOTICE
from local_discord.components import walk
from local_discord.objects import COMPONENTS_V2, Message
from local_discord.posting import NewFile, fill
from tests.simulated import ENDLESS, png, words

GREEN = png("green", (32, 32))


def posted(world, body, *names) -> Message:
    """Post a message of another bot."""
    author = world.discord.user("another bot")
    author.bot = True
    message = Message(world.channel, author)
    fill(world.discord.world, message, body, [NewFile(name, GREEN) for name in names], 10 * 2**20)
    world.discord.world.changed(message, "MESSAGE_CREATE")
    return message


def gallery(url: str, *, spoiler: bool = False) -> dict:
    item = {"media": {"url": url}, "spoiler": spoiler}
    return {"flags": COMPONENTS_V2, "components": [{"type": 17, "components": [{"type": 12, "items": [item]}]}]}


def thumbnail(url: str) -> dict:
    accessory = {"type": 11, "media": {"url": url}}
    section = {"type": 9, "components": [{"type": 10, "content": "look"}], "accessory": accessory}
    return {"flags": COMPONENTS_V2, "components": [section]}


async def edited(world, message):
    form = await world.alice.context_menu("Edit this picture", message)
    assert form.interaction.modal is not None, words(form)
    result = await world.alice.submit(form, prompt="a red apple", strength="0.5")
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert job.state is JobState.DELIVERED
    with Image.open(world.bot.queue.files.folder / job.spec.init_image) as start:
        assert np.asarray(start).reshape(-1, 3).mean(0).tolist() == [0, 128, 0]
    return job


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (gallery("attachment://a.png"), "a.png"),
        (thumbnail("attachment://a.png"), "a.png"),
        ({"embeds": [{"title": "look", "image": {"url": "attachment://a.png"}}]}, "a.png"),
        ({"content": "look"}, "a.png"),
    ],
    ids=["gallery", "thumbnail", "embed", "attachment"],
)
async def test_a_picture_in_anybodys_message_is_edited(world, body, name):
    assert FROM_SPOILER_NOTICE not in (await edited(world, posted(world, body, name))).notices


async def test_a_forwarded_picture_is_edited(world):
    message = await world.bob.send(world.channel, "look", ("a.png", GREEN))
    other = world.text_channel("other")
    said = await world.discord.people.forward(world.bob.user, world.channel.id, message.id, other.id)
    await edited(world, world.message(int(said["id"])))


async def test_a_picture_without_a_type_is_known_by_its_name(world, monkeypatch):
    monkeypatch.setattr("local_discord.files.content_type", lambda name: None)
    await edited(world, await world.bob.send(world.channel, "look", ("a.png", GREEN)))


@pytest.mark.parametrize("shows", [gallery, thumbnail, lambda url: {"embeds": [{"image": {"url": url}}]}])
async def test_what_lies_elsewhere_is_not_fetched(world, shows):
    message = posted(world, shows("https://evil.example/a.png"))
    result = await world.alice.context_menu("Edit this picture", message)
    assert result.ephemeral
    assert "uploaded to Discord" in words(result)


def hidden(message: Message) -> list[bool]:
    """Return of every picture in a message whether it is hidden."""
    return [bool(item.get("spoiler")) for part in walk(message.components) for item in part.get("items", ())]


async def test_what_is_made_from_a_spoiler_is_a_spoiler(world):
    result = await world.alice.slash(
        world.channel, "edit", image=("SPOILER_a.png", GREEN), prompt="a red apple", steps=ENDLESS
    )
    message = result.response
    await world.until(lambda: hidden(message))
    assert hidden(message) == [True], "a preview"
    await world.alice.click(message, "Stop")
    job = await world.ended(await world.ledger.by_message(message.id))
    assert hidden(message) == [True], "the picture"
    film = await world.bob.click(message, "Timelapse")
    await world.ended(await world.ledger.by_message(film.response.id))
    assert hidden(film.response) == [True], "the film"
    for label in ("Rerun", "Refine"):
        again = await world.bob.click(message, label)
        follow_up = await world.ledger.by_message(again.response.id)
        assert FROM_SPOILER_NOTICE in follow_up.notices, label
        await world.bot.queue.cancel(follow_up.id)
        await world.ended(follow_up)
    shown = await world.bob.slash(world.channel, "show", job=job.id)
    assert hidden(shown.response) == [True]
    history = await world.alice.slash(world.channel, "history")
    assert [part["spoiler"] for part in walk(history.response.components) if part["type"] == 11] == [True]
    form = await world.bob.context_menu("Edit this picture", message)
    result = await world.bob.submit(form, prompt="a blue fish", strength="0.5")
    assert FROM_SPOILER_NOTICE in (await world.ended(await world.ledger.by_message(result.response.id))).notices


@pytest.mark.parametrize(
    "spoiler", [gallery("attachment://a.png", spoiler=True), gallery("attachment://SPOILER_a.png")]
)
async def test_a_hidden_picture_in_a_gallery_is_a_spoiler(world, spoiler):
    name = next(walk(spoiler["components"]))["components"][0]["items"][0]["media"]["url"].rpartition("/")[2]
    assert FROM_SPOILER_NOTICE in (await edited(world, posted(world, spoiler, name))).notices


async def test_a_picture_to_paint_towards_hides_too(world):
    job = await world.imagine(world.alice, image=("SPOILER_a.png", GREEN), steps=1)
    assert FROM_SPOILER_NOTICE in (await world.ended(job)).notices
    assert hidden(world.message(job.message_id)) == [True]
