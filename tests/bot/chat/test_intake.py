"""What is asked before anything is fetched, what a request holds, and which message becomes its job's."""

import pytest

from bot.chat.attachments import Upload
from bot.chat.intake import inherited, is_hidden
from bot.chat.people import Person
from bot.jobs import JobState, Requester
from bot.options import EditOptions, PaintingOptions
from bot.queue.preferences import UserSettings
from bot.refusals import Refusal
from bot.worker.events import FROM_SPOILER_NOTICE, SPOILER_NOTICE
from tests.bot.chat.fake_discord import ANSWER, CHANNEL, GUILD, MESSAGE, Asked, person, refusal
from tests.bot.conftest import make_job, row

ALICE = 1
APPLE = PaintingOptions(prompt="a red apple", steps=6, preset="draft")


async def test_whoever_may_is_admitted_and_nothing_is_queued_by_it(intake, queue):
    await intake.admit(person(ALICE), APPLE)
    assert await queue.ledger.queued() == []


async def test_where_the_bot_may_not_paint_it_says_so_first(intake, queue):
    await queue.change_guild(GUILD, draining=True)
    lacking = Person(Requester(ALICE, GUILD, CHANNEL), person(ALICE).permissions, ("attach files here",))
    with pytest.raises(Refusal, match="I may not attach files here"):
        await intake.admit(lacking, APPLE)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"blocked_words": frozenset({"weasel"})}, "not allowed here"),
        ({"blocked_users": frozenset({ALICE})}, "may not use"),
        ({"channels_denied": frozenset({CHANNEL})}, "this channel"),
        ({"draining": True}, "No new paintings"),
        ({"per_user": 0}, "may not paint here"),
    ],
)
async def test_every_rule_is_asked_before_anything_is_fetched(intake, queue, rules, words):
    await queue.change_guild(GUILD, **rules)
    edit = EditOptions(picture="to be fetched", picture_size=(64, 64), edit_from="a weasel")
    with pytest.raises(Refusal, match=words):
        await intake.admit(person(ALICE), PaintingOptions(prompt="a cat", edit=edit))


@pytest.mark.parametrize("which", ["prompt", "negative", "edit_from", "mask_text", "suffix"])
async def test_a_blocked_word_is_found_wherever_it_stands(intake, queue, which):
    await queue.change_guild(GUILD, blocked_words=frozenset({"weasel"}))
    edit = EditOptions(picture="a.png", picture_size=(64, 64))
    options = {
        "prompt": PaintingOptions(prompt="a weasel"),
        "negative": PaintingOptions(prompt="a cat", negative="a weasel"),
        "edit_from": PaintingOptions(
            prompt="a cat", edit=EditOptions(picture="a.png", picture_size=(64, 64), edit_from="a weasel")
        ),
        "mask_text": PaintingOptions(
            prompt="a cat", edit=EditOptions(picture="a.png", picture_size=(64, 64), mask_text="the weasel")
        ),
        "suffix": PaintingOptions(prompt="a cat", edit=edit),
    }[which]
    if which == "suffix":
        await intake.admit(person(ALICE), options)
        await queue.preferences.save_user(ALICE, UserSettings(suffix="like a weasel"))
    with pytest.raises(Refusal, match="not allowed here"):
        await intake.admit(person(ALICE), options)


async def test_the_rules_of_the_server_of_its_picture_hold(intake, queue, ask):
    await queue.change_guild(8, blocked_words=frozenset({"apple"}))
    with pytest.raises(Refusal, match="not allowed here"):
        await intake.admit(person(ALICE), APPLE, parent=make_job(ask(guild_id=8)))
    await intake.admit(person(ALICE), APPLE, parent=make_job(ask(guild_id=9)))


async def test_ones_own_and_the_servers_defaults_hold_here(intake, queue):
    await queue.change_guild(GUILD, preset="draft", size="64x64")
    await queue.preferences.save_user(ALICE, UserSettings(size="96x64", suffix="on grey"))
    plain = PaintingOptions(prompt="a cat")
    mine, theirs = await intake.spec(person(ALICE), plain), await intake.spec(person(2), plain)
    assert (mine.preset, mine.width, mine.height) == ("draft", 96, 64)
    assert (theirs.preset, theirs.width, theirs.height) == ("draft", 64, 64)
    assert [prompt.content for prompt in mine.prompts] == ["a cat, on grey"]
    assert [prompt.content for prompt in theirs.prompts] == ["a cat"]
    unsuffixed = await intake.spec(person(ALICE), PaintingOptions(prompt="a cat", suffixed=False))
    assert [prompt.content for prompt in unsuffixed.prompts] == ["a cat"]
    in_private = await intake.spec(person(2, guild_id=None), plain)
    assert in_private.preset != "draft"


