"""What is tried again, how often and after which pauses."""

from types import SimpleNamespace

import aiohttp
import discord
import pytest

from bot.chat import retry
from bot.chat.retry import may_pass, retried, token_refused, too_large
from tests.bot.chat.fake_discord import refusal


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal(500), True),
        (refusal(503), True),
        (refusal(520), True),
        (refusal(429), True),
        (refusal(499), False),
        (refusal(400), False),
        (refusal(403), False),
        (refusal(404), False),
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
    left = [ConnectionResetError(104, "reset"), refusal(503), aiohttp.ServerDisconnectedError()]

    async def call():
        if left:
            raise left.pop()
        return "done"

    assert await retried(call, first_pause=0.001) == "done"


async def test_what_never_passes_is_raised_at_once_and_the_rest_after_some_tries():
    calls = []

    async def forbidden():
        calls.append(1)
        raise refusal(403)

    with pytest.raises(discord.Forbidden):
        await retried(forbidden, first_pause=0.001)
    assert len(calls) == 1

    async def broken():
        calls.append(1)
        raise refusal(503)

    with pytest.raises(discord.HTTPException):
        await retried(broken, tries=3, first_pause=0.001)
    assert len(calls) == 4


@pytest.fixture
def pauses(monkeypatch):
    """Go through the pauses at once; list them."""
    found = []

    async def noted(seconds):
        found.append(seconds)

    monkeypatch.setattr(retry, "asyncio", SimpleNamespace(sleep=noted))
    return found


async def test_each_pause_is_twice_as_long_up_to_half_a_minute(pauses):
    async def broken():
        raise refusal(503)

    with pytest.raises(discord.HTTPException):
        await retried(broken)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    pauses.clear()
    with pytest.raises(discord.HTTPException):
        await retried(broken, tries=3, first_pause=5)
    assert pauses == [5, 10]


async def test_a_rate_limit_says_itself_how_long(pauses):
    left = [refusal(503), discord.RateLimited(40), refusal(503)]

    async def call():
        if left:
            raise left.pop()
        return "done"

    assert await retried(call) == "done"
    assert pauses == [1, 40, 4]


async def test_without_an_end_it_goes_on_as_long_as_it_takes(pauses):
    left = [refusal(503)] * 50

    async def call():
        if left:
            raise left.pop()
        return "done"

    assert await retried(call, tries=None) == "done"
    assert len(pauses) == 50


async def test_an_error_of_our_own_is_no_outage(pauses):
    async def broken():
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011, the very one
        await retried(broken)
    assert pauses == []


@pytest.mark.parametrize(
    ("error", "token", "large"),
    [
        (refusal(401), True, False),
        (refusal(401, 50027), False, False),
        (refusal(403), False, False),
        (refusal(413), False, True),
        (refusal(400, 40005), False, True),
        (refusal(400, 50035), False, False),
        (ValueError(), False, False),
    ],
)
def test_what_a_refusal_is_about(error, token, large):
    assert token_refused(error) is token
    assert too_large(error) is large


def test_every_way_in_which_a_call_can_break_is_known():
    for error in (
        refusal(500),
        discord.RateLimited(1),
        aiohttp.ServerDisconnectedError(),
        ConnectionError(),
        TimeoutError(),
    ):
        assert isinstance(error, retry.BROKEN)
    assert not isinstance(ValueError(), retry.BROKEN)
