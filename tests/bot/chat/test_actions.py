"""What buttons, forms and reactions do to a job, and what they refuse."""

from types import SimpleNamespace

import discord
import pytest
from PIL import Image

from bot.chat.actions import _SHOWN_PER_MINUTE, Actions, _numbered
from bot.chat.delivery import Delivery
from bot.chat.forms import Answers
from bot.chat.people import NEEDED
from bot.chat.reactions import Reactions
from bot.jobs import JobState
from bot.queue.ledger import Ledger
from bot.refusals import Refusal
from bot.settings import ReactionSettings
from bot.worker.events import SPOILER_NOTICE
from engine.pictures import encode_png
from engine.prompts import Prompt
from tests.bot.chat.fake_discord import ALL, ANSWER, CHANNEL, GUILD, MESSAGE, Asked, person, refusal
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


class Pressed(Asked):
    """An interaction of a button: it may be answered with a form, or deferred."""

    def __init__(self, user_id=ALICE, message=None, **options):
        super().__init__(user_id, **options)
        self.forms, self.message = [], message

    async def send_modal(self, form):
        self.forms.append(form.custom_id)

    async def defer(self, **how):
        self.deferred = True


@pytest.mark.parametrize("action", ["rerun", "vary", "refine", "remix", "edit"])
async def test_nothing_is_made_where_the_bot_may_not_paint(actions, rendered, action):
    job = await rendered()
    asked = Pressed(permissions=discord.Permissions(ALL.value & ~discord.Permissions(attach_files=True).value))
    with pytest.raises(Refusal, match="attach files here"):
        await actions.press(asked, action, job.id)
    assert asked.forms == asked.answers == []


@pytest.mark.parametrize(
    ("action", "state", "form"),
    [
        ("steer", JobState.RUNNING, "form:steer:{}"),
        ("remix", JobState.RENDERED, "form:remix:{}"),
        ("remix", JobState.FAILED, "form:remix:{}"),
        ("edit", JobState.RENDERED, "form:edit:{}"),
    ],
)
async def test_a_button_opens_its_form(actions, rendered, action, state, form):
    job, asked = await rendered(state), Pressed()
    await actions.press(asked, action, job.id)
    assert asked.forms == [form.format(job.id)]


async def test_a_form_that_would_lead_to_nothing_is_not_opened(actions, queue, rendered):
    ended, running = await rendered(), await rendered(JobState.RUNNING)
    await queue.attach_message(running.id, CHANNEL, 900)
    for action, job, user, why in (
        ("steer", ended, ALICE, "Only a painting that is under way can be steered"),
        ("steer", running, BOB, "Only the person who asked"),
        ("edit", running, ALICE, ""),
        ("juggle", ended, ALICE, "another version"),
    ):
        asked = Pressed(user)
        with pytest.raises(Exception, match=why):
            await actions.press(asked, action, job.id)
        assert asked.forms == []


async def test_stopping_is_answered_and_ends_the_job(actions, queue, rendered):
    job, asked = await rendered(JobState.RUNNING), Pressed()
    await actions.press(asked, "stop", job.id)
    assert asked.deferred
    assert (await row(queue.ledger, job.id)).state is JobState.CANCELLED


async def test_deleting_is_answered_before_it_is_done(actions, world, queue, rendered):
    message = world.get_partial_messageable(CHANNEL).get_partial_message(MESSAGE)
    job = await rendered()
    with pytest.raises(Refusal, match="Only the person who asked"):
        await actions.press(Pressed(BOB, message), "delete", job.id)
    assert queue.files.picture(job) is not None
    asked = Pressed(ALICE, message)
    await actions.press(asked, "delete", job.id)
    assert asked.deferred
    assert [arguments["message"] for name, arguments in world.done if name == "delete"] == [MESSAGE]
    assert queue.files.picture(job) is None


async def test_one_of_several_pictures_is_named(actions, queue, ask, rendered, spec):
    several = spec.but(count=3, seed=10)
    job, _ = await queue.ledger.add(ask(spec=several))
    await queue.ledger.claim(job.id)
    pictures = [encode_png(Image.new("RGB", (32, 32), colour), several) for colour in ("red", "green", "blue")]
    queue.files.save_result(job, pictures, [b"", b"", b""])
    await queue.ledger.transition(job.id, JobState.RENDERED, step=6)
    job = await row(queue.ledger, job.id)
    for action, index, kind in (("v1", 0, "vary"), ("v3", 2, "vary"), ("u2", 1, "refine")):
        request = await actions.follow_up(person(ALICE), action, job, -7)
        assert (request.kind, request.spec.count) == (kind, 1)
        named = queue.files.latent_of(job, index) if kind == "vary" else queue.files.picture_of(job, index)
        assert named in (request.spec.init_latent, request.spec.init_image)
    for action, why in (
        ("vary", "press V1 to V4"),
        ("refine", "U1 to U4"),
        ("v4", "another version"),
        ("u9", "another"),
    ):
        with pytest.raises(Refusal, match=why):
            await actions.follow_up(person(ALICE), action, job, -7)


