"""Background tasks that end together, so that none uses what is closed after them."""

import asyncio
import contextvars

from bot.background import Tasks, _running, spawn

about: contextvars.ContextVar[str] = contextvars.ContextVar("about", default="nobody")


async def test_a_task_carries_nothing_of_who_started_it_and_is_kept_until_it_is_done():
    about.set("somebody")
    goes_on, seen = asyncio.Event(), []

    async def work():
        seen.append(about.get())
        await goes_on.wait()

    task = spawn(work(), "a name")
    await asyncio.sleep(0)
    assert (seen, task.get_name()) == (["nobody"], "a name")
    assert task in _running, "the loop itself keeps no task alive"
    goes_on.set()
    await task
    await asyncio.sleep(0)
    assert task not in _running


async def test_what_fails_is_logged_by_its_name_and_what_was_cancelled_is_not(caplog):
    async def fails():
        raise ValueError("no")

    async def endless():
        await asyncio.Event().wait()

    tasks = [spawn(fails(), "one that fails"), spawn(endless(), "one without an end")]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    (said,) = caplog.records
    assert said.getMessage() == "Background task one that fails failed"
    assert "ValueError: no" in caplog.text


async def test_ending_waits_for_tasks_and_for_those_that_they_start():
    tasks, done = Tasks(), []

    async def second():
        await asyncio.sleep(0.01)
        done.append("second")

    async def first():
        await asyncio.sleep(0.01)
        done.append("first")
        tasks.spawn(second(), "second")

    tasks.spawn(first(), "first")
    await tasks.end(30)
    assert done == ["first", "second"]


async def test_what_takes_too_long_is_cancelled_and_nothing_is_started_afterwards():
    tasks, said = Tasks(), []

    async def endless():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            tasks.spawn(late(), "late")  # as a last word
            said.append("cancelled")
            raise

    async def late():
        said.append("late")

    tasks.spawn(endless(), "endless")
    await tasks.end(0.05)
    tasks.spawn(late(), "late")
    await asyncio.sleep(0.01)
    assert said == ["cancelled"]
