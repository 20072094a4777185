import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bot.jobs import JobState
from bot.options import HELP, preset_names
from bot.refusals import Refusal
from bot.worker.events import FROM_SPOILER_NOTICE
from cogs.options import _ModelOption, _PresetOption, _SizeOption, described, suggestions
from engine.pictures import spec_of
from local_discord.objects import COMPONENTS_V2
from local_discord.permissions import Permission
from tests.cogs.direct import GUILD, Use, attached, made, use
from tests.cogs.test_edit import half_mask
from tests.simulated import ENDLESS, png, shown, words


async def test_imagine_is_answered_at_once_and_painted_in_the_same_message(world):
    job = await world.imagine(world.alice, "a red apple", steps=16)
    assert "a red apple" in shown(world.message(job.message_id))
    done = await world.ended(job)

    assert done.state is JobState.DELIVERED
    message = world.message(job.message_id)
    assert [one.filename for one in message.attachments] == [f"painting-{job.id}.png"]
    assert message.attachments[0].description == "a red apple"
    assert "seed 1" in shown(message)
    assert len(world.edits(job.message_id)) >= 3  # two previews and the end
    assert [m.id for m in world.messages()] == [job.message_id]
    assert message.flags & COMPONENTS_V2
    assert message.json()["attachments"] == [], "the gallery has it"


async def test_previews_are_shown_large_too(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    preview = world.message(job.message_id).attachments[0]
    assert preview.filename.endswith(f"-{job.id}.jpg")
    with Image.open(io.BytesIO(preview.content)) as image:
        assert image.size == (512, 512)
    await world.bot.queue.cancel(job.id)
    await world.ended(job)


async def test_the_finished_picture_is_the_one_on_disk_shown_large_and_carries_its_reactions(world, tmp_path):
    job = await world.ended(await world.imagine(world.alice))
    message = world.message(job.message_id)
    await world.until(lambda: len(world.message(job.message_id).reactions) == 3)
    assert list(message.reactions) == list(world.settings.reactions.seeded)
    kept = world.bot.queue.files.result_path(job)
    posted = tmp_path / "posted.png"
    posted.write_bytes(message.attachments[0].content)
    assert spec_of(posted) == spec_of(kept) == job.spec
    with Image.open(posted) as large, Image.open(kept) as small:
        assert (small.size, large.size) == ((32, 32), (512, 512))
        back = np.asarray(large.resize(small.size, Image.Resampling.BOX)).astype(int)
        assert np.abs(back - np.asarray(small)).mean() < 12


async def test_options_reach_the_spec(world):
    result = await world.alice.slash(
        world.channel,
        "imagine",
        prompt="a castle::2 fog::0.5",
        negative="people",
        size="48x32",
        steps=2,
        seed=7,
        preset="paper",
        start="gradient",
        image=("p.png", png()),
        image_weight=0.5,
    )
    job = await world.ledger.by_message(result.response.id)
    spec = job.spec
    assert (spec.width, spec.height, spec.steps, spec.seed, spec.preset) == (48, 32, 2, 7, "paper")
    assert spec.start == "gradient"
    assert [(p.content, p.weight) for p in spec.prompts if p.kind == "text"] == [
        ("a castle", 2.0),
        ("fog", 0.5),
        ("people", -0.5),
    ]
    image = next(p for p in spec.prompts if p.kind == "image")
    assert (world.bot.queue.files.folder / image.content).is_file()
    assert image.weight == 0.5
    await world.ended(job)


async def test_markup_in_a_prompt_is_plain_text_and_pings_nobody(world):
    nasty = "**bold** @everyone <@1> [x](http://evil.example) ```code``` \u202egnihton\nnext # line"
    job = await world.imagine(world.alice, nasty, steps=2)
    text = shown(world.message(job.message_id))
    for piece in ("**bold", "@everyone", "<@1>", "[x](", "```", "\u202e", "\nnext"):
        assert piece not in text
    await world.ended(job)
    assert world.pinged() == []


async def test_words_for_the_inside_of_a_mask(world):
    result = await world.alice.slash(
        world.channel, "imagine", prompt="a beach --inside a ball --outside sea --steps 2", mask=("m.png", half_mask())
    )
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert job.state is JobState.DELIVERED
    assert [prompt.where for prompt in job.spec.prompts] == ["everywhere", "inside", "outside"]
    assert (world.bot.queue.files.folder / job.spec.mask).is_file()


async def test_a_picture_gives_its_colours(world):
    result = await world.alice.slash(
        world.channel, "imagine", prompt="a castle --symmetry 0.5 --steps 2", palette=("p.png", png("teal"))
    )
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.spec.looks.palette, job.spec.looks.symmetry) == (("#008080",), 0.5)
    assert spec_of(world.bot.queue.files.result_path(job)) == job.spec
    form = await world.bob.click(world.message(job.message_id), label="Remix")
    result = await world.bob.submit(form, prompt="a house")
    remix = await world.ended(await world.ledger.by_message(result.response.id))
    assert remix.spec.looks == job.spec.looks


