"""/imagine count:4: a mosaic while it is painted, a gallery of four at the end, and buttons for each of them."""

import pytest
from PIL import Image

from bot.jobs import JobState
from bot.settings import Settings
from local_discord.components import walk
from tests.simulated import ENDLESS, SIZE, shown, words


@pytest.fixture
def settings(request, settings):
    """The usual settings, with changes by section."""
    changes = getattr(request, "param", {})
    sections = {name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    return settings.model_copy(update=sections)


def labels(message):
    return [one["label"] for one in walk(message.components) if one.get("type") == 2]


async def follow_up(world, job, label):
    result = await world.bob.click(world.message(job.message_id), label=label)
    assert not result.ephemeral, words(result)
    return await world.ended(await world.ledger.by_message(result.response.id))


async def test_four_come_as_a_gallery_and_each_can_be_varied_and_refined(world):
    job = await world.ended(await world.imagine(world.alice, "a red apple --count 4"))
    assert (job.state, job.spec.count) == (JobState.DELIVERED, 4)
    message = world.message(job.message_id)
    names = [f"painting-{job.id}.png", *(f"painting-{job.id}.{number}.png" for number in (2, 3, 4))]
    assert [file.filename for file in message.attachments] == names
    assert len({file.content for file in message.attachments}) == 4
    wanted = [
        *(f"V{n}" for n in (1, 2, 3, 4)),
        *(f"U{n}" for n in (1, 2, 3, 4)),
        "Rerun",
        "Remix",
        "Timelapse",
        "Delete",
    ]
    assert labels(message) == wanted
    assert "4 pictures, seeds from 1" in shown(message)

    files = world.bot.queue.files
    varied = await follow_up(world, job, "V3")
    assert (varied.kind, varied.spec.count) == ("vary", 1)
    assert varied.spec.init_latent == files.latent_of(job, 2)
    refined = await follow_up(world, job, "U2")
    assert (refined.kind, refined.spec.init_image) == ("refine", files.picture_of(job, 1))
    assert refined.spec.width == 2 * SIZE
    again = await follow_up(world, job, "Rerun")
    assert (again.spec.count, again.spec.seed != job.spec.seed) == (4, True)

    await world.alice.react(message, "🎲")
    assert "V1 to V4" in shown(world.messages(world.direct(world.alice))[-1])
    await world.alice.click(message, "Delete")
    await world.until(lambda: message.deleted)
    assert not [path for path in files.folder.rglob("*") if path.name.startswith(job.id)]


async def test_two_of_them_are_two_jobs_and_one_twice_is_one(world):
    job = await world.ended(await world.imagine(world.alice, count=2))
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    message = world.message(job.message_id)
    assert [label for label in labels(message) if label[1:].isdigit()] == ["V1", "V2", "U1", "U2"]
    for label in ("V1", "V2"):
        assert not (await world.bob.click(message, label)).ephemeral
    assert (await world.bob.click(message, "V2")).ephemeral
    assert len(await world.children(job, "vary")) == 2


async def test_while_it_is_painted_all_are_seen_and_a_stop_keeps_them(world):
    job = await world.imagine(world.alice, count=4, steps=ENDLESS)
    message = world.message(job.message_id)
    await world.until(lambda: message.attachments)
    assert message.attachments[0].filename.startswith("step-")
    await world.alice.click(message, "Stop")
    job = await world.ended(job)
    assert len(message.attachments) == 4
    frames = world.bot.queue.files.frames(job.id)
    with Image.open(frames[0]) as frame:
        assert frame.size == (2 * SIZE, 2 * SIZE)


@pytest.mark.parametrize("settings", [{"models": {"count": 2}, "limits": {"most_pictures": 2}}], indirect=True)
async def test_the_owner_says_how_many_and_how_many_at_most(world):
    job = await world.imagine(world.alice)
    assert job.spec.count == 2
    refused = await world.alice.slash(world.channel, "imagine", prompt="a red apple", count=3)
    assert "at most 2" in words(refused)


def test_more_than_four_are_not_configured():
    with pytest.raises(ValueError, match="most_pictures"):
        Settings(limits={"most_pictures": 5})  # pyright: ignore[reportArgumentType]
