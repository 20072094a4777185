"""What is kept of people: counted, shared between those who sent the same file, and gone when it is deleted."""

import pytest

from bot.jobs import JobState
from bot.queue.personal_data import Held, _scrubbed
from bot.queue.preferences import Preferences, UserSettings
from engine.spec import PaintingSpec

PICTURE, MASK = "inputs/aaaa.png", "inputs/bbbb.png"


@pytest.fixture
def data(ledger):
    return ledger.personal_data


async def test_what_is_kept_of_a_person_is_counted(ledger, data, ask):
    assert await data.held(1) == Held(0, 0, 0, 0, has_settings=False)
    for user in (1, 1, 2):
        await ledger.add(ask(user_id=user))
    await data.note_upload(PICTURE, 1, 100)
    await data.note_upload(PICTURE, 1, 100)
    await data.note_upload(MASK, 1, 30)
    await data.note_upload(MASK, 2, 30)
    await Preferences(ledger.database).save_user(1, UserSettings(preset="draft"))
    assert await data.held(1) == Held(2, 2, 130, 2, has_settings=True)
    assert await data.held(2) == Held(1, 1, 30, 1, has_settings=False)
    assert await data.uploaded(1) == (130, 130), "what two sent lies there once"
    assert await data.uploaded(2) == (30, 130)
    assert await data.uploaded(3) == (0, 130)


async def test_a_deleted_job_says_nothing_more_and_still_counts(ledger, data, ask, spec):
    asked = ask(user_id=1, spec=spec.but(init_image=PICTURE))
    job, _ = await ledger.add(asked)
    other, _ = await ledger.add(ask(user_id=1))
    await data.note_upload(PICTURE, 1, 100)
    for channel, message in ((6, 60), (7, 70)):
        await ledger.attach_message(job.id, channel, message)
    await ledger.attach_message(other.id, 6, 61)
    await ledger.transition(job.id, JobState.FAILED, error="a red apple cannot be painted")
    erased = await data.erase(job.id)
    assert sorted(erased.messages) == [(6, 60), (7, 70)]
    assert erased.inputs == (PICTURE,)
    gone = await ledger.job(job.id)
    assert gone is not None
    assert (gone.prompt, gone.error, gone.notices, gone.message_id, gone.parent_id) == ("", None, (), None, None)
    assert "apple" not in gone.spec.to_json()
    assert gone.spec.init_image is None
    assert gone.state is JobState.FAILED
    assert await data.jobs_of(1) == [other.id]
    assert (await data.held(1)).jobs == 1
    assert (await data.held(1)).requests_today == 2, "a limit for the day does not end with it"
    assert await ledger.by_message(60) is None
    assert (await ledger.by_message(61)).id == other.id
    rows = await ledger.database.read("SELECT deleted_at FROM jobs WHERE id = ?", (job.id,))
    assert rows[0][0] > 1e9


async def test_of_a_job_that_is_not_there_nothing_is_erased(data):
    erased = await data.erase("zzzzzzzz")
    assert (erased.messages, erased.inputs) == ((), ())


@pytest.mark.parametrize(
    ("others", "gone"),
    [
        ([], (PICTURE,)),
        ([("job", 1)], ()),  # another job of theirs needs it
        ([("upload", 2)], ()),  # somebody else sent it, too
        ([("job", 2)], ()),  # somebody else's job needs it
        ([("deleted job", 2)], (PICTURE,)),
    ],
)
async def test_a_file_goes_when_nothing_refers_to_it_any_more(ledger, data, ask, spec, others, gone):
    with_picture = spec.but(init_image=PICTURE)
    job, _ = await ledger.add(ask(user_id=1, spec=with_picture))
    await data.note_upload(PICTURE, 1, 100)
    await data.note_upload(MASK, 1, 30)
    for what, user in others:
        if what == "upload":
            await data.note_upload(PICTURE, user, 100)
            continue
        another, _ = await ledger.add(ask(user_id=user, spec=with_picture))
        if what == "deleted job":
            await data.erase(another.id)
    assert (await data.erase(job.id)).inputs == gone
    mine = 130 if ("job", 1) in others else 30
    assert (await data.uploaded(1))[0] == mine, "the mask was of no job"


async def test_a_request_that_came_to_nothing_leaves_no_file(ledger, data, ask, spec):
    await data.note_upload(PICTURE, 1, 100)
    await data.note_upload(MASK, 1, 30)
    await ledger.add(ask(user_id=1, spec=spec.but(init_image=PICTURE, mask=MASK)))
    await data.note_upload("inputs/cccc.png", 1, 5)
    assert await data.release([PICTURE, "inputs/cccc.png"], 1) == ("inputs/cccc.png",)
    assert await data.uploaded(1) == (130, 130)


async def test_the_rest_of_a_person_is_forgotten_and_nobody_elses(ledger, data, ask):
    preferences = Preferences(ledger.database)
    for user in (1, 2):
        await preferences.save_user(user, UserSettings(preset="draft"))
        await data.note_upload(PICTURE, user, 100)
    await data.note_upload(MASK, 1, 30)
    job, _ = await ledger.add(ask(user_id=1))
    await ledger.claim(job.id)
    assert 1 in await ledger.served()
    assert await data.erase_rest(1) == (MASK,)
    assert 1 not in await ledger.served()
    held, other = await data.held(1), await data.held(2)
    assert (held.uploads, held.has_settings, held.requests_today) == (0, False, 1)
    assert (other.uploads, other.has_settings) == (1, True)


async def test_uploads_that_are_there_no_more_are_forgotten(data):
    for path, user in ((PICTURE, 1), (MASK, 1), (MASK, 2)):
        await data.note_upload(path, user, 10)
    await data.keep_uploads([PICTURE, "inputs/unknown.png"])
    assert (await data.uploaded(1), await data.uploaded(2)) == ((10, 10), (0, 10))


def test_a_spec_that_cannot_be_read_is_not_kept(spec):
    assert _scrubbed('{"prompts": "of a later version"}') == "{}"
    assert "apple" not in _scrubbed(spec.to_json())
    assert PaintingSpec.from_json(_scrubbed(spec.to_json())).width == spec.width
