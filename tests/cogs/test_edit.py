import io

import numpy as np
from PIL import Image

from bot.jobs import JobState
from tests.atelier import png, words


def half_mask() -> bytes:
    """White on the left, black on the right."""
    mask = np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


async def edited(world, **options):
    result = await world.alice.slash(world.channel, "edit", **options)
    assert not result.ephemeral, words(result)
    job = await world.ledger.by_message(result.response.id)
    return await world.ended(job)


async def test_edit_with_a_mask_leaves_the_black_part_alone(world):
    job = await edited(
        world,
        image=("house.png", png("green", (32, 32))),
        mask=("mask.png", half_mask()),
        prompt="a red apple",
        seed=3,
        strength=1.0,
        **{"from": "a house"},
    )
    assert job.state is JobState.DELIVERED
    assert (job.kind, job.spec.edit_from, job.spec.strength) == ("edit", "a house", 1.0)
    with Image.open(world.bot.studio.files.picture(job)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    kept = np.abs(pixels[:, 20:] - (0, 128, 0)).max()
    changed = np.abs(pixels[:, :8] - (0, 128, 0)).max()
    assert kept <= 2
    assert changed > 20


async def test_the_picture_keeps_its_proportions(world):
    job = await edited(world, image=("wide.png", png("green", (64, 32))), prompt="a red apple", steps=2)
    assert job.spec.width / job.spec.height in (1.5, 2.0)
    assert job.spec.init_image is not None


async def test_a_mask_picture_and_mask_words_together_are_refused(world):
    result = await world.alice.slash(
        world.channel,
        "edit",
        image=("a.png", png()),
        mask=("m.png", half_mask()),
        mask_text="the sky",
        prompt="a cat",
    )
    assert result.ephemeral
    assert "not both" in words(result)


async def test_the_message_menu_opens_a_form_and_paints(world):
    message = await world.bob.send(world.channel, "look", attachments=[("house.png", png("green", (32, 32)))])
    form = await world.alice.context_menu(world.channel, "Edit this picture", message)
    fields = [one["component"]["custom_id"] for one in form.modal["components"]]
    result = await world.alice.submit_modal(form, {fields[0]: "a red apple", fields[1]: "0,5"})
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.kind, job.spec.strength, job.user_id) == ("edit", 0.5, world.alice.id)


async def test_the_form_refuses_a_strength_that_is_none(world):
    message = await world.bob.send(world.channel, "look", attachments=[("house.png", png())])
    form = await world.alice.context_menu(world.channel, "Edit this picture", message)
    fields = [one["component"]["custom_id"] for one in form.modal["components"]]
    result = await world.alice.submit_modal(form, {fields[0]: "a cat", fields[1]: "much"})
    assert result.ephemeral
    assert "from 0.05 to 1" in words(result)


async def test_a_message_without_a_picture_is_refused(world):
    message = await world.bob.send(world.channel, "only words")
    result = await world.alice.context_menu(world.channel, "Edit this picture", message)
    assert result.ephemeral
    assert "no picture" in words(result)


async def test_a_finished_picture_of_ours_can_be_edited_too(world):
    job = await world.ended(await world.imagine(world.alice))
    form = await world.bob.context_menu(world.channel, "Edit this picture", world.message(job.message_id))
    fields = [one["component"]["custom_id"] for one in form.modal["components"]]
    result = await world.bob.submit_modal(form, {fields[0]: "a lighthouse", fields[1]: "1"})
    assert (await world.ended(await world.ledger.by_message(result.response.id))).state is JobState.DELIVERED
