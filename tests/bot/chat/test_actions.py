"""What buttons, forms and reactions do to a job, and what they refuse."""

from types import SimpleNamespace

import discord
import pytest

from bot.chat.actions import Actions
from bot.chat.delivery import Delivery
from bot.chat.forms import Answers
from bot.chat.people import NEEDED
from bot.chat.reactions import Reactions
from bot.jobs import JobState
from bot.queue.ledger import Ledger
from bot.refusals import Refusal
from bot.settings import ReactionSettings
from engine.prompts import Prompt
from tests.bot.chat.fake_discord import ALL, CHANNEL, GUILD, MESSAGE, Asked, person, refusal
from tests.bot.conftest import row

ALICE, BOB = 1, 2


@pytest.fixture
def actions(world, queue, settings, intake):
    return Actions(world, queue, settings, intake, Delivery(world, queue, settings))


def words(prompt):
    return Answers({"prompt": prompt})


async def test_steering_changes_the_words_and_keeps_the_pictures(actions, queue, rendered, files, spec):
    """What a painting is painted towards besides its words is not in the form."""
    picture = Prompt(kind="image", content=queue.files.save_input(b"a picture", ".png"), weight=0.5)
    job = await rendered(JobState.RUNNING, spec=spec.but(prompts=(*spec.prompts, picture)))
    asked = Asked()
    await actions.steer(asked, job.id, words("a blue fish::2 | a pond"))
    steered = await row(queue.ledger, job.id)
    assert steered.spec.prompts == (Prompt(content="a blue fish", weight=2), Prompt(content="a pond"), picture)
    assert "a blue fish" in steered.prompt
    ((said, how),) = asked.answers
    assert "follows your new words" in (said or "")
    assert how["ephemeral"] is True


@pytest.mark.parametrize("state", [JobState.RENDERED, JobState.FAILED, JobState.CANCELLED])
async def test_what_has_ended_is_neither_steered_nor_stopped_and_says_so(actions, queue, rendered, state):
    job = await rendered(state)
    with pytest.raises(Refusal, match="too late to steer"):
        await actions.steer(Asked(), job.id, words("a blue fish"))
    with pytest.raises(Refusal, match="has ended already"):
        await actions.press(Asked(), "stop", job.id)
    assert await row(queue.ledger, job.id) == job


async def test_only_ones_own_is_stopped_and_steered(actions, rendered):
    job = await rendered(JobState.RUNNING)
    for attempt in (actions.press(Asked(BOB), "stop", job.id), actions.steer(Asked(BOB), job.id, words("a cat"))):
        with pytest.raises(Refusal, match="Only the person who asked"):
            await attempt


async def test_words_that_are_blocked_steer_nothing(actions, queue, rendered):
    job = await rendered(JobState.RUNNING)
    await queue.change_guild(GUILD, blocked_words=frozenset({"weasel"}))
    with pytest.raises(Refusal, match="not allowed here"):
        await actions.steer(Asked(), job.id, words("a weasel"))
    assert (await row(queue.ledger, job.id)).spec == job.spec


async def test_a_job_is_found_however_its_id_is_typed_and_a_hidden_one_looks_like_none(actions, queue, rendered):
    job = await rendered()
    bob = person(BOB)
    assert (await actions.job(bob, f" {job.id.upper()} ")).id == job.id
    stranger = person(BOB, channel_id=99, guild_id=None)
    said = []
    for name in (job.id, "aaaaaaaa"):
        with pytest.raises(Refusal) as refused:
            await actions.job(stranger, name)
        said.append(str(refused.value).replace(name, "…"))
    assert said[0] == said[1]
    assert (await actions.job(person(ALICE, channel_id=99, guild_id=None), job.id)).id == job.id
    await queue.delete(job.id)
    with pytest.raises(Refusal, match="There is no job"):
        await actions.job(bob, job.id)


@pytest.mark.parametrize(
    ("action", "kind"),
    [("rerun", "rerun"), ("same-seed", "rerun"), ("vary", "vary"), ("refine", "refine"), ("timelapse", "timelapse")],
)
async def test_what_is_made_from_a_job_says_so_and_belongs_to_who_asked(actions, queue, rendered, action, kind):
    job = await rendered(notices=("about words",))
    queue.files.save_frame(job.id, 1, b"a frame")
    await queue.preferences.save_user(BOB, (await queue.preferences.user(BOB)).model_copy(update={"notify": True}))
    request = await actions.follow_up(person(BOB), action, job, -7)
    assert (request.kind, request.parent_id, request.interaction_id) == (kind, job.id, -7)
    assert (request.user_id, request.guild_id, request.channel_id) == (BOB, GUILD, CHANNEL)
    assert (request.prompt, request.notify, request.notices) == (job.prompt, True, ())
    assert request.once is (kind != "rerun")
    assert (request.spec.seed == job.spec.seed) is (action not in {"rerun", "vary"})


async def test_a_film_needs_frames(actions, rendered):
    with pytest.raises(Refusal, match="no film of this picture"):
        await actions.follow_up(person(BOB), "timelapse", await rendered(), -7)


