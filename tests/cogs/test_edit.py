import io

import discord
import numpy as np
import pytest
from PIL import Image

from bot.chat.attachments import Upload
from bot.chat.forms import Answers
from bot.chat.message_files import ShownFile
from bot.jobs import JobState
from bot.options import EditOptions, PaintingOptions
from bot.refusals import Refusal
from bot.settings import DiscordSettings
from bot.worker.events import FROM_SPOILER_NOTICE, SPOILER_NOTICE
from cogs.edit import _strength, _with_files
from engine.pictures import encode_png
from engine.prompts import Prompt
from tests.bot.chat.fake_discord import ALL
from tests.bot.chat.test_attachments import GOOD
from tests.bot.chat.test_attachments import message as posted
from tests.bot.conftest import row
from tests.cogs.direct import GUILD, Use, attached, made, use
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


PICTURE = {"a": png("green", (32, 32)), "m": half_mask(), "t": png("blue", (32, 32))}


def hidden(name="a.png"):
    return ShownFile(name, GOOD, 7, "image/png", spoiler=True)


def seen(name):
    return ShownFile(name, GOOD, 7, "image/png", spoiler=False)


def kept(bot, path):
    return (bot.queue.files.folder / path).read_bytes()


async def test_every_option_is_taken_as_itself(bot, uploads):
    uploads.files = PICTURE
    job = await made(
        bot, "edit", image=attached("a.png"), prompt="a cat", shows="a dog", mask=attached("m.png"), strength=0.4,
        steps=3, seed=5, preset="fine", towards=attached("t.png"),
    )  # fmt: skip
    spec = job.spec
    assert (job.kind, job.prompt, job.parent_id, job.notices) == ("edit", "a cat", None, ())
    assert (spec.edit_from, spec.strength, spec.steps, spec.seed, spec.preset) == ("a dog", 0.4, 3, 5, "fine")
    assert (kept(bot, spec.init_image), kept(bot, spec.mask)) == (PICTURE["a"], PICTURE["m"])
    text, picture = spec.prompts
    assert (text.content, kept(bot, picture.content)) == ("a cat", PICTURE["t"])
    assert spec.width / spec.height == pytest.approx(2, rel=0.1), "as wide as what was fetched"
    assert uploads.fetched == [(1, "a.png", "picture"), (1, "m.png", "mask"), (1, "t.png", "picture")]
    job = await made(bot, "edit", image=attached("a.png"), prompt="a cat", mask_text="the sky")
    assert (job.spec.mask_text, job.spec.mask, job.spec.edit_from) == ("the sky", None, None)
    assert job.spec.strength == EditOptions(picture="").strength


@pytest.mark.parametrize("name", ["image", "mask", "towards"])
async def test_an_edit_with_a_hidden_picture_is_hidden(bot, uploads, name):
    uploads.files = PICTURE
    files = {"image": attached("a.png"), name: attached("m.png", spoiler=True)}
    job = await made(bot, "edit", prompt="a cat", **files)
    assert job.notices == (FROM_SPOILER_NOTICE,)


async def test_nothing_is_fetched_for_what_is_refused_and_nothing_kept(bot, uploads):
    await bot.queue.change_guild(GUILD, blocked_words=frozenset({"weasel"}))
    with pytest.raises(Refusal, match="not allowed"):
        await use(bot, "edit", image=attached(), prompt="a weasel")
    with pytest.raises(Refusal, match="attach files"):
        await use(
            bot,
            "edit",
            Use(bot, permissions=ALL & ~discord.Permissions(attach_files=True)),
            image=attached(),
            prompt="a",
        )
    with pytest.raises(Refusal, match="not both"):
        await use(bot, "edit", image=attached(), prompt="a cat", mask=attached("m.png"), mask_text="the sky")
    assert uploads.fetched == []

    async def full(request):
        raise Refusal("The queue is full.")

    bot.queue.submit = full
    with pytest.raises(Refusal, match="queue is full"):
        await use(bot, "edit", image=attached(), prompt="a cat")
    assert len(uploads.fetched) == 1
    assert list(bot.queue.files.folder.glob("inputs/*")) == []


@pytest.fixture
async def done(bot, ask):
    """A finished painting, whose message is 777."""

    async def make(notices=(), kind="imagine"):
        job, _ = await bot.queue.ledger.add(ask(notices=notices, kind=kind))
        await bot.queue.attach_message(job.id, job.channel_id, 777)
        await bot.queue.ledger.claim(job.id)
        bot.queue.files.save_result(job, [encode_png(Image.new("RGB", (32, 32), "red"), job.spec)], [b""])
        await bot.queue.ledger.transition(job.id, JobState.RENDERED, step=6, seconds=2.0)
        return await row(bot.queue.ledger, job.id)

    return make