async def test_flags_in_the_prompt_are_options_and_held_to_the_limits(intake, settings):
    spec = await intake.spec(person(ALICE), PaintingOptions(prompt="a cat --seed 0 --steps 7"))
    assert (spec.seed, spec.steps, [prompt.content for prompt in spec.prompts]) == (0, 7, ["a cat"])
    with pytest.raises(Refusal, match="pixels wide and high"):
        await intake.spec(
            person(ALICE), PaintingOptions(prompt="a cat", size=f"64x{settings.limits.largest_side + 16}")
        )


async def test_a_request_holds_who_asks_where_and_what_for(intake, queue, spec, ask):
    await queue.preferences.save_user(ALICE, UserSettings(notify=True))
    asked = Asked(ALICE)
    request = await intake.request(asked, "imagine", spec, "as it was typed")
    assert (request.interaction_id, request.kind, request.spec, request.prompt) == (
        asked.id,
        "imagine",
        spec,
        "as it was typed",
    )
    assert (request.user_id, request.guild_id, request.channel_id) == (ALICE, GUILD, CHANNEL)
    assert (request.notify, request.notices, request.parent_id, request.once) == (True, (), None, False)
    hidden = await intake.request(Asked(2), "edit", spec, "x", spoiler=True)
    assert (hidden.notify, hidden.notices) == (False, (FROM_SPOILER_NOTICE,))
    parent = make_job(ask(), notices=(SPOILER_NOTICE, "something else"))
    child = await intake.request(Asked(2), "edit", spec, "x", parent=parent)
    assert (child.parent_id, child.notices) == (parent.id, (SPOILER_NOTICE,))


@pytest.mark.parametrize(
    ("kind", "left"),
    [("rerun", (FROM_SPOILER_NOTICE,)), ("remix", (FROM_SPOILER_NOTICE,))]
    + [(kind, (SPOILER_NOTICE, FROM_SPOILER_NOTICE)) for kind in ("vary", "refine", "edit", "timelapse")],
)
def test_what_is_made_of_a_hidden_picture_is_hidden_and_a_rerun_as_far_as_its_start_is(ask, kind, left):
    assert inherited(make_job(ask(), notices=(SPOILER_NOTICE, "other", FROM_SPOILER_NOTICE)), kind) == left


@pytest.mark.parametrize(
    ("notices", "hidden"),
    [((), False), (("other",), False), ((SPOILER_NOTICE,), True), (("a", FROM_SPOILER_NOTICE), True)],
)
def test_a_hidden_picture_is_known(ask, notices, hidden):
    assert is_hidden(make_job(ask(), notices=notices)) is hidden


async def test_uploads_are_kept_in_their_order_and_dropped_where_nothing_came_of_them(intake, queue):
    first, second = Upload(b"first", 1, 1), Upload(b"second", 1, 1)
    async with intake.keeping(ALICE, first, second) as paths:
        assert [(queue.files.folder / path).read_bytes() for path in paths] == [b"first", b"second"]
    assert queue.files.input_paths() == set(paths)
    third = Upload(b"third", 1, 1)
    with pytest.raises(Refusal):
        async with intake.keeping(ALICE, third):
            raise Refusal("No.")
    assert queue.files.input_paths() == set(paths)


async def test_where_the_second_upload_is_refused_the_first_does_not_stay(intake, queue, monkeypatch):
    limits = queue.inputs._limits.model_copy(update={"upload_megabytes_per_user": 1e-5})
    monkeypatch.setattr(queue.inputs, "_limits", limits)
    with pytest.raises(Refusal, match="as much as is kept"):
        async with intake.keeping(ALICE, Upload(b"x" * 9, 1, 1), Upload(b"y" * 9, 1, 1)):
            pass
    assert queue.files.input_paths() == frozenset()


async def test_a_note_is_read_by_who_left_it_and_by_nobody_else(intake, queue):
    name = await intake.save_note(ALICE, {"file": "a.png"})
    assert (await intake.read_note(ALICE, name))["file"] == "a.png"
    (queue.files.folder / "inputs" / "broken.json").write_text("{")
    for who, which in ((2, name), (ALICE, "nothing"), (ALICE, "broken")):
        with pytest.raises(Refusal, match="open it again"):
            await intake.read_note(who, which)


# Which message becomes the job's


