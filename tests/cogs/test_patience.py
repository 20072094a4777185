"""Uploads that take longer than an answer may wait: a private "thinking" first, then the job in the channel."""

import pytest

from bot.jobs import JobState
from tests.atelier import png, shown


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("bot.desk._PATIENCE", 0.0)


async def test_a_slow_upload_is_waited_for_in_private_and_painted_in_public(world, impatient):
    result = await world.alice.slash(
        world.channel, "edit", image=("a.png", png("green", (32, 32))), prompt="a red apple", steps=2
    )
    assert result.ephemeral
    job = (await world.ledger.history(world.alice.id))[0]
    ended = await world.ended(job)
    assert ended.state is JobState.DELIVERED
    assert str(ended.message_id) in result.response.content
    assert [message.id for message in world.messages()] == [ended.message_id]
    assert "a red apple" in shown(world.message(ended.message_id))


async def test_a_slow_upload_that_is_refused_stays_private(world, impatient):
    result = await world.alice.slash(world.channel, "edit", image=("a.png", b"nothing"), prompt="a red apple")
    assert result.ephemeral
    said = [result.response.content, *(followup.content for followup in result.followups)]
    assert any("no picture that can be read" in text for text in said)
    assert world.messages() == []
    assert await world.ledger.history(world.alice.id) == []