def answers(files=None, **texts):
    return Answers({"prompt": "a cat", "strength": "0,4", "mask_text": "", **texts}, files or {})


@pytest.mark.parametrize("notices", [(), (SPOILER_NOTICE,)])
async def test_a_form_edits_a_picture_of_ours(bot, uploads, done, notices):
    uploads.files, parent = PICTURE, await done(notices)
    asked = Use(bot, 2)
    await bot.forms["edit"](asked, parent.id, answers({"mask": seen("m.png"), "towards": seen("t.png")}))
    job = await bot.queue.ledger.by_interaction(asked.id)
    spec = job.spec
    assert (job.kind, job.prompt, job.parent_id, job.user_id) == ("edit", "a cat", parent.id, 2)
    assert job.notices == ((FROM_SPOILER_NOTICE,) if notices else ())
    assert (spec.init_image, spec.strength, spec.mask_text) == (bot.queue.files.picture_of(parent), 0.4, None)
    assert (spec.width, spec.height) == (32, 32)
    assert kept(bot, spec.mask) == PICTURE["m"]
    assert [prompt.kind for prompt in spec.prompts] == ["text", "image"]
    asked = Use(bot, 2)
    await bot.forms["edit"](asked, parent.id, answers(mask_text="the sky", strength="1"))
    spec = (await bot.queue.ledger.by_interaction(asked.id)).spec
    assert (spec.mask_text, spec.mask, spec.strength) == ("the sky", None, 1)


async def test_a_form_edits_what_somebody_posted(bot, uploads):
    uploads.files = PICTURE
    for file, notices in ((seen("a.png"), ()), (hidden(), (FROM_SPOILER_NOTICE,))):
        note, asked = await bot.intake.save_note(1, file.to_note()), Use(bot)
        await bot.forms["attached"](asked, note, answers({"mask": seen("m.png")}))
        job = await bot.queue.ledger.by_interaction(asked.id)
        spec = job.spec
        assert (job.kind, job.prompt, job.parent_id, job.notices) == ("edit", "a cat", None, notices)
        assert (kept(bot, spec.init_image), kept(bot, spec.mask)) == (PICTURE["a"], PICTURE["m"])
        assert (spec.strength, spec.mask_text) == (0.4, None)
        assert (spec.width, spec.height) == (48, 32)
        with pytest.raises(Refusal, match="too old"):
            await bot.forms["attached"](Use(bot, 2), note, answers())
    asked = Use(bot)
    await bot.forms["attached"](asked, note, answers(mask_text="the sky"))
    assert (await bot.queue.ledger.by_interaction(asked.id)).spec.mask_text == "the sky"
    with pytest.raises(Refusal, match="number from"):
        await bot.forms["attached"](Use(bot), note, answers(strength="much"))


async def test_the_menu_opens_the_form_for_our_own_picture_or_for_a_note_of_another(bot, done):
    bot.settings = bot.settings.model_copy(update={"discord": DiscordSettings()})
    menu = bot.tree.get_command("Edit this picture", type=discord.AppCommandType.message)

    async def opened(number, *files):
        asked, shown = Use(bot), posted(*files)
        shown.id = number
        await menu.callback(asked, shown)
        (form,) = asked.forms
        return form.custom_id.split(":")

    job = await done()
    assert await opened(777) == ["form", "edit", job.id]
    _, kind, note = await opened(778, ("a.txt",), ("b.png",))
    assert kind == "attached"
    assert ShownFile.from_note(await bot.intake.read_note(1, note)).name == "b.png"
    await bot.queue.ledger.database.write("UPDATE jobs SET kind = 'timelapse'")
    assert (await opened(777, ("b.png",)))[1] == "attached", "a film is no picture to edit"
    await bot.queue.ledger.database.write("UPDATE jobs SET kind = 'imagine'")
    bot.queue.files.delete(job)
    assert (await opened(777, ("b.png",)))[1] == "attached"
    with pytest.raises(Refusal, match="no picture"):
        await opened(778, ("a.txt",))
    with pytest.raises(Refusal, match="attach files"):
        await menu.callback(Use(bot, permissions=ALL & ~discord.Permissions(attach_files=True)), posted(("b.png",)))


async def test_the_menu_goes_with_its_command(bot):
    await bot.unload_extension("cogs.edit")
    kind = discord.AppCommandType.message
    assert bot.tree.get_command("Edit this picture", type=kind) is None
    assert bot.tree.get_command("Describe this picture", type=kind) is not None
