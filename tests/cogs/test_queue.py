import time
from types import SimpleNamespace

import pytest

from bot.chat import content
from bot.jobs import JobState
from bot.queue.scheduler import Estimate, Place
from bot.refusals import Refusal
from cogs.queue import _choices, _is_listed, _line
from local_discord.permissions import Permission
from tests.bot.conftest import make_job
from tests.cogs.direct import GUILD, Use, made, text_of, use
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


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (Estimate(0, 0.0, None), "▶ · <@3> · being painted"),
        (Estimate(0, 0.0, 61.5), "▶ · <@3> · being painted, ready <t:1061:R>"),
        (Estimate(1, None, None), "1 · <@3> · starts later"),
        (Estimate(2, 0.0, 9.0), "2 · <@3> · starts <t:1000:R>"),
        (Estimate(2, 30.6, None), "2 · <@3> · starts <t:1030:R>"),
    ],
)
def test_a_place_is_said_in_a_line(ask, monkeypatch, estimate, said):
    """Of others without id and words: an id opens what it names to who can see it."""
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    place = Place("abcdefgh", 3, GUILD, estimate)
    assert _line(place, None) == said
    number, when = said.split(" · <@3> · ")
    own = make_job(ask(prompt="a *red* apple"))
    assert _line(place, own) == f"**{number} · `abcdefgh` · a \\*red\\* apple · {when}** ⬅️ yours"
    long = _line(place, make_job(ask(prompt="x" * 99)))
    assert 50 < long.count("x") <= 60


@pytest.mark.parametrize(
    ("user", "guild", "here", "listed"),
    [
        (1, 5, 5, True),
        (2, 5, 5, True),
        (1, 6, 5, True),
        (2, 6, 5, False),
        (2, None, None, False),
        (1, None, None, True),
    ],
)
def test_a_job_is_listed_in_its_own_server_and_for_who_asked(user, guild, here, listed):
    place = Place("abcdefgh", user, guild, Estimate(1, None, None))
    assert _is_listed(place, Use(SimpleNamespace(), 1, guild_id=here)) is listed  # pyright: ignore[reportArgumentType]


async def test_the_first_of_the_queue_are_listed_and_all_of_ones_own(bot, ask):
    assert (await use(bot, "queue")).lines == ["Nothing waits: what you ask for now starts at once."]
    for _ in range(17):
        await bot.queue.ledger.add(ask(user_id=2))
    mine, _ = await bot.queue.ledger.add(ask(user_id=1, prompt="my cat"))
    for _ in range(2):
        await bot.queue.ledger.add(ask(user_id=2))
    places = await bot.queue.places()
    number = [place.job_id for place in places].index(mine.id) + 1
    asked = await use(bot, "queue", Use(bot, 1))
    assert text_of(asked.how["view"]).startswith("### 🖌️ The queue\n")
    assert asked.private
    assert asked.colour == content.BLUE
    own = [line for line in asked.lines if "yours" in line]
    assert [mine.id in line for line in own] == [True]
    assert own[0].startswith(f"**{number} · ")
    shown_others = [line for line in asked.lines if "<@2>" in line]
    assert len(shown_others) + 1 == (15 if number <= 15 else 16)
    assert asked.lines[-1] == f"-# and {20 - len(shown_others) - 1} more here"
    elsewhere = await use(bot, "queue", Use(bot, 3, guild_id=99))
    assert elsewhere.lines == ["-# and 20 elsewhere"]
    direct = await use(bot, "queue", Use(bot, 1, guild_id=None))
    assert [mine.id in line for line in direct.lines] == [True, False]
    assert direct.lines[-1] == "-# and 19 elsewhere"


async def test_ones_own_is_listed_however_far_back_it_is(bot, ask, monkeypatch):
    monkeypatch.setattr(bot.extensions["cogs.queue"], "_LINES", 2)
    jobs = [(await bot.queue.ledger.add(ask(user_id=1, prompt=f"cat {number}")))[0] for number in range(4)]
    asked = await use(bot, "queue")
    assert [job.id in line for job, line in zip(jobs, asked.lines, strict=True)] == [True] * 4
    assert [line for line in asked.lines if "more here" in line] == []
    other = await use(bot, "queue", Use(bot, 2))
    assert len(other.lines) == 3
    assert other.lines[2] == "-# and 2 more here"


def test_jobs_are_suggested_by_id_words_and_state(ask):
    jobs = [
        make_job(ask(prompt="a Red apple"), id="aaaaaaaa", state=JobState.QUEUED),
        make_job(ask(prompt="a blue fish"), id="bbbbbbbb", state=JobState.DELIVERED),
    ]

    def offered(typed):
        return [choice.value for choice in _choices(jobs, typed)]

    assert [choice.name for choice in _choices(jobs, "")] == [
        "aaaaaaaa · a Red apple · waiting", "bbbbbbbb · a blue fish · done",
    ]  # fmt: skip
    assert offered(" RED ") == offered("aaaa") == offered("wait") == ["aaaaaaaa"]
    assert offered("fish") == ["bbbbbbbb"]
    assert offered("zebra") == []
    [long] = _choices([make_job(ask(prompt="x" * 999))], "")
    assert len(long.name) <= 100
    assert 50 < long.name.count("x") <= 60


async def test_only_what_is_unfinished_is_suggested_for_cancelling(bot):
    first, second = [await made(bot, "imagine", prompt=f"a cat {number}") for number in (1, 2)]
    await made(bot, "imagine", Use(bot, 2), prompt="a dog")
    await bot.queue.cancel(first.id)
    cog = bot.get_cog("Queue")
    assert [choice.value for choice in await cog._unfinished(Use(bot), "cat")] == [second.id]
    assert [choice.value for choice in await cog._any(Use(bot), "cat")] == [second.id, first.id]
    assert await cog._unfinished(Use(bot), "dog") == await cog._any(Use(bot), "dog") == []


async def test_as_many_are_suggested_as_discord_shows_the_newest_first(bot, ask):
    jobs = [(await bot.queue.ledger.add(ask(user_id=1)))[0] for _ in range(27)]
    newest = [job.id for job in reversed(jobs)][:25]
    cog = bot.get_cog("Queue")
    assert [choice.value for choice in await cog._any(Use(bot), "")] == newest
    assert [choice.value for choice in await cog._unfinished(Use(bot), "")] == newest


async def test_cancelling_without_an_id_takes_the_newest_that_is_unfinished(bot):
    jobs = [await made(bot, "imagine", prompt=f"a cat {number}") for number in (1, 2, 3)]
    await bot.queue.cancel(jobs[2].id)
    asked = await use(bot, "cancel")
    assert asked.answers == [(f"Job `{jobs[1].id}` stops.", {"ephemeral": True})]
    asked = await use(bot, "cancel", job=jobs[0].id)
    assert asked.answers == [(f"Job `{jobs[0].id}` stops.", {"ephemeral": True})]
    with pytest.raises(Refusal, match="no painting under way"):
        await use(bot, "cancel")
