"""How a job's end is posted: by which way, how often, and what becomes of it when Discord refuses."""

import io
from types import SimpleNamespace

import pytest
from PIL import Image

from bot.chat import delivery
from bot.chat.delivery import Delivery
from bot.jobs import JobState
from engine.pictures import encode_png
from tests.bot.chat.fake_discord import MESSAGE, refusal
from tests.bot.conftest import row


@pytest.fixture
def pauses(monkeypatch):
    """Go through outages at once; list how long each would have been waited out."""
    found = []

    async def noted(seconds):
        found.append(seconds)

    monkeypatch.setattr(delivery, "asyncio", SimpleNamespace(sleep=noted, to_thread=delivery.asyncio.to_thread))
    return found


@pytest.fixture
def deliver(queue, world, settings):
    """Deliver a job whose picture is done; return it as it is then."""

    async def run(job, **options):
        await Delivery(world, queue, options.pop("settings", settings)).deliver(job, **options)
        return await row(queue.ledger, job.id)

    return run


async def test_the_end_is_shown_in_the_jobs_own_message_and_noted(world, rendered, deliver):
    job = await rendered()
    shown_as = await deliver(job)
    assert (shown_as.state, shown_as.message_id) == (JobState.DELIVERED, MESSAGE)
    assert world.names() == ["edit", "react", "react", "react"]
    assert world.last("edit")["message"] == MESSAGE
    assert world.files("edit") == [f"painting-{job.id}.png"]
    assert world.last("edit")["attachments"][0].description == "a red apple"
    assert [arguments["emoji"] for name, arguments in world.done if name == "react"] == ["🔁", "🎲", "❌"]


async def test_several_pictures_are_named_by_their_number(world, rendered, deliver, queue, spec):
    job = await rendered(spec=spec.but(count=3))
    pictures = [encode_png(Image.new("RGB", (32, 32), colour), job.spec) for colour in ("red", "green", "blue")]
    queue.files.save_result(job, pictures, [b""] * 3)
    await deliver(job)
    assert world.files("edit") == [f"painting-{job.id}{number}.png" for number in ("", ".2", ".3")]
    colours = []
    for file in world.last("edit")["attachments"]:
        file.fp.seek(0)
        with Image.open(io.BytesIO(file.fp.read())) as picture:
            colours.append(picture.convert("RGB").getpixel((0, 0)))
    assert colours == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]


@pytest.mark.parametrize("status", [503, 429, 500])
async def test_what_may_pass_is_tried_again_and_nothing_else_is_done(world, rendered, deliver, status):
    world.refusals["edit"] = [refusal(status)] * 3
    job = await deliver(await rendered())
    assert world.names()[0] == "edit"
    assert world.tried[:4] == ["edit"] * 4
    assert "send" not in world.tried
    assert job.state is JobState.DELIVERED


@pytest.mark.parametrize("status", [403, 404, 400])
async def test_a_message_that_cannot_be_edited_is_answered(world, rendered, deliver, status):
    world.refusals["edit"] = [refusal(status)]
    job = await rendered()
    shown_as = await deliver(job)
    assert world.tried[:2] == ["edit", "send"]
    reply = world.last("send")
    assert (reply["channel"], reply["reference"]["message_id"]) == (job.channel_id, MESSAGE)
    assert reply["reference"]["fail_if_not_exists"] is False
    assert world.files("send") == [f"painting-{job.id}.png"]
    assert shown_as.message_id != MESSAGE


async def test_where_the_channel_is_closed_the_requester_is_written_to(world, rendered, deliver):
    world.refusals |= {"edit": [refusal(404)], "send": [refusal(403)]}
    job = await rendered(user_id=42)
    shown_as = await deliver(job)
    written = world.last("write")
    assert (written["channel"], written["nonce"]) == (42, f"{job.id}-end")
    assert world.files("write") == [f"painting-{job.id}.png"]
    assert (shown_as.state, shown_as.channel_id) == (JobState.DELIVERED, 42)


async def test_who_takes_no_messages_either_finds_it_by_show(world, rendered, deliver, pauses):
    world.refusals |= {"edit": [refusal(404)], "send": [refusal(403)], "write": [refusal(403)]}
    job = await rendered()
    shown_as = await deliver(job)
    assert (shown_as.state, shown_as.message_id) == (JobState.DELIVERED, MESSAGE)
    assert world.done == []
    assert pauses == []


