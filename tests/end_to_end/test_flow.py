"""The bot from outside: fairness, direct messages, restarts, and Discord getting in the way."""

import asyncio
import logging

from bot.available_models import PUBLISHED
from bot.jobs import JobState
from engine.catalog import find
from local_discord.permissions import Overwrite, Permission
from tests.end_to_end.loopback import answer
from tests.simulated import ENDLESS, shown, words


async def test_two_people_take_turns(world):
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    jobs = [await world.imagine(world.alice, f"a red apple {number}", steps=1) for number in range(4)]
    jobs += [await world.imagine(world.bob, f"a grey apple {number}", steps=1) for number in range(3)]
    await world.bot.queue.change_guild(world.guild_id, paused=False)
    ended = [await world.ended(job) for job in jobs]
    order = sorted(ended, key=lambda job: job.started_at or 0)
    painted_for = ["alice" if job.user_id == world.alice.id else "bob" for job in order]
    assert painted_for == ["alice", "bob"] * 3 + ["alice"]
    assert {job.state for job in ended} == {JobState.DELIVERED}


async def test_networks_that_are_fetched_meanwhile_paint_from_then_on(world):
    """`models fetch published` beside a running bot: nothing has to be restarted."""
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    folder = world.settings.models.folder
    folder.mkdir(exist_ok=True)

    async def asked() -> tuple[str, str]:
        spec = (await world.imagine(world.alice)).spec
        return spec.generator, spec.perceptors[0].name

    assert await asked() == ("embedded", "embedded")
    for name in PUBLISHED:
        assert await asked() == ("embedded", "embedded"), "half of them is not enough"
        for file in find(name).files:
            (folder / file.name).touch()
    assert await asked() == ("imagenet-16384", "ViT-B/32")


async def test_it_works_in_direct_messages(world):
    channel = world.direct(world.alice)
    result = await world.alice.slash(channel, "imagine", prompt="a red apple", steps=4)
    assert not result.ephemeral, words(result)
    job = await world.ended(await world.ledger.by_message(result.response.id))
    assert (job.state, job.guild_id) == (JobState.DELIVERED, None)
    message = world.message(job.message_id)
    assert message.files == [f"painting-{job.id}.png"]
    again = await world.alice.click(message, label="Rerun")
    assert (await world.ended(await world.ledger.by_message(again.response.id))).parent_id == job.id
    await world.alice.react(message, "🎲")
    varied = (await world.children(job, "vary"))[0]
    assert (await world.ended(varied)).state is JobState.DELIVERED


async def test_a_restart_goes_on_in_the_same_message_and_old_buttons_work(world):
    old = await world.ended(await world.imagine(world.alice, steps=2))
    running = await world.imagine(world.alice, steps=ENDLESS)
    waiting = await world.imagine(world.bob, steps=2)
    await world.until(lambda: "it" in shown(world.message(running.message_id)))
    await world.stop()
    assert "Back soon" in shown(world.message(running.message_id))
    await world.start()
    checkpointed = (await world.job(running.id)).step
    assert checkpointed > 0

    await world.until(lambda: "Back soon" not in shown(world.message(running.message_id)))
    assert (await world.job(running.id)).message_id == running.message_id
    await world.alice.click(world.message(running.message_id), label="Stop")
    ended = await world.ended(running)
    assert ended.state is JobState.DELIVERED
    assert ended.step >= checkpointed
    assert (await world.ended(waiting)).state is JobState.DELIVERED

    again = await world.bob.click(world.message(old.message_id), label="Rerun")
    assert (await world.ended(await world.ledger.by_message(again.response.id))).parent_id == old.id
    await world.bob.react(world.message(old.message_id), "🔂")
    same = [job for job in await world.children(old, "rerun") if job.spec.seed == old.spec.seed]
    assert (await world.ended(same[0])).state is JobState.DELIVERED
    assert len([m for m in world.messages() if m.attachments]) == 5


async def test_a_picture_that_was_rendered_but_not_posted_is_posted_after_a_restart(world):
    world.discord.fault("edit", answer(500), times=999)
    job = await world.imagine(world.alice, steps=2)

    async def rendered() -> bool:
        return (await world.job(job.id)).state is JobState.RENDERED

    await world.until(rendered)
    world.discord.faults.clear()
    await world.restart()
    ended = await world.ended(job)
    assert ended.state is JobState.DELIVERED
    assert world.message(job.message_id).attachments[0].filename == f"painting-{job.id}.png"
    assert len(world.messages()) == 1