@pytest.mark.parametrize(
    ("action", "kind", "grown"),
    [
        ("zoom-out", "zoom", (1.5, 1.5)),
        ("zoom-out-far", "zoom", (2, 2)),
        ("pan-left", "pan", (1.5, 1)),
        ("pan-down", "pan", (1, 1.5)),
    ],
)
async def test_zooming_out_and_panning_extend_the_canvas(actions, queue, rendered, action, kind, grown):
    job = await rendered()
    request = await actions.follow_up(person(ALICE), action, job, -7)
    assert (request.kind, request.once, request.spec.init_image) == (kind, False, queue.files.picture_of(job))
    extend = request.spec.extend
    assert extend is not None
    assert (1 + extend.left + extend.right, 1 + extend.up + extend.down) == pytest.approx(grown)


async def test_a_remix_paints_what_the_form_says(actions, queue, rendered):
    job = await rendered()
    asked = Pressed(BOB)
    answers = Answers({"prompt": "a grey lighthouse", "size": "64x32", "preset": job.spec.preset, "seed": " 41 "})
    await actions.remix(asked, job.id, answers)
    (made,) = [one for one in await queue.ledger.queued() if one.parent_id == job.id]
    assert (made.kind, made.user_id, made.prompt) == ("remix", BOB, "a grey lighthouse")
    assert (made.spec.width, made.spec.height, made.spec.seed) == (64, 32, 41)
    await actions.remix(Pressed(BOB), job.id, Answers({**answers.texts, "seed": "  "}))
    assert (await queue.ledger.queued())[-1].spec.seed != job.spec.seed
    with pytest.raises(Refusal, match="seed"):
        await actions.remix(Pressed(BOB), job.id, Answers({**answers.texts, "seed": "seven"}))
    await queue.change_guild(GUILD, blocked_words=frozenset({"weasel"}))
    with pytest.raises(Refusal, match="not allowed here"):
        await actions.remix(Pressed(BOB), job.id, Answers({**answers.texts, "prompt": "a weasel"}))


async def test_a_tiled_picture_is_shown_in_private_and_hidden_where_the_picture_is(actions, queue, rendered):
    plain, hidden = await rendered(), await rendered(notices=(SPOILER_NOTICE,))
    await queue.attach_message(hidden.id, CHANNEL, 900)
    for job, spoiler in ((plain, False), (hidden, True)):
        asked = Pressed(BOB)
        await actions.press(asked, "tiled", job.id)
        ((_, how),) = asked.answers
        assert how["ephemeral"] is True
        assert how["file"].spoiler is spoiler
        with Image.open(how["file"].fp) as shown:
            assert shown.size == (64, 64)


async def test_a_job_is_shown_again_a_few_times_a_minute_and_by_the_rules(actions, queue, rendered):
    job, running = await rendered(), await rendered(JobState.RUNNING)
    await queue.attach_message(running.id, CHANNEL, 900)
    with pytest.raises(Refusal, match=r"still being painted: https://discord\.com/channels/5/6/900"):
        await actions.show(Asked(BOB), running.id)
    own = Asked(ALICE)
    await actions.show(own, running.id)
    assert (await row(queue.ledger, running.id)).message_id == ANSWER, "it goes on there"
    await actions.show(Asked(ALICE), job.id)
    assert (await row(queue.ledger, job.id)).message_id == MESSAGE, "what has ended is not moved"
    asked = Asked(BOB)
    for _ in range(_SHOWN_PER_MINUTE):
        await actions.show(asked, job.id)
    assert len(asked.answers) == _SHOWN_PER_MINUTE
    assert (await row(queue.ledger, job.id)).message_id == MESSAGE, "a copy is only a copy"
    with pytest.raises(Refusal, match="in a minute"):
        await actions.show(asked, job.id)
    await actions.show(Asked(3), job.id)
    await queue.change_guild(GUILD, blocked_words=frozenset({"apple"}))
    with pytest.raises(Refusal, match="not allowed here"):
        await actions.show(Asked(4), job.id)
    with pytest.raises(Refusal, match="attach files"):
        await actions.show(
            Asked(5, discord.Permissions(ALL.value & ~discord.Permissions(attach_files=True).value)), job.id
        )


async def test_a_picture_that_is_not_there_is_not_sent(actions, world, rendered):
    with pytest.raises(Refusal, match="no picture to send yet"):
        await actions.send_privately(person(BOB), await rendered(JobState.RUNNING))
    world.refusals["write"] = [refusal(403)]
    await actions.send_privately(person(BOB), await rendered())
    assert world.tried.count("write") == 1
    assert "write" not in world.names()


@pytest.mark.parametrize(
    ("action", "read"),
    [
        ("v1", ("vary", 0)),
        ("u4", ("refine", 3)),
        ("vary", ("vary", None)),
        ("rerun", ("rerun", None)),
        ("x1", ("x1", None)),
    ],
)
def test_a_number_names_a_picture(action, read):
    assert _numbered(action) == read