async def refused(world, **options) -> str:
    before = await world.ledger.unfinished()
    result = await world.alice.slash(world.channel, "imagine", **options)
    assert result.ephemeral
    assert await world.ledger.unfinished() == before
    text = words(result)
    assert text.endswith(".")
    assert "\n" not in text
    return text


async def test_what_cannot_be_painted_is_refused_in_private_and_one_sentence(world):
    assert "width x height" in await refused(world, prompt="a cat", size="big")
    assert "pixels" in await refused(world, prompt="a cat", size="4000x4000")
    assert "model" in await refused(world, prompt="a cat", model="imagenet-16384")
    assert "picture" in await refused(world, prompt="a cat", image=("p.png", b"no picture at all"))
    assert "cut short" in await refused(world, prompt="a cat", image=("p.png", png()[:60]))
    assert await refused(world, prompt="::0")


async def test_only_so_many_at_a_time(world):
    await world.bot.queue.change_guild(world.guild_id, per_user=1)
    job = await world.imagine(world.alice)
    assert "1 of 1" in await refused(world, prompt="a cat")
    await world.ended(job)


async def test_a_blocked_word_is_refused_however_it_is_spelt(world):
    await world.bot.queue.change_guild(world.guild_id, blocked_words=frozenset({"weasel"}))
    assert "not allowed" in await refused(world, prompt="a W3asel")


async def test_without_its_permissions_the_bot_says_so_before_it_paints(world):
    denied = Permission.ATTACH_FILES | Permission.ADD_REACTIONS
    mute = world.text_channel("mute", {world.bot.user.id: denied})
    result = await world.alice.slash(mute, "imagine", prompt="a cat")
    assert result.ephemeral
    assert "attach files here or add reactions here" in words(result)
    assert await world.ledger.history(world.alice.id) == []


async def test_suggestions(world):
    sizes = await world.alice.autocomplete(world.channel, "imagine", "size", "25")
    assert [choice["value"] for choice in sizes] == ["256x256"]
    models = await world.alice.autocomplete(world.channel, "imagine", "model", "")
    assert [choice["value"] for choice in models] == ["embedded"]


async def test_every_option_is_taken_as_itself(bot, uploads):
    uploads.files = {"p": png("red"), "m": half_mask(), "c": png("teal")}
    files = {"image": attached("p.png"), "mask": attached("m.png"), "palette": attached("c.png")}
    job = await made(
        bot, "imagine", prompt="a castle --inside a red apple", negative="people", size="64x48", steps=3, seed=5,
        preset="fine", model="embedded", count=2, start="gradient", image_weight=0.25, **files,
    )  # fmt: skip
    spec = job.spec
    assert (job.kind, job.prompt, job.notices) == ("imagine", "a castle --inside a red apple", ())
    assert (spec.width, spec.height, spec.steps, spec.seed, spec.count) == (64, 48, 3, 5, 2)
    assert (spec.preset, spec.generator, spec.start, spec.looks.palette) == (
        "fine",
        "embedded",
        "gradient",
        ("#008080",),
    )
    assert [(prompt.kind, prompt.weight, prompt.where) for prompt in spec.prompts] == [
        ("text", 1, "everywhere"),
        ("text", -0.5, "everywhere"),
        ("text", 1, "inside"),
        ("image", 0.25, "everywhere"),
    ]
    folder = bot.queue.files.folder
    assert (folder / spec.prompts[-1].content).read_bytes() == uploads.files["p"]
    assert (folder / spec.mask).read_bytes() == uploads.files["m"]
    assert sorted(uploads.fetched) == [(1, "c.png", "picture"), (1, "m.png", "mask"), (1, "p.png", "picture")]
    assert len(list(folder.glob("inputs/*"))) == 2, "of the third only its colours are kept"


