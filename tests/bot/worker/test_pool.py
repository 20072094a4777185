"""Several painters as one: a job goes to whichever is free, what is asked of it to the one that paints it."""

# pyright: reportArgumentType=false

import asyncio
from types import SimpleNamespace

import pytest

from bot.worker.orders import Steer
from bot.worker.pool import PainterPool, PoolCallbacks


class Noted:
    def __init__(self, name, job_id=None, chip="one", free=None, alive=True):
        self.name, self.job_id, self.chip, self.alive = name, job_id, chip, alive
        self.free = job_id is None if free is None else free
        self.asked = []

    def __getattr__(self, name):
        return lambda *arguments: self.asked.append((name, *arguments))


@pytest.mark.parametrize(
    ("painters", "chip", "chosen"),
    [
        ([], None, None),
        ([Noted("a", "job")], None, None),
        ([Noted("a", "job"), Noted("b"), Noted("c")], None, "b"),
        ([Noted("a", chip="one"), Noted("b", chip="two")], "two", "b"),
        ([Noted("a", chip="one"), Noted("b", "job", chip="two")], "two", "a"),  # rather another one than none
        ([Noted("a", chip="one"), Noted("b", chip="one")], "two", "a"),
        ([Noted("a", free=False), Noted("b")], None, "b"),  # it is only starting
    ],
)
def test_a_painter_is_chosen_that_is_free_and_of_the_wanted_chip_if_there_is_one(painters, chip, chosen):
    found = PainterPool(painters).free(chip)
    assert (found and found.name) == chosen  # pyright: ignore[reportAttributeAccessIssue]


def test_its_jobs_are_those_of_its_painters():
    pool = PainterPool([Noted("a", "first"), Noted("b"), Noted("c", "second")])
    assert pool.job_ids == ["first", "second"]
    assert [pool.paints(job) for job in ("first", "second", "third")] == [True, True, False]


@pytest.mark.parametrize(("alive", "any_alive"), [([], False), ([False, False], False), ([False, True], True)])
def test_it_lives_while_one_lives(alive, any_alive):
    assert PainterPool([Noted("a", alive=one) for one in alive]).alive is any_alive


@pytest.mark.parametrize("asked", [("want_preview",), ("steer", Steer(())), ("finish_early",), ("give_up",)])
def test_what_is_asked_of_a_job_reaches_every_painter(asked):
    """Each knows whether it is meant."""
    pool = PainterPool([Noted("a", "first"), Noted("b", "second")])
    name, *rest = asked
    getattr(pool, name)("second", *rest)
    assert [painter.asked for painter in pool.painters] == [[(name, "second", *rest)]] * 2  # pyright: ignore[reportAttributeAccessIssue]


async def test_painters_start_and_end_together():
    both = asyncio.Barrier(2)
    told = []

    def painter():
        async def start():
            await both.wait()
            told.append("start")

        async def close(seconds):
            await both.wait()
            told.append(seconds)

        return SimpleNamespace(start=start, close=close)

    pool = PainterPool([painter(), painter()])
    async with asyncio.timeout(10):
        await pool.start()
        await pool.close(7.5)
    assert told == ["start", "start", 7.5, 7.5]


def test_a_painter_that_comes_back_loses_its_job_to_any_other():
    told = []
    callbacks = PoolCallbacks(*(lambda *what, name=name: told.append((name, *what)) for name in "abcd")).of_painters()
    callbacks.on_event(1, 2)
    callbacks.on_free()
    callbacks.on_lost("job")
    assert told == [("a", 1, 2), ("b",), ("c", "job")]
