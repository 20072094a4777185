"""What the bot deletes, by the numbers that config.yaml has for it."""

import os
import time

import pytest

from bot.jobs import JobState
from bot.queue.preferences import Preferences
from bot.queue.retention import Retention, prune
from bot.settings import StorageSettings
from tests.bot.conftest import row, until

DAY = 86_400.0


@pytest.fixture
def add(ledger, files, ask):
    """Add a job in a state, with its picture on disk; both `age_days` old."""

    async def added(age_days=0.0, state=JobState.DELIVERED, size=1000, **changes):
        job, _ = await ledger.add(ask(**changes))
        for step in (JobState.RUNNING, JobState.RENDERED, JobState.DELIVERED):
            await ledger.transition(job.id, step)
            if step is state:
                break
        path = files.save_result(job, [b"x" * size], [b""])
        then = time.time() - age_days * DAY
        for file in (path, files.latent_path(job.id)):
            os.utime(file, (then, then))
        await ledger.database.write(
            "UPDATE jobs SET delivered_at = delivered_at - ? WHERE id = ?", (age_days * DAY, job.id)
        )
        return await row(ledger, job.id)

    return added


async def test_pictures_are_kept_for_the_days_and_not_a_day_less(ledger, files, add):
    old, young = await add(10.1), await add(9.9)
    await prune(ledger, files, StorageSettings(keep_days=10, keep_gigabytes=1))
    assert files.picture(old) is None
    assert files.picture(young) is not None


async def test_as_many_gigabytes_are_kept_as_are_said(ledger, files, add):
    """2 500 of 5 000 bytes: the newest two pictures."""
    jobs = [await add(age) for age in (5, 4, 3, 2, 1)]
    await prune(ledger, files, StorageSettings(keep_gigabytes=2.5e-6))
    assert [files.picture(job) is not None for job in jobs] == [False, False, False, True, True]


async def test_room_is_made_by_the_person_who_has_the_most(ledger, files, add):
    quiet = await add(20, user_id=2)
    busy = [await add(age, user_id=1) for age in (4, 3, 2, 1)]
    await prune(ledger, files, StorageSettings(keep_gigabytes=3.5e-6))
    assert [files.picture(job) is not None for job in (quiet, *busy)] == [True, False, False, True, True]


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.RENDERED])
async def test_a_picture_that_its_channel_has_not_seen_stays_however_old(ledger, files, add, state):
    """The bot was off for a while; what it painted before is still to be shown."""
    job = await add(99, state)
    await prune(ledger, files, StorageSettings(keep_days=1, keep_gigabytes=1e-9))
    assert files.picture(job) is not None
    assert files.latent_path(job.id).exists()


async def test_what_a_waiting_job_starts_from_stays(ledger, files, add, ask, spec):
    path = files.save_input(b"a picture", ".png")
    os.utime(files.folder / path, (0, 0))
    parent = await add(99)
    await ledger.add(ask(spec=spec.but(init_image=path), kind="vary", parent_id=parent.id))
    await prune(ledger, files, StorageSettings(keep_days=1, keep_gigabytes=1e-9))
    assert files.input_paths() == {path}
    assert files.picture(parent) is not None


async def test_the_ledger_deletes_old_jobs_whose_picture_is_gone(ledger, files, add):
    storage = StorageSettings(keep_days=1000, ledger_days=100)
    old, young, shown = await add(101), await add(99), await add(101)
    files.delete(old)
    files.delete(young)
    await prune(ledger, files, storage)
    assert await ledger.job(old.id) is None
    assert await ledger.job(young.id) is not None
    assert await ledger.job(shown.id) is not None, "its buttons would say that there is no such job"


async def test_an_upload_that_is_gone_counts_against_nobody(ledger, files):
    path = files.save_input(b"a picture", ".png")
    kept = files.save_input(b"another", ".png")
    for name in (path, kept):
        await ledger.personal_data.note_upload(name, 1, 100)
    os.utime(files.folder / path, (0, 0))
    await prune(ledger, files, StorageSettings(keep_days=1))
    assert await ledger.personal_data.uploaded(1) == (100, 100)


async def test_what_is_too_old_goes_although_nobody_asks_for_anything(open_queue, settings, files):
    path = files.folder / files.save_input(b"a picture", ".png")
    os.utime(path, (0, 0))
    queue, audience = await open_queue(settings)
    await until(lambda: not path.exists())
    assert await queue.places() == audience.events == []


async def test_what_has_waited_too_long_in_a_paused_server_is_cancelled(ledger, files, settings, ask):
    limits = settings.limits.model_copy(update={"paused_hours": 2.0})
    preferences, cancelled = Preferences(ledger.database), []

    async def cancel(job_id):
        cancelled.append(job_id)
        return True

    retention = Retention(settings.model_copy(update={"limits": limits}), files, ledger, preferences, cancel)
    jobs = {}
    for guild_id, hours in ((5, 2.1), (5, 1.9), (6, 9), (None, 9)):
        job, _ = await ledger.add(ask(guild_id=guild_id))
        await ledger.database.write("UPDATE jobs SET created_at = created_at - ? WHERE id = ?", (hours * 3600, job.id))
        jobs[guild_id, hours] = job.id
    await retention.end_paused()
    assert cancelled == []
    await preferences.change_guild(5, paused=True)
    await retention.end_paused()
    assert cancelled == [jobs[5, 2.1]]
