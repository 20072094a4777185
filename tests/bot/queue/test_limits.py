"""Limits on how much at once and in a day, and how they are refused."""

import dataclasses
import math

import pytest

from bot.jobs import Requester
from bot.queue.limits import Limits, Usage, duration, limits_of, refusal_by_limits, refusal_of_group
from bot.queue.preferences import GuildSettings
from bot.settings import LimitSettings

MEMBER, NO_RULES = Requester(1, 5, 6), GuildSettings()


def of(requester=MEMBER, guild=NO_RULES, **limits):
    return limits_of(requester, guild, LimitSettings(**limits))


def test_the_best_role_decides_and_a_server_only_lowers():
    member = Requester(1, 5, 6, (50, 60, 70))
    assert of(per_user=3).per_user == 3
    assert of(per_user=3, guild=GuildSettings(per_user=2)).per_user == 2
    assert of(per_user=3, guild=GuildSettings(per_user=10_000)).per_user == 3
    assert of(member, per_user=3, per_role={70: 7}).per_user == 7
    assert of(member, per_user=3, per_role={70: 7}, guild=GuildSettings(per_user=2)).per_user == 2
    assert of(member, per_user=9, guild=GuildSettings(per_user=2, per_role={50: 1, 60: 5})).per_user == 5
    assert of(member, per_user=3, guild=GuildSettings(per_role={60: 5})).per_user == 3
    assert of(per_guild=50, guild=GuildSettings(per_guild=10_000)).per_guild == 50


def test_days_and_cooldowns_come_by_role_and_server():
    member = Requester(1, 5, 6, (50,))
    assert of().per_day is None
    assert of(guild=GuildSettings(per_day=5)).per_day == 5
    assert of(per_day=9, guild=GuildSettings(per_day=50)).per_day == 9
    assert of(member, per_day=9, per_day_per_role={50: 90}).per_day == 90
    assert of(member, per_day=9, guild=GuildSettings(per_day=2, per_day_per_role={50: 4})).per_day == 4
    assert of(cooldown_seconds=10).cooldown_seconds == 10
    assert of(cooldown_seconds=10, guild=GuildSettings(cooldown_seconds=5)).cooldown_seconds == 10
    assert of(cooldown_seconds=10, guild=GuildSettings(cooldown_seconds=60)).cooldown_seconds == 60
    assert of(member, cooldown_seconds=10, cooldown_per_role={50: 1}).cooldown_seconds == 1


LIMITS = Limits(per_user=3, per_guild=50, total=1000, cooldown_seconds=0.0, per_day=None)
NOTHING = Usage(of_user=0, of_guild=0, in_all=0, groups=1, today=0, since_last=math.inf, day_resets_in=0.0)


def refusal(in_guild=True, limits=LIMITS, **usage):
    return refusal_by_limits(limits, dataclasses.replace(NOTHING, **usage), in_guild=in_guild) or ""


def test_each_limit_is_named_in_its_refusal():
    assert refusal(of_user=2, of_guild=49, in_all=999) == ""
    assert "3 of 3 paintings under way" in refusal(of_user=3)
    assert "1 of 1 painting under way" in refusal(limits=dataclasses.replace(LIMITS, per_user=1), of_user=1)
    for name in ("per_user", "per_day"):
        assert "may not paint here" in refusal(limits=dataclasses.replace(LIMITS, **{name: 0}))
    assert "server has 50 of 50" in refusal(of_guild=50)
    assert refusal(of_guild=50, in_guild=False) == ""
    daily = dataclasses.replace(LIMITS, per_day=4)
    assert refusal(limits=daily, today=3) == ""
    assert "4 of 4 paintings in 24 hours; ask again in 2 hours" in refusal(limits=daily, today=4, day_resets_in=3700.0)
    slow = dataclasses.replace(LIMITS, cooldown_seconds=90.0)
    assert "One painting every 2 minutes: ask again in 30 seconds" in refusal(limits=slow, since_last=60.0)
    assert refusal(limits=slow, since_last=91.0) == ""


def test_a_full_queue_takes_from_those_who_have_less_than_their_share():
    roomy = dataclasses.replace(LIMITS, per_guild=5000)
    assert "queue is full" in refusal(limits=roomy, in_all=1000, of_guild=1000, groups=1)
    assert "queue is full" in refusal(limits=roomy, in_all=1000, of_guild=1000, groups=2)
    assert refusal(limits=roomy, in_all=1000, of_guild=0, groups=2) == ""
    assert "queue is full" in refusal(limits=roomy, in_all=1500, of_guild=500, groups=2)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 second"),
        (1, "1 second"),
        (1.1, "2 seconds"),
        (59.5, "60 seconds"),
        (60, "1 minute"),
        (60.5, "2 minutes"),
        (3599, "60 minutes"),
        (3600, "1 hour"),
        (3601, "2 hours"),
        (86_400, "24 hours"),
    ],
)
def test_how_long_is_said_in_the_largest_unit_rounded_up(seconds, words):
    assert duration(seconds) == words


def group(count, in_guild=True, limits=LIMITS, **usage):
    return refusal_of_group(limits, dataclasses.replace(NOTHING, **usage), count, in_guild=in_guild) or ""


def test_a_group_fits_under_every_limit_or_says_how_many_do():
    assert group(3) == ""
    assert group(4).startswith("That makes 4 paintings, and you may ask for 3 more")
    assert group(2, of_user=1) == ""
    assert "may ask for 2 more" in group(3, of_user=1)
    assert group(1, of_guild=49) == ""
    assert "may ask for 1 more" in group(2, of_guild=49)
    assert group(2, of_guild=49, in_guild=False) == ""
    assert group(1, in_all=999) == ""
    assert "may ask for 1 more" in group(2, in_all=999)
    daily = dataclasses.replace(LIMITS, per_day=5)
    assert group(2, limits=daily, today=3) == ""
    assert "may ask for 2 more" in group(3, limits=daily, today=3)
    assert "3 of 3 paintings under way" in group(1, of_user=3)
