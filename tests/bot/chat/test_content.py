import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import content
from bot.escaping import bare, plain
from bot.jobs import JobState
from bot.worker.events import Progress
from tests.bot.conftest import make_job


@pytest.fixture
def job(ask):
    return make_job(ask(), step=6, seconds=12.4, state=JobState.RENDERED)


def test_a_waiting_job_says_its_place_and_a_stamp_that_counts_down(job):
    assert content.queued(job, 1, 1000.7).status == "⏳ Next in line, starts <t:1000:R>"
    assert content.queued(job, 3, None).status == "⏳ Number 3 in line"


@pytest.mark.parametrize(
    ("body", "colour", "buttons", "words"),
    [
        (lambda job: content.queued(job, 1, None), content.GREY, content.WAITING_BUTTONS, "Next in line"),
        (content.waiting, content.GREY, content.WAITING_BUTTONS, "Waiting for its turn"),
        (content.held, content.AMBER, content.WAITING_BUTTONS, "paused here"),
        (content.starting, content.BLUE, content.PAINTING_BUTTONS, "**0%**"),
        (content.interrupted, content.AMBER, ("stop",), "Back soon"),
        (content.finished, content.GREEN, content.FINISHED_BUTTONS, "Painted in"),
        (content.cancelled, content.GREY, content.FAILED_BUTTONS, "Cancelled"),
        (lambda job: content.failed(job, "No."), content.RED, content.FAILED_BUTTONS, "No."),
        (content.gone, content.GREY, content.FAILED_BUTTONS, "cleared away"),
    ],
)
def test_each_state_has_its_colour_its_buttons_and_its_words(job, body, colour, buttons, words):
    shown = body(job)
    assert (shown.colour, shown.buttons) == (colour, buttons)
    assert words in shown.status
    assert "a red apple" in shown.title
    assert any(f"`{job.id}` by <@1>" in line for line in shown.small)


def test_progress_shows_bar_step_speed_and_time_left(job):
    body = content.painting(job, Progress(job.id, 3, 6, 2.5, 4.0, 0.9), now=100.0)
    assert "▰" * 10 + "▱" * 10 + " **50%**" in body.status
    assert "step 3 of 6 · 2.5 it/s · ready <t:104:R>" in body.status
    assert body.buttons == ("steer", "stop")


def test_the_last_step_promises_nothing_more(job):
    assert "ready" not in content.painting(job, Progress(job.id, 6, 6, 2.5, 0.0, 0.9), now=100.0).status


@pytest.mark.parametrize(("speed", "text"), [(2.54, "2.5 it/s"), (1, "1.0 it/s"), (0.25, "4.0 s/it")])
def test_speed_is_written_as_usual(speed, text):
    assert content.speed(speed) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min"), (125, "2 min 5 s"), (3780, "1 h 3 min")]
)
def test_durations(seconds, text):
    assert content.duration(seconds) == text


@pytest.mark.parametrize("share", [-1, 0, 0.001, 0.5, 0.999, 1, 7])
def test_the_bar_has_one_length(share):
    assert len(content.bar(share)) == 20


def test_the_end_shows_seed_settings_time_and_notices(job):
    body = content.finished(replace(job, notices=("The words 'x y' were cut off.",)))
    assert body.status == "🖼️ Painted in 12 s"
    assert any("were cut off" in line for line in body.small)
    assert "-# paper · 32 × 32 · 6 steps · seed 7 · embedded" in body.small
    assert body.alt == "a red apple"
    assert body.buttons == content.FINISHED_BUTTONS


def test_a_stopped_one_says_where(job):
    assert content.finished(replace(job, step=4)).status == "⏹️ Stopped at step 4 of 6, after 12 s"


def test_a_film_is_no_picture(job):
    body = content.finished(replace(job, kind="timelapse", parent_id="zzzzzzzz", step=3))
    assert body.buttons == ("delete",)
    assert any("film of `zzzzzzzz`" in line for line in body.small)


def test_a_long_prompt_is_cut_in_the_title_and_in_the_alternative_text(job):
    body = content.finished(replace(job, prompt="wide " * 500))
    assert len(body.title) < 1300
    assert len(body.alt) <= content.ALT_LIMIT
    assert body.alt.endswith("…")


def test_a_failure_is_one_plain_sentence(job):
    assert content.failed(job, "**Out** of\nmemory.").status == "⚠️ \\*\\*Out\\*\\* of memory."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a **bold** _thing_", r"a \*\*bold\*\* \_thing\_"),
        ("@everyone <@123> <#5>", "@\u200beveryone \\<@\u200b123\\> \\<\\#5\\>"),
        ("[free](https://evil.example)", "\\[free\\]\\(https:\u200b//evil.example\\)"),
        ("```\nrm -rf\n```", r"\`\`\` rm \-rf \`\`\`"),
        ("a\u202ecba", "acba"),
        ("nul\0l\x1b[31m", r"nul l \[31m"),
        ("family 👨‍👩‍👧 ❤️", "family 👨‍👩‍👧 ❤️"),
        ("z" + "\u0301" * 50, "ź\u0301\u0301\u0301"),
        ("> quote\n# head\n- item", r"\> quote \# head \- item"),
        ("||spoiler|| ~~gone~~", r"\|\|spoiler\|\| \~\~gone\~\~"),
    ],
)
def test_other_peoples_words_are_plain(text, shown):
    assert plain(text) == shown


# Text alone hardly ever spells what could start something.
pieces = st.sampled_from(["https", "://", "x.example", "@", "everyone", "<", ">", "\\", "*", "`", "\n", "\u200d", " "])
hostile = st.lists(pieces | st.text(max_size=5), max_size=40).map("".join)


@given(hostile)
def test_nothing_in_plain_text_starts_markup(text):
    line = plain(text)
    assert "\n" not in line
    assert re.search("[A-Za-z]://", line) is None  # a scheme makes a link of what follows; "://" alone does not
    assert "@everyone" not in line
    unescaped = line.replace("\\\\", "").replace("\\", "\0")
    for at, letter in enumerate(unescaped):
        if letter in "*_~`|<>[]()#":
            assert unescaped[:at].endswith("\0"), (letter, line)


@given(hostile)
def test_plain_text_reads_as_it_was_typed(text):
    assert re.sub(r"\\(.)", r"\1", plain(text)).replace("\u200b", "") == bare(text)


@given(st.text(max_size=300), st.integers(2, 50))
def test_cut_text_keeps_its_limit(text, limit):
    assert len(bare(text, limit)) <= limit
