"""Who is refused where, and caps on unfinished jobs."""

import pytest

from bot.jobs import Requester
from bot.queue.admission import cap_per_user, refusal_by_limits, refusal_by_moderation
from bot.queue.preferences import GuildSettings
from bot.settings import LimitSettings, ModerationSettings


@pytest.mark.parametrize(
    ("guild", "settings", "expected"),
    [
        (GuildSettings(), ModerationSettings(), None),
        (GuildSettings(blocked_users=frozenset({1})), ModerationSettings(), "may not use"),
        (GuildSettings(), ModerationSettings(blocked_users=(1,)), "may not use"),
        (GuildSettings(blocked_words=frozenset({"apple"})), ModerationSettings(), "not allowed here"),
        (GuildSettings(), ModerationSettings(blocked_words=("apple",)), "not allowed here"),
        (GuildSettings(channels_denied=frozenset({6})), ModerationSettings(), "this channel"),
        (GuildSettings(channels_allowed=frozenset({7})), ModerationSettings(), "this channel"),
        (GuildSettings(channels_allowed=frozenset({6})), ModerationSettings(), None),
    ],
)
def test_who_where_and_what_is_refused(guild, settings, expected):
    refusal = refusal_by_moderation(Requester(1, 5, 6), "a red apple", guild, settings)
    assert refusal is None if expected is None else expected in (refusal or "")
    assert "apple" not in (refusal or "")


def test_the_best_role_decides_then_the_guild_then_the_configuration():
    limits = LimitSettings(per_user=3, per_role={70: 7})
    plain, member = Requester(1, 5, 6), Requester(1, 5, 6, (50, 60, 70))
    assert cap_per_user(plain, GuildSettings(), limits) == 3
    assert cap_per_user(plain, GuildSettings(per_user=2), limits) == 2
    assert cap_per_user(member, GuildSettings(per_user=2), limits) == 7
    assert cap_per_user(member, GuildSettings(per_user=2, per_role={50: 1, 60: 5}), limits) == 5


def refusal(guild=None, of_user=0, of_guild=0, in_all=0, guild_id: int | None = 5) -> str:
    requester, guild = Requester(1, guild_id, 6), guild or GuildSettings()
    return refusal_by_limits(requester, guild, LimitSettings(), of_user=of_user, of_guild=of_guild, in_all=in_all) or ""


def test_each_cap_is_named_in_its_refusal():
    assert refusal(of_user=2, of_guild=49, in_all=999) == ""
    assert "3 of 3 paintings under way" in refusal(of_user=3)
    assert "1 of 1 painting under way" in refusal(GuildSettings(per_user=1), of_user=1)
    assert "may not paint here" in refusal(GuildSettings(per_user=0))
    assert "server has 50 of 50" in refusal(of_guild=50)
    assert refusal(of_guild=50, guild_id=None) == ""
    assert "queue is full" in refusal(in_all=1000)
