"""Prompts with choices: a question first, then one group under the person's limits."""

import pytest

from bot.chat import content
from bot.chat.components import GroupButton
from bot.jobs import JobState
from bot.refusals import Refusal
from tests.bot.chat.fake_discord import ALL
from tests.cogs.direct import GUILD, Use, attached, text_of, use
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
    await world.until(lambda: sum(bool(world.message(job.message_id).attachments) for job in jobs) == world.painters)
    await world.restart()
    jobs = [await world.job(job.id) for job in jobs]
    running = {job.id for job in jobs if job.state is JobState.RUNNING}
    assert len(running) == world.painters
    await world.alice.click(result.response, label="Stop all")
    assert "Stopped 3 of 3" in words(result)
    ended = {job.id: (await world.ended(job)).state for job in jobs}
    assert ended == {job.id: JobState.DELIVERED if job.id in running else JobState.CANCELLED for job in jobs}
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


def button_of(view):
    (button,) = [part for part in view.walk_children() if isinstance(part, GroupButton)]
    return button


async def asked_about(bot, prompt, **options):
    """Ask for paintings of a prompt with choices; return the question and its button."""
    asked = await use(bot, "imagine", prompt=prompt, **options)
    assert asked.private
    return asked, button_of(asked.how["view"])


async def queued(bot):
    return [(job.prompt, job.kind) for job in await bot.queue.ledger.queued()]


async def test_the_first_eight_are_shown_and_how_many_more_there_are(bot):
    asked, button = await asked_about(bot, "a {1,2,3,4} {*x*,y}")
    assert text_of(asked.how["view"]).splitlines()[0] == "### 8 paintings?"
    assert (asked.lines[0], len(asked.lines), asked.lines[-1]) == ("• a 1 \\*x\\*", 8, "• a 4 y")
    assert (button.item.label, asked.colour) == ("Paint all 8", content.BLUE)
    await bot.queue.change_guild(GUILD, per_user=9)
    vars(bot.settings.limits)["per_user"] = 9
    asked, _ = await asked_about(bot, "a {1,2,3,4,5,6,7,8,9}")
    assert asked.lines[-2:] == ["• a 8", "-# and 1 more"]


async def test_all_options_hold_for_each_of_them(bot):
    options = {"negative": "people", "size": "64x48", "steps": 3, "seed": 5, "preset": "fine", "start": "gradient"}
    _, button = await asked_about(bot, "a {red, blue} cat", model="embedded", **options)
    asked = Use(bot)
    await bot.take_group(asked, button.note)
    jobs = await bot.queue.ledger.queued()
    assert [(job.prompt, job.kind, job.user_id) for job in jobs] == [
        (f"a {colour} cat", "imagine", 1) for colour in ("red", "blue")
    ]
    for job in jobs:
        spec = job.spec
        assert [prompt.content for prompt in spec.prompts] == [job.prompt, "people"]
        assert (spec.width, spec.height, spec.steps, spec.seed) == (64, 48, 3, 5)
        assert (spec.preset, spec.start, spec.generator) == ("fine", "gradient", "embedded")
    assert text_of(asked.how["view"]) == "2 paintings are on their way."
    stop = button_of(asked.how["view"])
    assert (stop.note, stop.item.label, stop.custom_id) == (button.note, "Stop all", f"group:{button.note}:2:stop")


async def test_pressed_twice_they_are_the_same_paintings_and_asked_for_again_they_are_others(bot):
    _, button = await asked_about(bot, "a {red, blue} cat")
    for _ in range(2):
        await bot.take_group(Use(bot), button.note)
    assert len(await queued(bot)) == 2
    _, again = await asked_about(bot, "a {red, blue} cat")
    await bot.take_group(Use(bot), again.note)
    assert len(await queued(bot)) == 4


async def test_one_painting_needs_no_button_to_stop_all(bot):
    note = await bot.intake.save_note(1, {"options": {"prompt": "a cat"}, "asked": 5})
    asked = Use(bot)
    await bot.take_group(asked, note)
    assert text_of(asked.how["view"]) == "It is on its way."
    assert not [part for part in asked.how["view"].walk_children() if isinstance(part, GroupButton)]


async def test_a_group_is_nobody_elses_and_asks_for_the_permissions_again(bot):
    _, button = await asked_about(bot, "a {red, blue} cat")
    for press in (bot.take_group, bot.stop_group):
        with pytest.raises(Refusal, match="too old"):
            await press(Use(bot, 2), button.note)
    with pytest.raises(Refusal, match="attach files"):
        await bot.take_group(Use(bot, permissions=ALL & ~type(ALL)(attach_files=True)), button.note)
    assert await queued(bot) == []


async def test_those_that_wait_are_stopped_before_the_one_under_way_and_what_has_ended_is_let_be(bot, monkeypatch):
    _, button = await asked_about(bot, "a {red, green, blue} cat")
    await bot.take_group(Use(bot), button.note)
    red, green, blue = await bot.queue.ledger.queued()
    await bot.queue.cancel(blue.id)
    await bot.queue.ledger.claim(red.id)
    stopped, stop = [], bot.actions.stop

    async def noted(person, job):
        stopped.append((person.requester.user_id, job.id))
        await stop(person, job)

    monkeypatch.setattr(bot.actions, "stop", noted)
    asked = Use(bot)
    await bot.stop_group(asked, button.note)
    assert stopped == [(1, green.id), (1, red.id)]
    assert text_of(asked.how["view"]) == "Stopped 2 of 3: what is under way keeps the picture so far."
    asked = Use(bot)
    await bot.stop_group(asked, button.note)
    assert text_of(asked.how["view"]) == "All of them have ended already."


async def test_it_is_refused_before_it_is_asked_about(bot):
    await bot.queue.change_guild(GUILD, blocked_words=frozenset({"weasel"}), per_user=2)
    for prompt, why in (("a {cat, weasel}", "not allowed"), ("a {1, 2, 3}", "That makes 3")):
        asked = Use(bot)
        with pytest.raises(Refusal, match=why):
            await use(bot, "imagine", asked, prompt=prompt)
        assert asked.answers == []
    for name in ("image", "palette", "mask"):
        with pytest.raises(Refusal, match="Leave out either"):
            await use(bot, "imagine", prompt="a {cat, dog}", **{name: attached()})