@pytest.mark.parametrize(("status", "words"), [(403, "ask a moderator"), (404, None)])
async def test_deleting_takes_every_copy_along(actions, world, queue, rendered, status, words):
    """Also where the message itself is gone already, or is another's to delete."""
    job = await rendered()
    await queue.attach_message(job.id, 66, 888, current=False)
    message = world.get_partial_messageable(CHANNEL).get_partial_message(MESSAGE)
    world.refusals["delete"] = [refusal(status)]
    if words is None:
        await actions.delete(person(ALICE), job, message)
    else:
        with pytest.raises(Refusal, match=words):
            await actions.delete(person(ALICE), job, message)
    assert [arguments["message"] for name, arguments in world.done if name == "delete"] == [888]
    assert queue.files.picture(job) is None


async def test_a_picture_is_sent_in_private_and_known_there(actions, world, queue, rendered):
    job = await rendered()
    await actions.send_privately(person(BOB), job)
    assert world.last("write")["channel"] == BOB
    assert world.files("write") == [f"painting-{job.id}.png"]
    assert await queue.ledger.is_shown_in(job.id, BOB)
    assert (await row(queue.ledger, job.id)).message_id == MESSAGE
    queue.files.delete(job)
    with pytest.raises(Refusal, match="no picture to send"):
        await actions.send_privately(person(BOB), job)


# By reaction


def reacted(emoji, user_id=BOB, guild_id: int | None = GUILD):
    member = None if guild_id is None else SimpleNamespace(id=user_id, bot=False, roles=[])
    return SimpleNamespace(
        emoji=emoji, user_id=user_id, guild_id=guild_id, channel_id=CHANNEL, message_id=MESSAGE, member=member
    )


@pytest.fixture
def react(world, queue, intake, actions, monkeypatch):
    """Take reactions in a channel where the bot may do what is said, everything by default."""
    reactions = Reactions(world, queue, ReactionSettings(), intake, actions)

    async def take(event, bots=ALL, members=ALL):
        me = object()
        channel = SimpleNamespace(permissions_for=lambda who: bots if who is me else members)
        guild = SimpleNamespace(me=me, get_channel_or_thread=lambda channel_id: channel, filesize_limit=10 * 2**20)
        monkeypatch.setattr(world, "get_guild", lambda guild_id: guild)
        await reactions.take(event)

    return take


async def test_a_reaction_makes_a_job_where_the_bot_may_paint(react, world, queue, rendered):
    job = await rendered()
    await react(reacted("🔁"))
    (made,) = await queue.ledger.history(BOB)
    assert (made.kind, made.parent_id) == ("rerun", job.id)
    assert world.last("send")["reference"]["message_id"] == MESSAGE


async def test_the_letter_is_for_who_reacts(react, world, rendered):
    job = await rendered()
    await react(reacted("✉️"))
    assert world.names() == ["write"]
    assert world.last("write")["channel"] == BOB
    assert world.files("write") == [f"painting-{job.id}.png"]


@pytest.mark.parametrize("name", NEEDED)
async def test_a_reaction_makes_nothing_where_the_bot_may_not(react, world, queue, rendered, name):
    """What counts is what the bot may, not who reacts; and they are answered in private."""
    await rendered()
    await react(reacted("🔁"), bots=discord.Permissions(ALL.value & ~discord.Permissions(**{name: True}).value))
    assert await queue.ledger.history(BOB) == []
    assert world.names() == ["write"]
    assert NEEDED[name] in world.last("write")["content"]


async def test_what_the_person_lacks_is_no_matter(react, queue, rendered):
    await rendered()
    await react(reacted("🔁"), members=discord.Permissions(view_channel=True))
    assert len(await queue.ledger.history(BOB)) == 1


async def test_refusals_are_sent_once_a_minute_and_errors_never(react, world, queue, rendered, monkeypatch, caplog):
    await rendered()
    await queue.change_guild(GUILD, blocked_users=frozenset({BOB}))
    for emoji in ("🔁", "🎲"):
        await react(reacted(emoji))
    assert world.names() == ["write"]

    async def broken(ledger, message_id):
        raise ValueError("secret")

    monkeypatch.setattr(Actions, "follow_up", broken)
    await react(reacted("🔁", user_id=3))
    assert world.names() == ["write"]
    assert "A reaction failed" in caplog.text


async def test_bots_and_what_is_not_mapped_do_nothing(react, world, queue, rendered, monkeypatch):
    await rendered()
    own = reacted("🔁", user_id=99)
    other = reacted("🔁")
    other.member.bot = True
    asked = []
    monkeypatch.setattr(Ledger, "by_message", lambda ledger, message_id: asked.append(message_id))
    for event in (own, other, reacted("🦄")):
        await react(event)
    assert asked == []
    assert world.tried == []


@pytest.mark.parametrize(
    ("emoji", "state", "left"), [("❌", JobState.RENDERED, None), ("❌", JobState.QUEUED, JobState.CANCELLED)]
)
async def test_the_cross_deletes_what_has_ended_and_stops_what_has_not(
    react, world, queue, rendered, ask, emoji, state, left
):
    if state is JobState.QUEUED:
        job, _ = await queue.ledger.add(ask())
        await queue.attach_message(job.id, CHANNEL, MESSAGE)
    else:
        job = await rendered(state)
    await react(reacted(emoji, user_id=ALICE))
    now = await row(queue.ledger, job.id)
    assert now.state is (left or state)
    assert (now.deleted_at is not None) is (left is None)
    assert ("delete" in world.names()) is (left is None)
