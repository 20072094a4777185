import pytest

from bot.chat import content
from bot.jobs import JobState
from local_discord.permissions import Permission
from tests.simulated import ENDLESS, shown, words


@pytest.fixture
async def paused(world):
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    return world


async def test_the_queue_shows_everybody_and_marks_ones_own(paused):
    world = paused
    mine = await world.imagine(world.alice, "a red apple")
    others = await world.imagine(world.bob, "a blue fish")
    result = await world.alice.slash(world.channel, "queue")
    lines = words(result).splitlines()
    assert result.ephemeral
    assert [job.id in line for job, line in zip((mine, others), lines[1:3], strict=True)] == [True, False]
    assert ["yours" in line for line in lines[1:3]] == [True, False]
    assert ["a red apple" in line for line in lines[1:3]] == [True, False]
    assert "fish" not in words(result)
    assert f"<@{world.bob.id}>" in lines[2]


async def test_cancel_takes_the_newest_or_the_one_named(paused):
    world = paused
    first, second, third = [await world.imagine(world.alice) for _ in range(3)]
    choices = await world.alice.autocomplete(world.channel, "cancel", "job", "")
    assert [choice["value"] for choice in choices] == [third.id, second.id, first.id]
    await world.alice.slash(world.channel, "cancel")
    await world.alice.slash(world.channel, "cancel", job=first.id.upper())
    states = [(await world.job(job.id)).state for job in (first, second, third)]
    assert states == [JobState.CANCELLED, JobState.QUEUED, JobState.CANCELLED]


async def test_cancel_is_for_ones_own(paused):
    world = paused
    job = await world.imagine(world.alice)
    for options, reason in (({"job": job.id}, "Only the person"), ({}, "no painting"), ({"job": "zzz"}, "no job")):
        result = await world.bob.slash(world.channel, "cancel", **options)
        assert result.ephemeral
        assert reason in words(result)
    assert (await world.job(job.id)).state is JobState.QUEUED


async def test_show_posts_a_picture_again_with_live_buttons(world):
    job = await world.ended(await world.imagine(world.alice))
    result = await world.bob.slash(world.channel, "show", job=job.id)
    assert result.response.attachments[0].filename == f"painting-{job.id}.png"
    again = await world.bob.click(world.message(result.response.id), label="Rerun")
    rerun = await world.ended(await world.ledger.by_message(again.response.id))
    assert rerun.parent_id == job.id
    assert (await world.job(job.id)).message_id == job.message_id


async def test_a_state_has_one_word_wherever_people_see_it(world):
    """In the history and in what is suggested for /show and /cancel."""
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    job = await world.imagine(world.alice)
    for state, word in content.STATES.items():
        await world.ledger.database.write("UPDATE jobs SET state = ? WHERE id = ?", (state.value, job.id))
        [suggested] = await world.alice.autocomplete(world.channel, "show", "job", "")
        assert suggested["name"].endswith(f" · {word}")
        assert f" · {word} · " in words(await world.alice.slash(world.channel, "history"))
    await world.ledger.database.write("UPDATE jobs SET state = 'queued' WHERE id = ?", (job.id,))


async def test_show_of_an_unfinished_job_moves_its_progress_there(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    result = await world.alice.slash(world.channel, "show", job=job.id)
    await world.until(lambda: "step" in shown(world.message(result.response.id)))
    await world.alice.click(world.message(result.response.id), label="Stop")
    ended = await world.ended(job)
    assert ended.message_id == result.response.id


async def test_show_says_when_the_picture_is_gone(world):
    job = await world.ended(await world.imagine(world.alice))
    world.bot.queue.files.delete(job)
    result = await world.alice.slash(world.channel, "show", job=job.id)
    assert "cleared away" in words(result)


async def test_show_hides_what_was_painted_where_one_cannot_look(world):
    secret = world.text_channel("secret", {world.bob.id: Permission.VIEW_CHANNEL})
    result = await world.alice.slash(secret, "imagine", prompt="a red apple", steps=2)
    job = await world.ended(await world.ledger.by_message(result.response.id))
    refused = await world.bob.slash(world.channel, "show", job=job.id)
    assert refused.ephemeral
    assert "no job" in words(refused)


async def test_history_turns_its_pages(world):
    jobs = [await world.imagine(world.alice, f"a red apple {number}", steps=1) for number in range(6)]
    for job in jobs:
        await world.ended(job)
    result = await world.alice.slash(world.channel, "history")
    assert result.ephemeral
    assert len(result.response.attachments) == 5
    assert "apple 5" in words(result)
    assert "apple 0" not in words(result)
    await world.alice.click(result.response, label="Older")
    page = world.message(result.response.id)
    assert "apple 0" in shown(page)
    assert len(page.attachments) == 1


async def test_an_empty_history_says_what_to_do(world):
    result = await world.bob.slash(world.channel, "history")
    assert "try /imagine" in words(result)
