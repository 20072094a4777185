"""Pictures blended into a new one."""

from bot.jobs import JobState
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
