"""/describe: words, and the picture that they make."""

from bot.jobs import JobState
from tests.simulated import png, words


async def test_a_picture_is_described_and_its_words_are_painted(world):
    result = await world.alice.slash(world.channel, "describe", image=("a.png", png("red", (64, 64))))
    assert result.ephemeral
    text = words(result)
    assert "Things" in text
    assert "As a prompt" in text
    assert "best guess" in text
    await world.alice.click(result.response, label="Paint this")
    [job] = await world.ledger.history(world.alice.id)
    assert job.prompt in text
    assert (await world.ended(job)).state is JobState.DELIVERED


async def test_a_message_is_described_from_its_menu(world):
    message = await world.bob.send(world.channel, "look", ("a.png", png("blue", (64, 64))))
    result = await world.alice.context_menu("Describe this picture", message)
    assert "As a prompt" in words(result)
    empty = await world.bob.send(world.channel, "only words")
    assert "no picture" in words(await world.alice.context_menu("Describe this picture", empty))
