"""The pace of edits and the trying again; the rest of the progress is tested through real commands."""

from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest

from bot.chat.edit_rate import EditRate
from bot.chat.retry import may_pass, retried


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_channel_is_edited_once_in_an_interval(clock):
    edit_rate = EditRate(3.0, clock)
    assert edit_rate.wait(1) == 0
    edit_rate.edited(1, active=1)
    assert edit_rate.wait(1) == 3.0
    assert edit_rate.wait(2) == 0
    clock.now += 3
    assert edit_rate.wait(1) == 0


def test_several_jobs_share_the_pace_of_their_channel(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.edited(1, active=4)
    assert edit_rate.wait(1) == 12.0


def test_refusals_double_the_wait_and_successes_shorten_it_again(clock):
    edit_rate = EditRate(3.0, clock)
    waits = []
    for _ in range(3):
        edit_rate.refused(1)
        waits.append(edit_rate.wait(1))
    assert waits == [6.0, 12.0, 24.0]
    for _ in range(20):
        edit_rate.edited(1, active=1)
    assert edit_rate.wait(1) == 3.0


def test_what_discord_asks_for_is_kept_and_the_wait_has_an_end(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.refused(1, retry_after=50)
    assert edit_rate.wait(1) == 50
    for _ in range(20):
        edit_rate.refused(1)
    assert edit_rate.wait(1) == 60


def test_an_edit_out_of_turn_puts_the_next_turn_off(clock):
    edit_rate = EditRate(3.0, clock)
    edit_rate.edited(1, active=1)
    edit_rate.edited_out_of_turn(1)
    assert edit_rate.wait(1) == 6.0
    clock.now += 60
    edit_rate.edited_out_of_turn(1)
    assert edit_rate.wait(1) == 3.0


def test_nothing_is_edited_out_of_turn_while_a_refusal_is_waited_out(clock):
    edit_rate = EditRate(3.0, clock)
    assert edit_rate.may_edit_out_of_turn(1)
    edit_rate.refused(1)
    assert not edit_rate.may_edit_out_of_turn(1)
    clock.now += 6
    assert edit_rate.may_edit_out_of_turn(1)


def http(status: int, kind: type[discord.HTTPException] = discord.HTTPException) -> discord.HTTPException:
    answer: Any = SimpleNamespace(status=status, reason="because")
    return kind(answer, {"code": 0, "message": "x"})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (http(503), True),
        (http(520), True),
        (http(429), True),
        (http(400), False),
        (http(403, discord.Forbidden), False),
        (http(404, discord.NotFound), False),
        (discord.RateLimited(40), True),
        (ConnectionResetError(104, "reset"), True),
        (aiohttp.ServerDisconnectedError(), True),
        (TimeoutError(), True),
        (ValueError(), False),
    ],
)
def test_what_may_pass(error, expected):
    assert may_pass(error) is expected


async def test_a_call_is_repeated_until_it_works():
    left = [ConnectionResetError(104, "reset"), http(503), aiohttp.ServerDisconnectedError()]

    async def call():
        if left:
            raise left.pop()
        return "done"

    assert await retried(call, first_pause=0.001) == "done"


async def test_what_never_passes_is_raised_at_once_and_the_rest_after_some_tries():
    calls = []

    async def forbidden():
        calls.append(1)
        raise http(403, discord.Forbidden)

    with pytest.raises(discord.Forbidden):
        await retried(forbidden, first_pause=0.001)
    assert len(calls) == 1

    async def broken():
        calls.append(1)
        raise http(503)

    with pytest.raises(discord.HTTPException):
        await retried(broken, tries=3, first_pause=0.001)
    assert len(calls) == 4
