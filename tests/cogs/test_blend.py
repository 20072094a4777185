"""Pictures blended into a new one."""

import pytest

from bot.jobs import JobState
from bot.refusals import Refusal
from bot.worker.events import FROM_SPOILER_NOTICE
from tests.cogs.direct import GUILD, attached, made, use
from tests.simulated import png, words


async def test_pictures_pull_by_their_weights_with_words_or_without(world):
    files = {"image1": ("a.png", png("red")), "image2": ("b.png", png("blue")), "image3": ("c.png", png("green"))}
    result = await world.alice.slash(world.channel, "blend", **files, weights="2 1 0.5", steps=2, seed=3)
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.state, job.kind, job.prompt) == (JobState.DELIVERED, "blend", "a blend of 3 pictures")
    assert [(prompt.kind, prompt.weight) for prompt in job.spec.prompts] == [("image", 2), ("image", 1), ("image", 0.5)]
    assert len({prompt.content for prompt in job.spec.prompts}) == 3
    assert job.spec.start == "best-of", "a prior proposes by words"

    del files["image3"]
    result = await world.alice.slash(world.channel, "blend", **files, prompt="a fish --steps 2")
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert [prompt.kind for prompt in job.spec.prompts] == ["text", "image", "image"]
    assert (job.spec.start, job.spec.steps) == ("prior", 2)


async def test_weights_are_one_for_each_picture(world):
    files = {"image1": ("a.png", png("red")), "image2": ("b.png", png("blue"))}
    for weights in ("1", "1 2 3", "1 0", "much more"):
        result = await world.alice.slash(world.channel, "blend", **files, weights=weights)
        assert result.ephemeral
        assert "Write 2 weights above 0" in words(result)


async def test_options_reach_the_spec_and_pictures_keep_their_order(bot, uploads):
    names = ("one", "two", "three", "four")
    uploads.files = {name: png(colour) for name, colour in zip(names, ("red", "green", "blue", "white"), strict=True)}
    given = {f"image{number}": attached(f"{name}.png") for number, name in enumerate(names, start=1)}
    options = {"size": "64x48", "steps": 3, "seed": 5, "preset": "fine", "weights": "4 3 2 1"}
    job = await made(bot, "blend", prompt=" a fish ", **given, **options)
    spec = job.spec
    assert (job.kind, job.prompt, job.notices) == ("blend", "a fish", ())
    assert (spec.width, spec.height, spec.steps, spec.seed, spec.preset) == (64, 48, 3, 5, "fine")
    words, *pictures = spec.prompts
    assert words.content == "a fish"
    assert [prompt.weight for prompt in pictures] == [4, 3, 2, 1]
    kept = [(bot.queue.files.folder / prompt.content).read_bytes() for prompt in pictures]
    assert kept == [uploads.files[name] for name in names]
    assert uploads.fetched == [(1, f"{name}.png", "picture") for name in names]


@pytest.mark.parametrize("count", [2, 3, 4])
async def test_without_words_it_says_of_how_many(bot, uploads, count):
    given = {f"image{number}": attached(f"{number}.png") for number in range(1, count + 1)}
    job = await made(bot, "blend", prompt="  ", **given)
    assert job.prompt == f"a blend of {count} pictures"
    assert [(prompt.kind, prompt.weight) for prompt in job.spec.prompts] == [("image", 1)] * count


@pytest.mark.parametrize("hidden", [1, 2])
async def test_what_is_made_of_a_hidden_picture_is_hidden(bot, uploads, hidden):
    given = {f"image{number}": attached(f"{number}.png", spoiler=number == hidden) for number in (1, 2)}
    assert (await made(bot, "blend", **given)).notices == (FROM_SPOILER_NOTICE,)


async def test_nothing_is_fetched_for_what_is_refused_and_nothing_kept(bot, uploads):
    given = {"image1": attached("1.png"), "image2": attached("2.png")}
    await bot.queue.change_guild(GUILD, blocked_words=frozenset({"weasel"}))
    with pytest.raises(Refusal, match="not allowed"):
        await use(bot, "blend", prompt="a weasel", **given)
    with pytest.raises(Refusal, match="Write 2 weights"):
        await use(bot, "blend", weights="1", **given)
    assert uploads.fetched == []
    await bot.queue.change_guild(GUILD, blocked_words=frozenset(), per_user=1)
    await made(bot, "blend", **given)
    with pytest.raises(Refusal, match="1 of 1"):
        await use(bot, "blend", **given)
    assert len(list(bot.queue.files.folder.glob("inputs/*"))) == 1, "the one picture that both are"