async def test_a_picture_that_was_posted_but_not_marked_is_not_posted_again(world):
    job = await world.ended(await world.imagine(world.alice, steps=2))
    await world.ledger.database.write("UPDATE jobs SET state = 'rendered', delivered_at = NULL WHERE id = ?", (job.id,))
    edits = len(world.edits(job.message_id))
    await world.restart()
    assert (await world.ended(job)).state is JobState.DELIVERED
    assert len(world.edits(job.message_id)) == edits
    assert len(world.messages()) == 1


async def test_commands_are_sent_only_when_they_changed(world):
    assert world.discord.world.syncs == 1
    await world.restart()
    assert world.discord.world.syncs == 1


async def test_a_deleted_message_is_not_edited_again_and_the_picture_comes_anew(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    world.discord.world.delete(world.message(job.message_id))
    tried = len(world.edits(job.message_id))
    await asyncio.sleep(1.5)
    assert len(world.edits(job.message_id)) <= tried + 1
    await world.bot.queue.stop(job.id)
    ended = await world.ended(job)
    assert ended.message_id != job.message_id
    assert world.message(ended.message_id).attachments[0].filename == f"painting-{job.id}.png"


async def test_show_gives_a_job_without_a_message_a_new_one(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    world.discord.world.delete(world.message(job.message_id))
    await asyncio.sleep(1.0)
    result = await world.alice.slash(world.channel, "show", job=job.id)
    await world.alice.click(world.message(result.response.id), label="Stop")
    ended = await world.ended(job)
    assert ended.message_id == result.response.id
    assert [message.id for message in world.messages()] == [result.response.id]
    assert world.message(ended.message_id).attachments[0].filename == f"painting-{job.id}.png"


async def test_an_edit_that_discord_finds_too_late_becomes_a_reply(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    world.discord.fault("edit", answer(400, 30046, "Too many edits"), times=999)
    await world.bot.queue.stop(job.id)
    ended = await world.ended(job)
    message = world.message(ended.message_id)
    assert message.id != job.message_id
    assert message.reference is not None
    assert message.reference["message_id"] == str(job.message_id)


async def test_a_message_that_is_too_old_is_left_alone(world, monkeypatch):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    aged = world.settings.discord.model_copy(update={"edit_age_seconds": 0.1})
    monkeypatch.setattr(world.bot.actions._delivery, "_settings", world.settings.model_copy(update={"discord": aged}))
    await world.bot.queue.stop(job.id)
    ended = await world.ended(job)
    message = world.message(ended.message_id)
    assert message.id != job.message_id
    assert message.reference is not None
    assert message.attachments[0].filename == f"painting-{job.id}.png"


async def test_where_nothing_can_be_posted_any_more_the_requester_gets_it(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    world.channel.overwrites[world.bot.user.id] = Overwrite(
        world.bot.user.id, member=True, deny=Permission.VIEW_CHANNEL
    )
    await world.bot.queue.stop(job.id)
    ended = await world.ended(job)
    assert ended.state is JobState.DELIVERED
    assert [len(message.files) for message in world.messages(world.direct(world.alice))] == [1]


async def test_a_busy_discord_costs_previews_and_not_the_picture(world, caplog):
    caplog.set_level(logging.INFO)
    world.discord.fault("edit", answer(503), times=2)
    job = await world.ended(await world.imagine(world.alice, steps=60))
    assert job.state is JobState.DELIVERED
    assert world.bot.progress.dropped >= 1
    assert world.message(job.message_id).attachments[0].filename == f"painting-{job.id}.png"


async def test_an_interaction_that_cannot_be_answered_is_answered_in_the_channel(world):
    world.discord.fault("answer", answer(404, 10062, "Unknown interaction"))
    await world.discord.slash(world.alice.user, world.channel, "imagine", prompt="a red apple", steps=2)
    await world.until(world.messages)
    job = (await world.ledger.history(world.alice.id))[0]
    ended = await world.ended(job)
    assert ended.state is JobState.DELIVERED
    assert [message.id for message in world.messages()] == [ended.message_id]
