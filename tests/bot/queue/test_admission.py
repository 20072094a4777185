"""Who is refused where."""

import pytest

from bot.jobs import Requester
from bot.queue.admission import refusal_by_rules
from bot.queue.preferences import GuildSettings
from bot.settings import ModerationSettings


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
    refusal = refusal_by_rules(Requester(1, 5, 6), "a red apple", guild, settings)
    assert refusal is None if expected is None else expected in (refusal or "")
    assert "apple" not in (refusal or "")


def test_what_holds_in_a_channel_holds_in_its_threads():
    in_thread = Requester(1, 5, 77, parent_channel_id=6)
    for guild in (GuildSettings(channels_denied=frozenset({6})), GuildSettings(channels_allowed=frozenset({8}))):
        assert "this channel" in (refusal_by_rules(in_thread, "a red apple", guild, ModerationSettings()) or "")
    allowed = GuildSettings(channels_allowed=frozenset({6}))
    assert refusal_by_rules(in_thread, "a red apple", allowed, ModerationSettings()) is None


def test_the_rules_of_the_server_that_a_job_comes_from_hold_as_well():
    in_private = Requester(1, None, 9)
    for rules in (GuildSettings(blocked_users=frozenset({1})), GuildSettings(blocked_words=frozenset({"apple"}))):
        assert refusal_by_rules(in_private, "a red apple", GuildSettings(), ModerationSettings(), [rules]) is not None
        assert refusal_by_rules(in_private, "a red apple", GuildSettings(), ModerationSettings()) is None
