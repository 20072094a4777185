"""Prompts with choices: a question first, then one group under the person's limits."""

from bot.jobs import JobState
from tests.simulated import ENDLESS, png, words


async def test_choices_are_asked_about_and_then_painted_as_a_group(world):
    result = await world.alice.slash(world.channel, "imagine", prompt="a {red, green} {cat, dog} --steps 2", seed=4)
    assert result.ephemeral
    assert "4 paintings?" in words(result)
    assert "a green dog" in words(result)
    assert await world.ledger.history(world.alice.id) == []
    await world.restart()
    await world.alice.click(result.response, label="Paint all 4")
    assert words(result) == "4 paintings are on their way."
    jobs = await world.ledger.history(world.alice.id)
    assert sorted(job.prompt for job in jobs) == [
        f"a {colour} {thing} --steps 2" for colour in ("green", "red") for thing in ("cat", "dog")
    ]
    for job in jobs:
        ended = await world.ended(job)
        assert (ended.state, ended.spec.seed) == (JobState.DELIVERED, 4)
    assert len(world.messages()) == 4


async def test_a_group_is_stopped_at_once_also_after_a_restart(world):
    asked = f"a {{red, green, blue}} cat --steps {ENDLESS}"
    result = await world.alice.slash(world.channel, "imagine", prompt=asked)
    await world.alice.click(result.response, label="Paint all 3")
    waiting = await world.imagine(world.alice, steps=ENDLESS)  # no part of the group
    jobs = [job for job in await world.ledger.history(world.alice.id) if job.id != waiting.id]
    await world.until(lambda: any(world.message(job.message_id).attachments for job in jobs))
    await world.restart()
    jobs = [await world.job(job.id) for job in jobs]
    [running] = [job for job in jobs if job.state is JobState.RUNNING]
    await world.alice.click(result.response, label="Stop all")
    assert "Stopped 3 of 3" in words(result)
    ended = {job.id: (await world.ended(job)).state for job in jobs}
    assert ended == {job.id: JobState.DELIVERED if job.id == running.id else JobState.CANCELLED for job in jobs}
    assert not (await world.job(waiting.id)).finished
    await world.alice.click(world.message(waiting.message_id), label="Stop")
    await world.ended(waiting)


async def test_a_group_is_refused_whole_where_there_is_no_room_for_all(world):
    await world.bot.queue.change_guild(world.guild_id, per_user=3)
    prompt = "a {red, green} {cat, dog}"
    result = await world.alice.slash(world.channel, "imagine", prompt=prompt)
    assert "That makes 4 paintings, and you may ask for 3 more" in words(result)
    await world.bot.queue.change_guild(world.guild_id, per_user=4, paused=True)
    result = await world.alice.slash(world.channel, "imagine", prompt=prompt)
    await world.imagine(world.alice)
    refused = await world.alice.click(result.response, label="Paint all 4")
    assert len(await world.ledger.history(world.alice.id)) == 1
    assert "you may ask for 3 more" in words(refused)


async def test_choices_are_refused_with_pictures_and_with_blocked_words(world):
    await world.bot.queue.change_guild(world.guild_id, blocked_words=frozenset({"weasel"}))
    result = await world.alice.slash(world.channel, "imagine", prompt="a {cat, dog}", image=("a.png", png()))
    assert "Leave out either" in words(result)
    result = await world.alice.slash(world.channel, "imagine", prompt="a {cat, weasel}")
    assert "not allowed" in words(result)