@pytest.mark.parametrize("closed", ["edit", "send", "write"])
async def test_a_picture_outlasts_an_outage_whichever_way_is_closed_for_good(world, rendered, deliver, pauses, closed):
    """503, 503, and then direct messages that are not taken: two of the three ways may be open again in a minute."""
    for way in ("edit", "send", "write"):
        world.refusals[way] = [refusal(403)] * 2 if way == closed else [refusal(503)] * 8
    job = await rendered()
    shown_as = await deliver(job)
    assert shown_as.state is JobState.DELIVERED
    way = "send" if closed == "edit" else "edit"
    assert world.files(way) == [f"painting-{job.id}.png"]
    assert pauses == [60.0]


async def test_a_refused_token_is_reported_and_costs_no_picture(world, rendered, deliver, pauses):
    for way in ("edit", "send", "write"):
        world.refusals[way] = [refusal(401)]
    assert (await deliver(await rendered())).state is JobState.DELIVERED
    assert world.dispatched == ["token_refused"] * 3
    assert len(pauses) == 1


async def test_a_file_is_halved_while_discord_finds_it_too_large(world, rendered, deliver, monkeypatch):
    limits = []

    def fitted(path, limit, side):
        limits.append(limit)
        return ".png", b"x" * min(limit, 1000)

    monkeypatch.setattr(delivery, "fit", fitted)
    world.refusals["edit"] = [refusal(413), refusal(400, 40005)]
    await deliver(await rendered())
    assert limits[1:] == [500, 250]
    assert world.last("edit")["attachments"][0].fp.getbuffer().nbytes == 250


async def test_an_old_message_is_not_edited_but_answered(world, rendered, deliver, settings):
    job = await rendered()
    for age, way in ((0.0, "send"), (1e6, "edit")):
        discord = settings.discord.model_copy(update={"edit_age_seconds": age})
        await deliver(job, settings=settings.model_copy(update={"discord": discord}))
        assert world.names()[-4] == way


async def test_a_message_that_was_given_up_is_answered(world, rendered, deliver):
    await deliver(await rendered(), lost=True)
    assert world.names()[0] == "send"


async def test_what_was_deleted_meanwhile_is_not_posted(world, rendered, deliver, queue):
    job = await rendered()
    await queue.delete(job.id)
    await deliver(job)
    assert world.tried == []


async def test_what_is_deleted_while_it_is_posted_is_taken_back(world, rendered, deliver, queue, monkeypatch):
    job = await rendered()
    take = world.take

    async def deleting(name, **arguments):
        await take(name, **arguments)
        if name == "edit":
            await queue.delete(job.id)

    monkeypatch.setattr(world, "take", deleting)
    await deliver(job)
    assert world.names() == ["edit", "delete"]


@pytest.mark.parametrize("notify", [True, False])
async def test_only_who_asked_for_it_is_mentioned_and_nobody_else(world, rendered, deliver, notify):
    job = await rendered(notify=notify, user_id=42)
    await deliver(job)
    assert ("send" in world.names()) is notify
    if notify:
        ping = world.last("send")
        assert ping["content"].startswith("<@42> ")
        assert [one.id for one in ping["allowed_mentions"].users] == [42]
        assert ping["nonce"] == f"{job.id}-ping"


async def test_reactions_that_are_refused_lose_nothing(world, rendered, deliver):
    world.refusals["react"] = [refusal(403)]
    assert (await deliver(await rendered())).state is JobState.DELIVERED


async def test_a_failure_is_shown_once_in_words(world, rendered, deliver):
    job = await rendered(JobState.FAILED)
    shown_as = await deliver(job)
    assert shown_as.delivered_at is not None
    assert world.names() == ["edit"]
    assert world.files("edit") == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState.RUNNING, "mixing the paint"),
        (JobState.CANCELLED, "Cancelled"),
        (JobState.FAILED, "Something went wrong; try again."),
        (JobState.RENDERED, "Painted in 2 s"),
    ],
)
async def test_what_a_message_shows_now(queue, world, settings, rendered, state, words):
    body, uploads = await Delivery(world, queue, settings).current_content(await rendered(state))
    assert words in body.status
    assert len(uploads) == (state is JobState.RENDERED)


async def test_what_waits_and_what_is_gone_says_so(queue, world, settings, rendered, ask):
    shows = Delivery(world, queue, settings).current_content
    waiting, _ = await queue.ledger.add(ask())
    assert "Waiting" in (await shows(waiting))[0].status
    done = await rendered()
    queue.files.delete(done)
    body, uploads = await shows(done)
    assert "cleared away" in body.status
    assert uploads == []
