import io

import numpy as np
import pytest
from PIL import Image

from bot.chat.attachments import Upload
from bot.jobs import JobState
from bot.options import EditOptions, PaintingOptions
from bot.refusals import Refusal
from cogs.edit import _strength, _with_files
from engine.prompts import Prompt
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
    assert (job.spec.width, job.spec.height) == (48, 32)
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


@pytest.mark.parametrize("text", ["much", "", "0", "0.049", "1.01", "-5", "-0.5", "5", "nan", "inf", "1e9", "0.5 0.5"])
def test_a_strength_that_is_none_is_refused(text):
    with pytest.raises(Refusal, match=r"from 0\.05 to 1"):
        _strength(text)


@pytest.mark.parametrize(("text", "strength"), [("0.05", 0.05), ("1", 1.0), ("0,5", 0.5), (" 0.7 ", 0.7), (".3", 0.3)])
def test_a_strength_is_read_as_people_write_it(text, strength):
    assert _strength(text) == strength


def test_each_file_is_put_where_it_belongs():
    """A mask is not the picture, and what is painted towards is neither."""
    edit = EditOptions(picture="kept", picture_size=(9, 9), edit_from="a house", strength=0.4)
    towards = Prompt(kind="image", content="before")
    options = PaintingOptions(prompt="a cat", steps=7, image_prompts=(towards,), edit=edit)
    uploads = {"picture": Upload(b"", 64, 32), "mask": Upload(b"", 8, 16), "towards": Upload(b"", 1, 2)}
    whole = _with_files(options, {"picture": "p.png", "mask": "m.png", "towards": "t.png"}, uploads)
    assert whole.edit == EditOptions(
        picture="p.png", picture_size=(64, 32), mask="m.png", edit_from="a house", strength=0.4
    )
    assert whole.image_prompts == (towards, Prompt(kind="image", content="t.png"))
    assert (whole.prompt, whole.steps) == ("a cat", 7)
    assert _with_files(options, {}, {}) == options
    only_mask = _with_files(options, {"mask": "m.png"}, uploads).edit
    assert only_mask is not None
    assert (only_mask.picture, only_mask.picture_size, only_mask.mask) == ("kept", (9, 9), "m.png")


async def test_options_reach_the_spec(world):
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    result = await world.alice.slash(
        world.channel,
        "edit",
        image=("house.png", png("green", (32, 32))),
        mask=("mask.png", half_mask()),
        prompt="a blue fish",
        strength=0.35,
        steps=9,
        seed=0,
        preset="fine",
        **{"from": "a red fish"},
    )
    job = await world.ledger.by_message(result.response.id)
    spec = job.spec
    assert (job.kind, job.prompt, spec.edit_from, spec.strength) == ("edit", "a blue fish", "a red fish", 0.35)
    assert (spec.steps, spec.seed, spec.preset) == (9, 0, "fine")
    folder = world.bot.queue.files.folder
    with Image.open(folder / spec.init_image) as picture, Image.open(folder / spec.mask) as mask:
        assert picture.convert("RGB").getpixel((16, 16)) == (0, 128, 0)
        assert [mask.getpixel((x, 16)) for x in (2, 30)] == [255, 0]


async def test_a_message_without_a_picture_is_refused(world):
    message = await world.bob.send(world.channel, "only words")
    result = await world.alice.context_menu("Edit this picture", message)
    assert result.ephemeral
    assert "no picture" in words(result)
