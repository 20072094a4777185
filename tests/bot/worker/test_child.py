"""A child process at the other end of a pipe: nothing that it says is lost, and its end is told after it."""

import asyncio
import multiprocessing
import os
import signal
import threading

import pytest

from bot.worker.child import ChildProcess, Pauses
from tests import warm_processes
from tests.bot.conftest import until
from tests.bot.worker import light_child

PATIENCE = 60.0


class Parent:
    """Start a child and keep what it says; its exit code comes last."""

    def __init__(self):
        self.heard = []
        self.child = ChildProcess("light", light_child.main, ("hello",), self.heard.append, self.exited)

    def exited(self, code):
        self.heard.append(f"exit {code}")

    async def until_heard(self, what):
        await until(lambda: what in self.heard, PATIENCE)


@pytest.fixture
async def parent():
    one = Parent()
    await one.until_heard("hello")
    yield one
    await one.child.end(0)


async def test_messages_go_both_ways_in_order_and_none_is_the_end(parent):
    assert parent.child.alive
    assert parent.child.pid is not None
    assert parent.child.pid != os.getpid()
    assert 0 < parent.child.age < PATIENCE
    big = bytes(10_000_000)  # far more than a pipe holds: whoever sends does not wait
    for message in ("a", big, "b"):
        parent.child.send(message)
    assert parent.heard == ["hello"]
    parent.child.send(None)
    assert await parent.child.end(PATIENCE)
    assert not parent.child.alive
    await parent.until_heard("exit 0")
    assert parent.heard == ["hello", ("heard", "a"), ("heard", len(big)), ("heard", "b"), "bye", "exit 0"]
    parent.child.send("to nobody")


async def test_neither_it_nor_what_serves_it_holds_up_the_end_of_this_process(parent):
    serving = [one for one in threading.enumerate() if one.name.startswith("light")]
    assert {one.name for one in serving} == {"light sender", "light listener"}
    mine = [one for one in multiprocessing.active_children() if one.pid == parent.child.pid]
    assert [one.name for one in mine] == ["light"]
    assert all(one.daemon for one in (*serving, *mine))


async def test_how_it_ended_is_told_after_all_that_it_said(parent):
    parent.child.send("die")
    await parent.until_heard("exit 3")
    assert parent.heard[1:] == [("heard", "die"), "exit 3"]
    assert not parent.child.alive


async def test_a_child_that_does_not_end_in_time_is_killed(parent):
    parent.child.send("hang")
    await parent.until_heard(("heard", "hang"))
    parent.child.send(None)
    assert not await parent.child.end(0.05)
    await until(lambda: not parent.child.alive, PATIENCE)
    await parent.until_heard(f"exit {-signal.SIGKILL}")


async def test_the_last_words_are_heard_before_its_end_is_over(parent):
    parent.child.send(None)
    await parent.child.end(PATIENCE)
    await asyncio.sleep(0)
    assert "bye" in parent.heard


def test_a_child_whose_parent_was_killed_ends_without_a_word():
    code = """
from multiprocessing import Pipe
from bot.worker.child import tell_parent
ours, theirs = Pipe()
tell_parent(theirs, "hello")
ours.close()
tell_parent(theirs, "nobody hears this")
print("still here")
"""
    child = warm_processes.Program(code)
    assert child.communicate(PATIENCE) == ("", "")
    assert child.returncode == 1


@pytest.mark.parametrize(
    ("ages", "pauses"),
    [
        ([1, 1, 1, 1], [0.5, 1, 2, 4]),
        ([1] * 10, [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]),
        ([100, 100], [0.5, 0.5]),
        ([1, 1, 61, 1], [0.5, 1, 0.5, 1]),
        ([1, 60], [0.5, 1]),  # it did not live long enough to be taken for sound
    ],
)
def test_pauses_grow_with_each_early_death(ages, pauses):
    pause = Pauses()
    assert [pause.after(age) for age in ages] == pauses
