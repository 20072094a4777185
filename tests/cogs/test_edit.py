import io

import numpy as np
from PIL import Image

from bot.jobs import JobState
from tests.simulated import png, words


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
    with Image.open(world.bot.queue.files.picture(job)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    width = pixels.shape[1]
    kept = np.abs(pixels[:, width * 5 // 8 :] - (0, 128, 0)).max()
    changed = np.abs(pixels[:, : width // 4] - (0, 128, 0)).max()
    assert kept <= 2
    assert changed > 20


async def test_the_picture_keeps_its_proportions(world):
    job = await edited(world, image=("wide.png", png("green", (64, 32))), prompt="a red apple", steps=2)
    assert 1.6 < job.spec.width / job.spec.height < 2.4
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


async def test_the_form_refuses_a_strength_that_is_none(world):
    message = await world.bob.send(world.channel, "look", ("house.png", png()))
    form = await world.alice.context_menu("Edit this picture", message)
    result = await world.alice.submit(form, prompt="a cat", strength="much")
    assert result.ephemeral
    assert "from 0.05 to 1" in words(result)


async def test_a_message_without_a_picture_is_refused(world):
    message = await world.bob.send(world.channel, "only words")
    result = await world.alice.context_menu("Edit this picture", message)
    assert result.ephemeral
    assert "no picture" in words(result)
