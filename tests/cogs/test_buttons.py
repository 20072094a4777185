import io

import pytest
from PIL import Image, ImageChops

from bot.jobs import JobState
from local_discord.components import walk
from local_discord.objects import Message
from local_discord.permissions import Permission
from tests.simulated import ENDLESS, shown, words


@pytest.fixture
async def done(world):
    return await world.ended(await world.imagine(world.alice))


async def press(world, who, job, label):
    return await who.click(world.message(job.message_id), label=label)


async def follow_up(world, who, job, label):
    result = await press(world, who, job, label)
    assert not result.ephemeral, words(result)
    return await world.ended(await world.ledger.by_message(result.response.id))


async def test_rerun_takes_another_seed_and_belongs_to_who_pressed(world, done):
    job = await follow_up(world, world.bob, done, "Rerun")
    assert (job.state, job.kind, job.parent_id) == (JobState.DELIVERED, "rerun", done.id)
    assert (job.user_id, job.spec.prompts) == (world.bob.id, done.spec.prompts)
    assert job.spec.seed != done.spec.seed


async def test_vary_goes_on_from_the_latent(world, done):
    job = await follow_up(world, world.bob, done, "Vary")
    assert (job.state, job.kind) == (JobState.DELIVERED, "vary")
    assert job.spec.init_latent == world.bot.queue.files.latent_of(done)


async def test_refine_paints_twice_as_large(world, done):
    job = await follow_up(world, world.bob, done, "Refine")
    assert (job.state, job.kind) == (JobState.DELIVERED, "refine")
    assert (job.spec.width, job.spec.height) == (2 * done.spec.width, 2 * done.spec.height)


async def test_timelapse_is_a_film_under_the_upload_limit(world, done):
    job = await follow_up(world, world.bob, done, "Timelapse")
    assert job.state is JobState.DELIVERED
    film = world.message(job.message_id).attachments[0]
    assert film.filename == f"painting-{job.id}.mp4"
    assert 0 < film.size < world.guild_limit()


async def test_a_second_film_while_the_first_is_made_is_the_same_job(world, done):
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    await press(world, world.bob, done, "Vary")
    again = await press(world, world.bob, done, "Vary")
    assert again.ephemeral
    assert "already on its way" in words(again)
    assert len(await world.children(done, "vary")) == 1


async def test_stop_keeps_the_picture_so_far(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: any("step" in a.filename for a in world.message(job.message_id).attachments))
    await press(world, world.alice, job, "Stop")
    ended = await world.ended(job)
    assert ended.state is JobState.DELIVERED
    assert 0 < ended.step < ENDLESS
    message = world.message(job.message_id)
    assert "Stopped at step" in shown(message)
    assert message.attachments[0].filename == f"painting-{job.id}.png"


async def test_stop_calls_a_waiting_job_off(world):
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    job = await world.imagine(world.alice)
    await press(world, world.alice, job, "Stop")
    assert (await world.ended(job)).state is JobState.CANCELLED
    assert "Cancelled" in shown(world.message(job.message_id))


async def test_steer_changes_the_words_of_the_running_painting(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: "Steer" in labels(world.message(job.message_id)))
    form = await press(world, world.alice, job, "Steer")
    assert (await world.alice.submit(form, prompt="a grey lighthouse")).ephemeral
    await world.until(lambda: "a grey lighthouse" in shown(world.message(job.message_id)))
    await world.until(lambda: world.message(job.message_id).attachments)
    await press(world, world.alice, job, "Stop")
    ended = await world.ended(job)
    assert [prompt.content for prompt in ended.spec.prompts] == ["a grey lighthouse"]


async def test_steering_refuses_blocked_words_and_bad_prompts(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.bot.queue.change_guild(world.guild_id, blocked_words=frozenset({"weasel"}))
    await world.until(lambda: "Steer" in labels(world.message(job.message_id)))
    for text, reason in (("a weasel", "not allowed"), ("::0", "")):
        form = await press(world, world.alice, job, "Steer")
        result = await world.alice.submit(form, prompt=text)
        assert result.ephemeral
        assert reason in words(result)
    assert (await world.job(job.id)).prompt == "a red apple"
    await press(world, world.alice, job, "Stop")
    await world.ended(job)


async def test_delete_takes_message_and_picture_away(world, done):
    await press(world, world.alice, done, "Delete")
    await world.until(lambda: not world.messages())
    assert world.bot.queue.files.picture(done) is None
    result = await world.alice.slash(world.channel, "show", job=done.id)
    assert "There is no job" in words(result)


async def test_delete_of_somebody_elses_picture_is_refused(world, done):
    result = await press(world, world.bob, done, "Delete")
    assert result.ephemeral
    assert "Only the person" in words(result)
    assert len(world.messages()) == 1


async def test_stop_and_steer_are_for_the_requester_and_moderators(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    for label in ("Stop", "Steer"):
        result = await press(world, world.bob, job, label)
        assert result.ephemeral
        assert "Only the person" in words(result)
    moderators = world.role("moderators", Permission.MANAGE_MESSAGES)
    carol = world.person("carol", moderators)
    await press(world, carol, job, "Stop")
    assert (await world.ended(job)).state is JobState.DELIVERED


async def test_a_button_of_a_forgotten_job_says_so(world, done):
    await world.ledger.database.write("DELETE FROM jobs WHERE id = ?", (done.id,))
    result = await press(world, world.bob, done, "Rerun")
    assert result.ephemeral
    assert "no job" in words(result)


async def test_a_picture_that_was_cleared_away_cannot_be_refined(world, done):
    world.bot.queue.files.delete(done)
    for label in ("Vary", "Refine", "Timelapse"):
        result = await press(world, world.bob, done, label)
        assert result.ephemeral, label


@pytest.mark.parametrize(
    ("label", "kind", "size"),
    [("Zoom out × 1.5", "zoom", (48, 48)), ("Left", "pan", (48, 32)), ("Down", "pan", (32, 48))],
)
async def test_zooming_out_and_panning_paint_around_the_picture(world, done, label, kind, size):
    job = await follow_up(world, world.bob, done, label)
    assert (job.state, job.kind, job.parent_id) == (JobState.DELIVERED, kind, done.id)
    assert (job.spec.width, job.spec.height) == size
    before = Image.open(world.bot.queue.files.result_path(done)).convert("RGB")
    after = Image.open(world.bot.queue.files.result_path(job)).convert("RGB")
    left, top = {"Left": (16, 0), "Down": (0, 0)}.get(label, (8, 8))
    moved = after.crop((left + 8, top + 8, left + 24, top + 24))
    assert ImageChops.difference(moved, before.crop((8, 8, 24, 24))).getextrema() == ((0, 0),) * 3, "the old part stays"
    assert done.id in shown(world.message(job.message_id))


async def test_a_picture_that_tiles_is_shown_side_by_side_in_private(world, done):
    assert "2 × 2" not in labels(world.message(done.message_id))
    job = await world.ended(await world.imagine(world.alice, "a red apple --tile --steps 2"))
    assert job.spec.tile
    result = await press(world, world.bob, job, "2 × 2")
    assert result.ephemeral
    shown_file = result.response.attachments[0]
    with Image.open(io.BytesIO(shown_file.content)) as image:
        assert image.size == (2 * job.spec.width, 2 * job.spec.height)


def labels(message: Message) -> list[str]:
    return [part["label"] for part in walk(message.components) if "label" in part]
