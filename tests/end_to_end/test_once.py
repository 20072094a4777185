"""One message a job, and no second way of sending before it is known that the first did not work."""

import asyncio
import logging

import pytest
from discord import http

from bot.chat import retry
from bot.jobs import JobState
from tests.end_to_end.loopback import HurriedAsyncio, answer, applied, disconnect, hold, reset
from tests.simulated import ENDLESS


@pytest.fixture
def soon(monkeypatch):
    """Try again sooner than for Discord."""
    monkeypatch.setattr(http, "asyncio", HurriedAsyncio())
    monkeypatch.setitem(retry.retried.__kwdefaults__, "first_pause", 0.01)
    monkeypatch.setattr("bot.chat.retry._LONGEST_PAUSE", 0.05)
    monkeypatch.setattr("bot.chat.delivery._OUTAGE_SECONDS", 0.1)


def brings_picture(body) -> bool:
    return any(str(entry.get("filename", "")).startswith("painting-") for entry in body.get("attachments") or ())


async def test_the_same_interaction_twice_at_the_same_time_is_answered_once(world):
    opened = asyncio.Event()
    world.discord.fault("answer", hold(opened, applied=False))
    asking = await world.discord.slash(world.alice.user, world.channel, "imagine", prompt="a red apple", steps=2)
    await world.until(lambda: world.ledger.history(world.alice.id))
    await world.discord.again(asking)
    await asyncio.sleep(0.3)  # the second one is handled while the first waits
    opened.set()
    result = await world.answered(asking)
    [job] = await world.ledger.history(world.alice.id)
    assert not result.ephemeral
    assert (await world.ended(job)).message_id == result.response.id
    assert asking.followups == []
    assert world.messages() == [result.response]


async def test_many_reactions_under_a_limit_are_one_message_each(world, monkeypatch):
    """Posts wait for Discord's limit longer than the paintings take."""
    monkeypatch.setattr("bot.chat.progress._ANSWER_SECONDS", 0.3)
    done = await world.ended(await world.imagine(world.alice, steps=1, size="32x32"))
    world.discord.rest.limits.routes["send"] = (3, 3.0)
    people = [world.person(f"fan {number}") for number in range(8)]
    for person in people:
        await world.discord.react(person.user, world.message(done.message_id), "🔁")

    async def jobs():
        return [job for person in people for job in await world.ledger.history(person.id)]

    async def all_ended() -> bool:
        found = await jobs()
        return len(found) == 8 and all(job.delivered_at for job in found)

    await world.until(all_ended)
    assert {job.state for job in await jobs()} == {JobState.DELIVERED}
    for job in await jobs():
        [message] = [message for message in world.messages() if any(job.id in button for button in message.buttons)]
        assert message.id == job.message_id
        assert "in line" not in message.text
        assert message.files == [f"painting-{job.id}.png"]


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_an_edit_that_was_applied_and_answered_with_an_error_is_not_sent_again(world, soon, status):
    world.discord.fault("edit", applied(answer(status)), times=99, where=brings_picture)
    job = await world.ended(await world.imagine(world.alice, steps=2))
    assert job.state is JobState.DELIVERED
    assert [message.id for message in world.messages()] == [job.message_id]
    assert world.messages(world.direct(world.alice)) == []


@pytest.mark.parametrize("status", [500, 503])
async def test_a_reply_that_was_applied_and_answered_with_an_error_is_not_sent_again(world, soon, status):
    """Not even after the minutes in which Discord knows the nonce."""
    world.discord.fault("edit", answer(404, 10008, "Unknown Message"), times=99)
    sent = world.discord.fault("send", applied(answer(status)), times=99, where=brings_picture)
    job = await world.imagine(world.alice, steps=2)
    await sent.seen(8 if status == 503 else 40)  # all tries of this way, each of them five for the library
    world.discord.rest.messages.forget_nonces()
    await world.ended(job)
    assert [message.files for message in world.messages()].count([f"painting-{job.id}.png"]) == 1
    assert world.messages(world.direct(world.alice)) == []


@pytest.mark.parametrize("effect", [reset(applied=True), disconnect(applied=True)], ids=["reset", "hung up"])
async def test_an_edit_that_was_applied_and_whose_connection_broke_is_not_sent_again(world, soon, effect):
    world.discord.fault("edit", effect, times=99, where=brings_picture)
    job = await world.ended(await world.imagine(world.alice, steps=2))
    assert [message.id for message in world.messages()] == [job.message_id]
    assert world.messages(world.direct(world.alice)) == []


@pytest.mark.parametrize("status", [500, 503])
async def test_nothing_second_is_tried_as_long_as_nobody_knows_whether_the_first_worked(world, soon, status):
    """Neither the edit nor a look at its message is answered: the bot looks again, and writes nothing anywhere."""
    world.discord.fault("edit", applied(answer(status)), times=99, where=brings_picture)
    blind = [world.discord.fault(name, answer(status), times=10_000) for name in ("message", "history")]
    job = await world.imagine(world.alice, steps=2)
    await blind[0].seen(12)
    assert (await world.job(job.id)).delivered_at is None
    assert [message.id for message in world.messages()] == [job.message_id]
    for fault in blind:
        fault.times = 0
    ended = await world.ended(job)
    assert [message.id for message in world.messages()] == [job.message_id] == [ended.message_id]
    assert world.messages(world.direct(world.alice)) == []


async def test_previews_that_are_too_large_come_smaller(world):
    world.discord.world.server_limit = 4000
    job = await world.imagine(world.alice, steps=ENDLESS)
    message = world.message(job.message_id)
    await world.until(lambda: message.attachments)
    assert message.attachments[0].size <= 4000
    await world.alice.click(message, "Stop")
    assert (await world.ended(job)).message_id == message.id
    assert len(world.messages()) == 1


async def test_where_an_edit_may_bring_no_file_the_picture_comes_as_a_reply(world, caplog):
    """A 400 for media in an edit was reported (discord-api-docs #7529)."""
    caplog.set_level(logging.WARNING)
    world.discord.fault("edit", answer(400, 50035, "Invalid Form Body"), times=99, where=lambda b: b.get("attachments"))
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: "cannot be edited any more" in caplog.text)
    await asyncio.sleep(0.5)
    refused = len([record for record in world.discord.records if record.name == "edit" and record.status == 400])
    assert refused == 1, "previews stop"
    await world.bot.queue.stop(job.id)
    ended = await world.ended(job)
    reply = world.message(ended.message_id)
    assert reply.reference["message_id"] == str(job.message_id)
    assert reply.files == [f"painting-{job.id}.png"]
    assert caplog.text.count(f"Job {job.id}: its message cannot be edited any more") == 1
