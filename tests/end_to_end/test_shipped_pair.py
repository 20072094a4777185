"""The pair that ships with the repository, through the real client, ledger and worker thread."""

import re

import numpy as np
import pytest
from PIL import Image

from bot.jobs import JobState
from tests.cogs.test_edit import edited, half_mask
from tests.simulated import png, quick_settings, running_bot, shown


@pytest.fixture
async def shipped(tmp_path):
    async with running_bot(quick_settings(tmp_path)) as world:
        yield world


def pixels_of(world, job):
    with Image.open(world.bot.queue.files.picture(job)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


async def test_a_red_apple_on_a_blue_background_is_one(shipped):
    job = await shipped.imagine(shipped.alice, "a red apple on a blue background", preset="normal", size="128x128")
    ended = await shipped.ended(job)
    assert ended.state is JobState.DELIVERED
    progress = [body for body in shipped.edits(job.message_id) if re.search("it/s|s/it", str(body))]
    assert len(progress) >= 2
    assert "Painted in" in shown(shipped.message(ended.message_id))
    pixels = pixels_of(shipped, ended)
    assert pixels.shape == (128, 128, 3)
    red, green, blue = pixels[54:84, 44:84].mean((0, 1))  # the middle
    assert red > green + 40
    assert red > blue + 40
    red, green, blue = np.concatenate([pixels[:16, :16], pixels[-16:, -16:]]).mean((0, 1))  # two corners
    assert blue > red + 40
    assert blue > green


async def test_an_edit_changes_what_its_mask_lets_it(shipped):
    green = png("green", (32, 32))
    picture, mask = ("meadow.png", green), ("mask.png", half_mask())
    job = await edited(shipped, image=picture, mask=mask, prompt="a red apple", seed=1, steps=20, strength=1.0)
    assert job.state is JobState.DELIVERED
    changed = np.abs(pixels_of(shipped, job) - (0, 128, 0))
    assert changed[:, 72:].max() <= 2
    assert changed[:, :40].max() > 20
