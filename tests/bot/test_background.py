"""Background tasks that end together, so that none uses what is closed after them."""

import asyncio

from bot.background import Tasks


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
