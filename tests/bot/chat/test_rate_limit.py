"""How often somebody may do what costs a message each time."""

import pytest

from bot.chat.rate_limit import RateLimit


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_so_many_a_minute_for_each(clock):
    limit = RateLimit(2, clock)
    assert [limit.allows(1) for _ in range(4)] == [True, True, False, False]
    assert limit.allows(2)


def test_each_use_counts_for_a_minute_and_what_was_refused_does_not(clock):
    limit = RateLimit(2, clock)
    allowed = []
    for second in (0, 30, 40, 59.9, 60, 60.1, 89.9, 90, 90.1):
        clock.now = second
        allowed.append(limit.allows(1))
    assert allowed == [True, True, False, False, True, False, False, True, False]


def test_whoever_was_seen_last_is_remembered_longest(clock):
    limit = RateLimit(1, clock)
    assert limit.allows(1)
    for key in range(2, 4097):
        limit.allows(key)
    assert not limit.allows(1)  # the 4096th, and now the latest
    assert limit.allows(4097)  # the second is forgotten for it
    assert not limit.allows(1)
    assert limit.allows(2)
