"""Forms that are filled in while the bot restarts, and what they work on."""

import numpy as np
import pytest
from PIL import Image

from bot.jobs import JobState
from tests.simulated import ENDLESS, png, shown, words


async def test_a_painting_is_steered_by_a_form_from_before_a_restart(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    form = await world.alice.click(world.message(job.message_id), label="Steer")
    await world.restart()
    result = await world.alice.submit(form, prompt="a blue fish")
    assert result.ephemeral
    assert "follows your new words" in words(result)
    await world.until(lambda: "a blue fish" in shown(world.message(job.message_id)))
    await world.alice.click(world.message(job.message_id), label="Stop")
    ended = await world.ended(job)
    assert [prompt.content for prompt in ended.spec.prompts] == ["a blue fish"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_attached_picture_is_edited_by_a_form_from_before_a_restart(world, restarted):
    message = await world.bob.send(world.channel, "look", ("house.png", png("green", (32, 32))))
    form = await world.alice.context_menu("Edit this picture", message)
    if restarted:
        await world.restart()
    result = await world.alice.submit(form, prompt="a red apple", strength="0,5")
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.state, job.kind, job.user_id, job.spec.strength) == (JobState.DELIVERED, "edit", world.alice.id, 0.5)
    with Image.open(world.bot.queue.files.folder / job.spec.init_image) as start:
        assert np.asarray(start).reshape(-1, 3).mean(0).tolist() == [0, 128, 0]


async def test_a_picture_of_ours_is_edited_from_the_original(world):
    done = await world.ended(await world.imagine(world.alice))
    form = await world.bob.context_menu("Edit this picture", world.message(done.message_id))
    await world.restart()
    result = await world.bob.submit(form, prompt="a blue fish", strength="1")
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.state, job.user_id) == (JobState.DELIVERED, world.bob.id)
    assert job.spec.init_image == world.bot.queue.files.picture_of(done)


async def test_a_form_whose_picture_is_gone_says_so(world):
    done = await world.ended(await world.imagine(world.alice))
    form = await world.bob.context_menu("Edit this picture", world.message(done.message_id))
    world.bot.queue.files.delete(done)
    result = await world.bob.submit(form, prompt="a blue fish", strength="1")
    assert result.ephemeral
    assert "no longer kept" in words(result)

    message = await world.bob.send(world.channel, "look", ("house.png", png()))
    form = await world.alice.context_menu("Edit this picture", message)
    for note in world.bot.queue.files.folder.glob("inputs/*.json"):
        note.unlink()
    result = await world.alice.submit(form, prompt="a red apple", strength="1")
    assert result.ephemeral
    assert "open it again" in words(result)


async def test_a_form_of_another_version_says_so(world):
    message = await world.bob.send(world.channel, "look", ("house.png", png()))
    form = await world.alice.context_menu("Edit this picture", message)
    del world.bot.forms["attached"]
    result = await world.alice.submit(form, prompt="a red apple", strength="1")
    assert result.ephemeral
    assert "another version" in words(result)