async def test_the_answer_is_the_jobs_message(intake, queue, ask, world):
    asked = Asked()
    job = await intake.take(asked, ask(interaction_id=asked.id))
    ((content, arguments),) = asked.answers
    assert content is None
    assert not arguments.get("ephemeral")
    assert arguments["view"] is not None
    assert (await row(queue.ledger, job.id)).message_id == ANSWER
    assert world.tried == []


async def test_the_same_interaction_twice_is_answered_once(intake, queue, ask):
    asked = Asked()
    request = ask(interaction_id=asked.id)
    first, second = await intake.take(asked, request), await intake.take(asked, request)
    assert first.id == second.id
    assert len(asked.answers) == 1


async def test_what_is_on_its_way_already_is_named_in_private(intake, queue, ask, rendered):
    parent = await rendered()
    press = {"kind": "vary", "parent_id": parent.id, "once": True}
    first, second = Asked(), Asked()
    job = await intake.take(first, ask(interaction_id=first.id, **press))
    assert (await intake.take(second, ask(interaction_id=second.id, **press))).id == job.id
    ((content, arguments),) = second.answers
    assert f"already on its way: job `{job.id}`" in (content or "")
    assert arguments["ephemeral"] is True


async def test_after_a_private_thinking_the_channel_gets_the_job_and_the_person_a_link(intake, queue, ask, world):
    asked = Asked()
    asked.deferred = True
    job = await intake.take(asked, ask(interaction_id=asked.id))
    sent = world.last("send")
    assert (sent["channel"], sent["nonce"]) == (CHANNEL, job.id)
    number = (await row(queue.ledger, job.id)).message_id
    assert [edit["content"] for edit in asked.edits] == [f"https://discord.com/channels/5/{CHANNEL}/{number}"]


async def test_an_answer_whose_acknowledgement_was_lost_is_found(intake, queue, ask, world):
    asked = Asked()
    asked.broken["send_message"] = refusal(503)
    job = await intake.take(asked, ask(interaction_id=asked.id))
    assert (await row(queue.ledger, job.id)).message_id == ANSWER
    assert world.tried == []


async def test_where_no_answer_is_taken_the_channel_is_as_good(intake, queue, ask, world):
    asked = Asked()
    asked.broken = {"send_message": refusal(404), "original_response": refusal(404)}
    world.refusals["send"] = [refusal(503)] * 3
    job = await intake.take(asked, ask(interaction_id=asked.id))
    assert world.tried == ["send"] * 4
    assert world.last("send")["nonce"] == job.id
    assert (await row(queue.ledger, job.id)).message_id is not None


async def test_a_reaction_is_answered_by_a_reply_once(intake, queue, ask, world):
    request = ask(interaction_id=-7)
    job = await intake.take_by_reply(request, MESSAGE)
    reply = world.last("send")
    assert (reply["reference"]["message_id"], reply["nonce"], reply["channel"]) == (MESSAGE, job.id, CHANNEL)
    assert (await row(queue.ledger, job.id)).message_id is not None
    await intake.take_by_reply(request, MESSAGE)
    assert world.names() == ["send"]


async def test_a_refused_request_is_neither_queued_nor_answered(intake, queue, ask, world):
    await queue.change_guild(GUILD, per_user=0)
    asked = Asked()
    for attempt in (intake.take(asked, ask(interaction_id=asked.id)), intake.take_by_reply(ask(interaction_id=-7), 1)):
        with pytest.raises(Refusal, match="may not paint here"):
            await attempt
    assert asked.answers == []
    assert world.tried == []
    assert await queue.ledger.in_state(*JobState) == []


async def test_a_group_is_said_to_be_on_its_way_and_gets_a_message_for_each(intake, queue, ask, world):
    asked = Asked()
    jobs = await intake.take_group(asked, [ask(), ask(), ask()])
    assert len(jobs) == 3
    (said,) = asked.edits
    assert "3 paintings are on their way" in str(said["view"].to_components())
    assert world.names() == ["send"] * 3
    assert [arguments["nonce"] for _, arguments in world.done] == [job.id for job in jobs]
    numbers = {(await row(queue.ledger, job.id)).message_id for job in jobs}
    assert len(numbers) == 3
    assert None not in numbers


async def test_a_group_that_is_too_large_is_refused_as_a_whole(intake, queue, ask, world):
    await queue.change_guild(GUILD, per_user=2)
    with pytest.raises(Refusal, match="3"):
        await intake.take_group(Asked(), [ask(), ask(), ask()])
    assert await queue.ledger.queued() == []
    assert world.tried == []
