"""No prompt of others, no path and no token where it does not belong."""

import asyncio
import io
import logging

import pytest

from bot import logs
from bot.chat import content
from bot.settings import LogSettings, StorageSettings
from cogs import privacy
from tests.cogs.direct import GUILD, Use, made, text_of, use
from tests.simulated import ENDLESS, png, shown, words

SECRET = "a zebra under a mulberry tree"


@pytest.fixture
def log():
    """All that the process logs at the finest level."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.set_up(LogSettings(level="debug", format="json"), stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    for name in ("bot", "cogs", "engine"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


async def test_prompts_stay_out_of_the_log(world, log):
    done = await world.ended(await world.imagine(world.alice, SECRET))
    await world.alice.click(world.message(done.message_id), label="Vary")
    await world.alice.slash(world.channel, "imagine", prompt=f"{SECRET}::nonsense::", size="9x9")
    await world.alice.slash(world.channel, "edit", image=("zebra-at-home.png", b"no picture"), prompt=SECRET)
    await world.alice.slash(world.channel, "edit", image=("zebra-at-home.png", png()), prompt=SECRET, steps=2)
    unpaintable = await world.imagine(world.alice, SECRET, steps=ENDLESS)
    await world.bot.queue.cancel(unpaintable.id)
    await world.ended(unpaintable)
    text = log.getvalue()
    assert done.id in text
    for word in ("zebra", "mulberry"):
        assert word not in text


async def test_nobody_reads_elsewhere_what_others_ask_for(world):
    job = await world.imagine(world.alice, SECRET, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    other = world.text_channel("other")
    for command in ("queue", "info", "history", "settings", "models", "help"):
        result = await world.bob.slash(other, command)
        assert "zebra" not in words(result), command
        assert result.ephemeral, command
    await world.bot.queue.cancel(job.id)
    await world.ended(job)


async def test_no_message_names_a_path(world, tmp_path):
    await world.ended(await world.imagine(world.alice, SECRET))
    broken = await world.imagine(world.alice, SECRET, steps=3)
    world.bot.queue.files.result_path(broken).with_suffix(".png.part").mkdir(parents=True, exist_ok=True)
    await world.ended(broken)
    refused = await world.alice.slash(world.channel, "edit", image=("a.png", b"no picture"), prompt=SECRET)
    texts = [shown(message) for message in world.messages()] + [words(refused)]
    assert any("went wrong" in text or "⚠️" in text for text in texts)
    for text in texts:
        assert str(tmp_path) not in text
        assert "Error" not in text
        assert ".part" not in text


# /quota and /privacy


def limits(bot, **changes):
    vars(bot.settings)["limits"] = bot.settings.limits.model_copy(update=changes)  # frozen, and others hold it


async def test_what_is_left_is_said_line_by_line(bot):
    limits(bot, per_guild=50, upload_megabytes_per_user=200)
    asked = await use(bot, "quota")
    assert asked.private
    assert asked.colour == content.BLUE
    assert asked.lines == [
        "**Under way** · 0 of 8 paintings",
        "**In 24 hours** · 0 asked for, no limit",
        "**This server** · 0 of 50 paintings under way",
        "**Pictures you sent** · 0.0 of 200 MB kept",
    ]
    await made(bot, "imagine", prompt="a cat")
    await made(bot, "imagine", Use(bot, 2), prompt="a cat")
    await bot.queue.ledger.personal_data.note_upload("inputs/a.png", 1, 2_340_000)
    assert (await use(bot, "quota")).lines == [
        "**Under way** · 1 of 8 paintings",
        "**In 24 hours** · 1 asked for, no limit",
        "**This server** · 2 of 50 paintings under way",
        "**Pictures you sent** · 2.3 of 200 MB kept",
    ]


async def test_in_direct_messages_there_is_no_server(bot):
    lines = (await use(bot, "quota", Use(bot, guild_id=None))).lines
    assert [line.partition(" · ")[0] for line in lines] == [
        "**Under way**", "**In 24 hours**", "**Pictures you sent**"
    ]  # fmt: skip


async def test_of_a_daily_limit_it_says_what_is_left_and_when_there_is_more(bot):
    async def day():
        return next(line for line in (await use(bot, "quota")).lines if "24 hours" in line)

    await bot.queue.change_guild(GUILD, per_day=2)
    assert await day() == "**In 24 hours** · 0 of 2, 2 left"
    await made(bot, "imagine", prompt="a cat")
    assert await day() == "**In 24 hours** · 1 of 2, 1 left"
    await made(bot, "imagine", prompt="a cat")
    assert await day() == "**In 24 hours** · 2 of 2, 0 left, one more in 24 hours"
    await bot.queue.change_guild(GUILD, per_day=1)
    assert await day() == "**In 24 hours** · 2 of 1, 0 left, one more in 24 hours"
    await bot.queue.change_guild(GUILD, per_day=0)
    await bot.queue.ledger.database.write("DELETE FROM asked")
    assert await day() == "**In 24 hours** · 0 of 0, 0 left"


async def test_of_a_pause_between_requests_it_says_how_long_it_is(bot):
    async def following():
        return [line for line in (await use(bot, "quota")).lines if "Next request" in line]

    assert await following() == []
    await bot.queue.change_guild(GUILD, cooldown_seconds=7200)
    assert await following() == ["**Next request** · now"]
    await made(bot, "imagine", prompt="a cat")
    assert await following() == ["**Next request** · in 2 hours"]
    await bot.queue.ledger.database.write("UPDATE asked SET at = at - 7100")
    [line] = await following()
    assert line.startswith("**Next request** · in ")
    assert "second" in line or "minute" in line
    await bot.queue.ledger.database.write("UPDATE asked SET at = at - 101")
    assert await following() == ["**Next request** · now"]


async def test_what_is_kept_is_said_and_for_how_long(bot):
    bot.settings = bot.settings.model_copy(
        update={"storage": StorageSettings(folder=bot.settings.storage.folder, keep_days=3, ledger_days=90.5)}
    )
    asked = await use(bot, "privacy")
    assert asked.private
    assert asked.colour == content.BLUE
    assert asked.lines[:4] == [
        "**Paintings** · 0, with your words and settings, for 90.5 days",
        "**Pictures you sent** · 0, 0.0 MB, for 3 days",
        "**Your defaults** · none",
        "**Times you asked** · 0, each for 24 hours, for the daily limit",
    ]
    await made(bot, "imagine", prompt="a cat")
    await use(bot, "settings", notify=True)
    await bot.queue.ledger.personal_data.note_upload("inputs/a.png", 1, 2_340_000)
    await made(bot, "imagine", Use(bot, 2), prompt="a cat")
    assert (await use(bot, "privacy")).lines[:4] == [
        "**Paintings** · 1, with your words and settings, for 90.5 days",
        "**Pictures you sent** · 1, 2.3 MB, for 3 days",
        "**Your defaults** · kept until you change them",
        "**Times you asked** · 1, each for 24 hours, for the daily limit",
    ]
    assert await bot.queue.ledger.history(1), "nothing is deleted by looking"


async def test_deleting_takes_ones_own_and_its_messages(bot, monkeypatch):
    deleted = []

    async def delete(client, messages):
        deleted.append((client, list(messages)))

    monkeypatch.setattr(bot.extensions["cogs.privacy"], "delete_messages", delete)
    mine, theirs = await made(bot, "imagine", prompt="a cat"), await made(bot, "imagine", Use(bot, 2), prompt="a cat")
    asked = await use(bot, "privacy", delete=True)
    assert asked.deferrals == [{"ephemeral": True, "thinking": True}]
    (how,) = asked.edits
    assert text_of(how["view"]).splitlines()[1:] == list(privacy._DELETED)
    assert asked.colour == content.GREEN
    assert asked.answers == []
    await asyncio.sleep(0)
    assert deleted == [(bot, [(mine.channel_id, mine.message_id)])]
    assert await bot.queue.ledger.history(1) == []
    assert [job.id for job in await bot.queue.ledger.history(2)] == [theirs.id]
