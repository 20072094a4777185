"""One's own pictures, a page at a time: what is shown of each, and where the buttons lead."""

import io

import discord
import pytest
from PIL import Image

from bot.chat import content
from bot.chat.components import PageButton
from bot.chat.history import PAGE, History
from bot.jobs import JobState
from bot.refusals import Refusal
from bot.worker.events import SPOILER_NOTICE
from tests.bot.chat.fake_discord import MESSAGE, Asked

ALICE = 1


@pytest.fixture
def history(queue):
    return History(queue)


async def page(history, number=0, user_id=ALICE):
    """Return the texts, buttons and files of a page."""
    asked = Asked(user_id)
    if number == 0:
        await history.open(asked)
        ((_, arguments),) = asked.answers
        assert arguments["ephemeral"] is True
        files = arguments["files"]
    else:
        await history.turn(asked, user_id, number)
        (arguments,) = asked.edits
        files = arguments["attachments"]
    parts = list(arguments["view"].walk_children())
    texts = [part.content for part in parts if isinstance(part, discord.ui.TextDisplay)]
    buttons = {part.item.label: part.item for part in parts if isinstance(part, PageButton)}
    thumbnails = [part for part in parts if isinstance(part, discord.ui.Thumbnail)]
    assert [part.media.url for part in thumbnails] == [f"attachment://{file.filename}" for file in files]
    return texts, buttons, files, [part.spoiler for part in thumbnails]


async def test_each_entry_shows_what_it_is_and_where(history, rendered):
    job = await rendered(prompt="a *red* apple")
    texts, _, files, hidden = await page(history)
    heading, entry = texts
    assert heading == "### Your pictures"
    assert entry.startswith("**a \\*red\\* apple**\n")
    assert "32 × 32" in entry
    assert f"`{job.id}` · just finished · <t:{int(job.created_at)}:R>" in entry
    assert entry.endswith(f"[message](https://discord.com/channels/5/6/{MESSAGE})")
    assert [file.filename for file in files] == [f"thumbnail-{job.id}.jpg"]
    assert files[0].description == "a *red* apple"
    assert hidden == [False]
    with Image.open(io.BytesIO(files[0].fp.read())) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (32, 32))


async def test_a_hidden_picture_is_hidden_here_too(history, rendered):
    await rendered(notices=(SPOILER_NOTICE,))
    assert (await page(history))[3] == [True]


async def test_what_has_no_picture_is_shown_in_words(history, rendered, queue, ask):
    await queue.ledger.add(ask(guild_id=None))
    await rendered(JobState.FAILED)
    film = await rendered(kind="timelapse")
    queue.files.result_path(film).write_bytes(b"a film")
    texts, _, files, _ = await page(history)
    assert files == []
    assert [word in entry for word, entry in zip(("just finished", "failed", "waiting"), texts[1:], strict=True)] == [
        True
    ] * 3
    assert "message" not in texts[3]


async def test_a_large_picture_comes_small(history, rendered, queue):
    job = await rendered()
    Image.new("RGB", (800, 400)).save(queue.files.result_path(job))
    with Image.open(io.BytesIO((await page(history))[2][0].fp.read())) as thumbnail:
        assert thumbnail.size == (160, 80)


async def test_a_file_that_is_none_costs_no_page(history, rendered, queue):
    job = await rendered()
    queue.files.result_path(job).write_bytes(b"no picture")
    texts, _, files, _ = await page(history)
    assert job.id in texts[1]
    assert files == []


@pytest.mark.parametrize(
    ("jobs", "number", "entries", "older", "newer"),
    [
        (PAGE, 0, PAGE, None, None),
        (PAGE + 1, 0, PAGE, "history:1:1:o", None),
        (PAGE + 1, 1, 1, None, "history:1:0:n"),
        (2 * PAGE + 1, 1, PAGE, "history:1:2:o", "history:1:0:n"),
        (1, 1, 0, None, "history:1:0:n"),
    ],
)
async def test_the_buttons_lead_to_the_pages_there_are(history, queue, ask, jobs, number, entries, older, newer):
    for _ in range(jobs):
        await queue.ledger.add(ask())
    await queue.ledger.add(ask(user_id=2))
    texts, buttons, _, _ = await page(history, number)
    assert len(texts) == 1 + entries
    for label, leads in (("Older", older), ("Newer", newer)):
        assert buttons[label].disabled is (leads is None)
        assert leads is None or buttons[label].custom_id == leads


async def test_nobody_turns_another_ones_pages(history, rendered):
    await rendered()
    with pytest.raises(Refusal, match="somebody else's"):
        await history.turn(Asked(2), ALICE, 0)


async def test_who_has_none_is_shown_how_to_begin(history, rendered):
    await rendered()
    with pytest.raises(Refusal, match="try /imagine"):
        await history.open(Asked(2))


async def test_long_words_are_cut_and_direct_messages_have_links_of_their_own(history, rendered, queue):
    job = await rendered(prompt="x" * 2000, guild_id=None)
    texts, _, files, _ = await page(history)
    title = texts[1].splitlines()[0]
    assert 110 < title.count("x") <= 120
    assert files[0].description == "x" * 1000
    assert texts[1].endswith(f"[message](https://discord.com/channels/@me/6/{MESSAGE})")
    await queue.ledger.database.write("UPDATE jobs SET message_id = NULL")
    assert (await page(history))[0][1].endswith(f"<t:{int(job.created_at)}:R>")


async def test_each_entry_is_set_apart_in_one_box(history, rendered):
    await rendered()
    asked = Asked(ALICE)
    await history.open(asked)
    ((_, arguments),) = asked.answers
    (box,) = arguments["view"].children
    assert box.accent_colour == content.BLUE
    kinds = [type(part).__name__ for part in box.children]
    assert kinds == ["TextDisplay", "Separator", "Section", "ActionRow"]
    assert arguments["view"].timeout is None