async def test_without_options_the_defaults_hold(bot):
    job = await made(bot, "imagine", prompt="a castle")
    spec = job.spec
    assert [(prompt.kind, prompt.content, prompt.weight) for prompt in spec.prompts] == [("text", "a castle", 1)]
    assert (spec.width, spec.height, spec.preset, spec.generator) == (32, 32, "draft", "embedded")
    assert (spec.count, spec.mask, spec.looks.palette) == (1, None, ())
    assert (await made(bot, "imagine", prompt="a castle")).spec.seed != spec.seed


async def test_a_picture_pulls_as_strongly_as_the_words_unless_it_is_said(bot, uploads):
    spec = (await made(bot, "imagine", prompt="a castle", image=attached())).spec
    assert [prompt.weight for prompt in spec.prompts] == [1, 1]


@pytest.mark.parametrize("name", ["image", "palette", "mask"])
async def test_what_is_painted_after_a_hidden_picture_is_hidden(bot, uploads, name):
    uploads.files = {"m": half_mask()}
    prompt = "a castle --inside an apple" if name == "mask" else "a castle"
    job = await made(bot, "imagine", prompt=prompt, **{name: attached("m.png", spoiler=True)})
    assert job.notices == (FROM_SPOILER_NOTICE,)


async def test_nothing_is_fetched_for_what_is_refused_and_nothing_kept(bot, uploads):
    await bot.queue.change_guild(GUILD, blocked_words=frozenset({"weasel"}), per_user=0)
    for prompt, why in (("a weasel", "not allowed"), ("a cat", "may not paint")):
        with pytest.raises(Refusal, match=why):
            await use(bot, "imagine", prompt=prompt, image=attached(), palette=attached("c.png"))
    assert uploads.fetched == []
    await bot.queue.change_guild(GUILD, blocked_words=frozenset(), per_user=8)

    async def full(request):
        raise Refusal("The queue is full.")

    bot.queue.submit = full
    with pytest.raises(Refusal, match="queue is full"):
        await use(bot, "imagine", prompt="a cat", image=attached())
    assert len(uploads.fetched) == 1
    assert list(bot.queue.files.folder.glob("inputs/*")) == []


def test_suggestions_contain_what_was_typed_and_are_as_many_as_discord_shows():
    def offered(names, typed):
        return [(choice.name, choice.value) for choice in suggestions(names, typed)]

    assert offered(("64x48", "Square", "48x64"), " sQu ") == [("Square", "Square")]
    assert offered(("64x48", "48x64"), "") == [("64x48", "64x48"), ("48x64", "48x64")]
    assert offered(("64x48",), "9") == []
    many = tuple(f"{number}x" for number in range(30))
    assert offered(many, "x") == [(name, name) for name in many[:25]]
    assert offered(("y" * 101,), "y") == [("y" * 100, "y" * 100)]


async def test_sizes_are_suggested_for_the_model_that_was_chosen(bot):
    options: list[Any] = [_SizeOption(), _ModelOption(), _PresetOption()]
    size, model, preset = options
    small = [choice.value for choice in await size.autocomplete(Use(bot, model=None), "")]
    large = [choice.value for choice in await size.autocomplete(Use(bot, model="imagenet-16384"), "")]
    assert small != large
    assert ("128x128" in small, "512x512" in large) == (True, True)
    assert small == [choice.value for choice in await size.autocomplete(Use(bot), "")]
    assert [choice.value for choice in await model.autocomplete(Use(bot), "emb")] == ["embedded"]
    assert await model.autocomplete(Use(bot), "no such") == []
    for option in options:
        assert await option.transform(Use(bot), "fine") == "fine"
    assert [(choice.name, choice.value) for choice in preset.choices] == [(name, name) for name in preset_names()]


def test_options_are_described_in_one_place():
    def command(prompt, picture): ...

    shown_as: Any = described("prompt", picture="image_prompt")(command)
    assert shown_as.__discord_app_commands_param_description__ == {
        "prompt": HELP["prompt"], "picture": HELP["image_prompt"],
    }  # fmt: skip
