"""Forms that are filled in while the bot restarts, and what they work on."""

import numpy as np
import pytest
from PIL import Image

from bot.jobs import JobState
from tests.cogs.test_edit import half_mask
from tests.simulated import ENDLESS, png, shown, words

QUICK = "--size 32x32 --steps 2"


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
    result = await world.alice.submit(form, prompt="a red apple", strength="0.5")
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


async def test_the_edit_button_takes_a_mask_and_a_second_picture(world):
    done = await world.ended(await world.imagine(world.alice))
    form = await world.bob.click(world.message(done.message_id), label="Edit")
    mask, second = ("m.png", half_mask()), ("p.png", png("blue"))
    result = await world.bob.submit(form, prompt=f"a green apple {QUICK}", strength="1", mask=mask, towards=second)
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.state, job.kind, job.parent_id, job.spec.strength) == (JobState.DELIVERED, "edit", done.id, 1.0)
    assert job.spec.init_image == world.bot.queue.files.picture_of(done)
    assert job.spec.mask is not None
    assert [prompt.kind for prompt in job.spec.prompts] == ["text", "image"]
    assert f"edit of `{done.id}`" in shown(world.message(job.message_id))
    right = np.s_[:, 20:]
    before, after = (
        np.asarray(Image.open(world.bot.queue.files.result_path(one)).convert("RGB")).astype(int)[right]
        for one in (done, job)
    )
    assert np.abs(before - after).max() <= 2, "what is black in the mask stays"


async def test_the_edit_form_takes_words_for_what_may_change_or_a_mask(world):
    done = await world.ended(await world.imagine(world.alice))
    form = await world.bob.click(world.message(done.message_id), label="Edit")
    result = await world.bob.submit(form, prompt="a cat", strength="1", mask_text="apple", mask=("m.png", half_mask()))
    assert result.ephemeral
    assert "not both" in words(result)
    form = await world.bob.click(world.message(done.message_id), label="Edit")
    result = await world.bob.submit(form, prompt=f"a green apple {QUICK}", mask_text="the apple")
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.spec.mask_text, job.spec.strength) == ("the apple", 0.7)


async def test_remix_is_the_painting_with_other_words(world):
    done = await world.ended(await world.imagine(world.alice, steps=7, start="gradient"))
    form = await world.bob.click(world.message(done.message_id), label="Remix")
    await world.restart()
    result = await world.bob.submit(form, prompt="a blue fish")
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.state, job.kind, job.user_id) == (JobState.DELIVERED, "remix", world.bob.id)
    assert job.spec == done.spec.but(prompts=job.spec.prompts)
    assert [prompt.content for prompt in job.spec.prompts] == ["a blue fish"]
    assert f"remix of `{done.id}`" in shown(world.message(job.message_id))


async def test_remix_changes_size_preset_and_seed(world):
    done = await world.ended(await world.imagine(world.alice, steps=2))
    form = await world.alice.click(world.message(done.message_id), label="Remix")
    result = await world.alice.submit(form, prompt="a red apple --steps 3", size=["192x128"], preset=["paper"], seed="")
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.spec.width, job.spec.height, job.spec.preset, job.spec.steps) == (192, 128, "paper", 3)
    assert job.spec.seed != done.spec.seed
    assert job.spec.start == "pixels", "another preset brings its own numbers"

    form = await world.alice.click(world.message(done.message_id), label="Remix")
    result = await world.alice.submit(form, prompt="a red apple", seed="seven")
    assert result.ephemeral
    assert "the seed as a whole number" in words(result)


async def test_remix_of_an_edit_keeps_its_picture_and_of_blocked_words_is_refused(world):
    done = await world.ended(await world.imagine(world.alice))
    form = await world.bob.click(world.message(done.message_id), label="Edit")
    result = await world.bob.submit(form, prompt=f"a green apple {QUICK}", strength="0.5")
    edit = await world.ended(await world.ledger.by_message(result.response.id))
    form = await world.bob.click(world.message(edit.message_id), label="Remix")
    result = await world.bob.submit(form, prompt="a blue apple")
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert job.spec == edit.spec.but(prompts=job.spec.prompts)

    await world.bot.queue.change_guild(world.guild_id, blocked_words=frozenset({"weasel"}))
    form = await world.bob.click(world.message(edit.message_id), label="Remix")
    result = await world.bob.submit(form, prompt="a weasel")
    assert result.ephemeral
    assert "not allowed" in words(result)


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
