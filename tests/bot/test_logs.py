"""What the owner reads, and what nobody may read there."""

import asyncio
import io
import json
import logging
import re
import threading
import warnings

import pytest

from bot import logs
from bot.jobs import JobState
from bot.settings import LogSettings
from bot.worker.events import Rendered
from tests.bot.conftest import make_job

# The shape of a token, made up of words: it opens nothing.
TOKEN = "bm90QXJlYWxUb2tlbkF0QWxs" + ".Gabcde." + "not_a_real_token_not_a_real_token_0000"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def started():
    """Set the log up on a stream of the test's own; what was there before comes back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("bot", "cogs", "engine")}

    def start(stream=None, secrets=(), **settings):
        stream = stream or io.StringIO()
        root.handlers = []
        logs.set_up(LogSettings(**settings), secrets, stream)
        return stream

    yield start
    root.handlers, root.level = before
    logging.captureWarnings(capture=False)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_unless_somebody_looks(started):
    log = logging.getLogger("bot.queue.service")
    for stream, settings, readable in (
        (io.StringIO(), {}, False),
        (Terminal(), {}, True),
        (Terminal(), {"format": "json"}, False),
        (io.StringIO(), {"format": "human"}, True),
    ):
        started(stream, **settings)
        log.warning("Painting %d of %s", 3, "apples")
        assert stream.getvalue().startswith("{") is not readable
        assert "Painting 3 of apples" in stream.getvalue()
    assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING bot.queue.service Painting 3 of apples\n", stream.getvalue())


def test_every_line_of_a_job_carries_its_id_in_tasks_and_threads(started):
    stream = started()
    log = logging.getLogger("bot.worker.thread")

    def paint(job_id):
        with logs.of_job(job_id):
            log.info("painting")
        log.info("free")

    async def follow(job_id):
        logs.about(job_id)
        await asyncio.sleep(0)
        log.info("following")

    async def both():
        await asyncio.gather(*(asyncio.create_task(follow(job_id)) for job_id in ("job1", "job2")))
        log.info("nobody's")

    asyncio.run(both())
    thread = threading.Thread(target=paint, args=("job3",))
    thread.start()
    thread.join()
    assert [(line["message"], line.get("job")) for line in lines(stream)] == [
        ("following", "job1"),
        ("following", "job2"),
        ("nobody's", None),
        ("painting", "job3"),
        ("free", None),
    ]


def test_the_job_is_to_be_seen_on_a_terminal_too(started):
    stream = started(format="human")
    with logs.of_job("k3v9x2ab"):
        logging.getLogger("bot.queue.service").info("rendered")
    assert "bot.queue.service [k3v9x2ab] rendered" in stream.getvalue()


@pytest.mark.parametrize("look", ["human", "json"])
def test_no_token_gets_through(started, look):
    stream = started(format=look, secrets=("a-secret-of-no-known-shape",))
    log = logging.getLogger("discord.http")
    log.warning("Authorization: Bot %s", TOKEN)
    log.warning("POST https://discord.com/api/v10/interactions/123/aW50ZXJhY3Rpb246MTIz/callback was 429")
    log.warning("PATCH https://discord.com/api/v10/webhooks/123/aW50ZXJhY3Rpb246MTIz_-/messages/@original was 429")
    log.warning("the secret is a-secret-of-no-known-shape")
    try:
        int(TOKEN)
    except ValueError:
        log.exception("with a trace")
    text = stream.getvalue()
    assert text.count(logs.HIDDEN) == 5
    for secret in (TOKEN, "aW50ZXJhY3Rpb246MTIz", "no-known-shape", "not_a_real_token"):
        assert secret not in text
    assert "interactions/123/" in text
    assert "/messages/@original was 429" in text
    assert "ValueError" in text


def test_debug_is_for_our_own_lines_only(started):
    stream = started(level="debug")
    for name in ("aiosqlite", "discord.http", "asyncio", "bot.queue.ledger", "cogs.imagine"):
        logging.getLogger(name).debug("SELECT 'a prompt'")
    assert [line["logger"] for line in lines(stream)] == ["bot.queue.ledger", "cogs.imagine"]


@pytest.mark.parametrize(
    ("level", "ours", "theirs"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["info", "warning", "error"]),
        ("info", ["info", "warning", "error"], ["info", "warning", "error"]),
        ("warning", ["warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_a_level_holds_for_all_and_below_info_for_us_alone(started, level, ours, theirs):
    stream = started(level=level)
    for name, expected in (("bot.queue", ours), ("cogs.edit", ours), ("engine.models", ours), ("aiohttp", theirs)):
        for one in ("debug", "info", "warning", "error"):
            getattr(logging.getLogger(name), one)("a line")
        assert [line["level"] for line in lines(stream) if line["logger"] == name] == expected


def test_a_line_for_machines_says_when_in_utc_and_only_what_there_is(started):
    stream = started()
    record = logging.LogRecord("bot.queue", logging.INFO, "a.py", 1, "Wörter %d", (3,), None)
    record.created, record.msecs = 86_400.0 + 3_661.0, 7.0
    (handler,) = logging.getLogger().handlers
    handler.handle(record)
    assert json.loads(stream.getvalue()) == {
        "time": "1970-01-02T01:01:01.007Z", "level": "info", "logger": "bot.queue", "message": "Wörter 3"
    }  # fmt: skip
    assert "Wörter" in stream.getvalue(), "as it is written"


@pytest.mark.parametrize(
    ("level", "shown"),
    [(logging.INFO, "INFO   "), (logging.WARNING, "\033[33mWARNING\033[0m"), (logging.ERROR, "\033[31mERROR  \033[0m")],
)
def test_on_a_terminal_what_matters_is_coloured(started, level, shown):
    terminal = started(Terminal())
    logging.getLogger("bot.queue").log(level, "a line")
    assert re.fullmatch(
        r"\033\[2m\d\d:\d\d:\d\d\033\[0m (?P<level>.*) \033\[2mbot.queue\033\[0m a line\n", terminal.getvalue()
    )
    assert shown in terminal.getvalue()


def test_warnings_of_python_are_lines_like_others(started):
    stream = started()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    assert [line["logger"] for line in lines(stream)] == ["py.warnings"]


def test_an_empty_secret_hides_nothing(started):
    stream = started(secrets=("",))
    logging.getLogger("bot").info("a line")
    assert lines(stream)[0]["message"] == "a line"


def test_lines_inside_of_another_job_are_of_that_one(started):
    stream = started()
    log = logging.getLogger("bot")
    with logs.of_job("outer"):
        with logs.of_job("inner"):
            log.info("1")
        log.info("2")
    log.info("3")
    assert [line.get("job") for line in lines(stream)] == ["inner", "outer", None]


def test_a_line_cannot_be_forged(started):
    log = logging.getLogger("bot")
    for look in ("human", "json"):
        stream = started(format=look)
        log.info("Guild %s", "x\n21:00:00 ERROR bot the disk is full\x1b[2J\u2028")
        assert stream.getvalue().count("\n") == 1
        assert "\x1b" not in stream.getvalue()
        assert "\u2028" not in stream.getvalue()


def test_the_end_of_a_job_names_its_costs_and_not_its_prompt(ask):
    job = make_job(
        ask(prompt="my secret wish"), state=JobState.RENDERED, started_at=3.5, finished_at=13.5, seconds=9.0, step=6
    )
    sentence, extra = logs.end_of(job)
    assert sentence == (
        "Job abcdefgh ended rendered: imagine 32x32 on embedded for user 1, waited 2.5 s, painted 6 steps in 9.0 s"
    )
    assert extra["costs"] == {
        "state": "rendered",
        "kind": "imagine",
        "user": 1,
        "guild": 5,
        "size": "32x32",
        "generator": "embedded",
        "steps": 6,
        "waited_seconds": 2.5,
        "seconds": 9.0,
        "total_seconds": 12.5,
    }
    queued = make_job(ask(), state=JobState.CANCELLED, finished_at=4.0)
    assert logs.end_of(queued)[0].endswith(
        "ended cancelled: imagine 32x32 on embedded for user 1, waited 3.0 s, at step 0"
    )


async def test_a_real_job_leaves_one_line_of_costs_and_its_id_on_all(started, open_queue, ask):
    stream = started(level="debug", format="json")
    queue, audience = await open_queue()
    jobs = [await queue.submit(ask(prompt="my secret wish", user_id=user)) for user in (1, 2)]
    for job in jobs:
        await audience.wait(job.id, Rendered)
        await queue.mark_delivered(job.id, 77 + job.user_id)
    for job in jobs:
        ends = [line for line in lines(stream) if "costs" in line and line["job"] == job.id]
        assert [end["costs"]["steps"] for end in ends] == [6]
    for line in lines(stream):
        named = [job.id for job in jobs if job.id in line["message"]]
        assert line.get("job") in (named or [None, *(job.id for job in jobs)])
    assert "secret wish" not in stream.getvalue()
    assert "red apple" not in stream.getvalue()
