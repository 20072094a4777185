"""Who is refused where."""

import pytest

from bot.jobs import Requester
from bot.queue.admission import Admission, refusal_by_rules
from bot.queue.preferences import WHOLE_PROCESS, GuildSettings, Preferences
from bot.refusals import Refusal
from bot.settings import ModerationSettings
from engine.prompts import Prompt


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


@pytest.fixture
def admission(settings, ledger):
    return Admission(settings, ledger, Preferences(ledger.database))


async def change(admission, guild_id, **changes):
    await admission._preferences.change_guild(guild_id, **changes)


MEMBER, IN_PRIVATE = Requester(1, 5, 6), Requester(1, None, 9)


async def test_whoever_keeps_the_rules_is_admitted(admission, ask):
    assert await admission.refusal(MEMBER, "a red apple") is None
    assert await admission.refusal(IN_PRIVATE) is None
    limits = await admission.require(ask())
    assert limits == await admission.limits(MEMBER)


async def test_before_a_restart_nothing_is_taken(admission, ask):
    admission.closing = True
    assert "about to restart" in (await admission.refusal(MEMBER) or "")
    with pytest.raises(Refusal, match="about to restart"):
        await admission.require(ask())


@pytest.mark.parametrize("guild_id", [5, WHOLE_PROCESS])
async def test_a_queue_that_is_drained_takes_nothing(admission, ask, guild_id):
    await change(admission, guild_id, draining=True)
    assert "No new paintings" in (await admission.refusal(MEMBER) or "")
    with pytest.raises(Refusal, match="No new paintings"):
        await admission.require(ask())
    assert (await admission.refusal(IN_PRIVATE) is None) is (guild_id == 5)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"blocked_users": frozenset({1})}, "may not use"),
        ({"channels_denied": frozenset({6})}, "this channel"),
        ({"blocked_words": frozenset({"apple"})}, "not allowed here"),
    ],
)
async def test_the_servers_own_rules_hold_there_and_nowhere_else(admission, ask, rules, words):
    await change(admission, 5, **rules)
    assert words in (await admission.refusal(MEMBER, "a red apple") or "")
    with pytest.raises(Refusal, match=words):
        await admission.require(ask())
    assert await admission.refusal(Requester(1, 8, 6), "a red apple") is None


async def test_every_word_that_a_request_brings_is_judged(admission, ask, spec):
    await change(admission, 5, blocked_words=frozenset({"weasel"}))
    for changes in (
        {"prompt": "a weasel"},
        {"spec": spec.but(prompts=(Prompt(content="a weasel"),))},
        {"spec": spec.but(init_image="a.png", edit_from="a weasel")},
        {"spec": spec.but(init_image="a.png", mask_text="the weasel")},
    ):
        with pytest.raises(Refusal, match="not allowed here"):
            await admission.require(ask(**changes))


async def test_the_rules_of_the_server_that_a_picture_comes_from_follow_it(admission, ledger, ask):
    parent, _ = await ledger.add(ask(guild_id=8))
    await change(admission, 8, blocked_words=frozenset({"apple"}), channels_denied=frozenset({6}))
    for requester in (MEMBER, IN_PRIVATE):
        assert "not allowed here" in (await admission.refusal(requester, "a red apple", parent) or "")
        assert "not allowed here" in (await admission.refusal_by_rules(requester, "a red apple", parent) or "")
        assert await admission.refusal_by_rules(requester, "a pear", parent) is None  # its channels are not ours
    with pytest.raises(Refusal, match="not allowed here"):
        await admission.require(ask(kind="rerun", parent_id=parent.id))
    private, _ = await ledger.add(ask(guild_id=None))
    assert await admission.refusal_by_rules(MEMBER, "a red apple", private) is None


async def test_what_the_owner_blocks_is_blocked_everywhere(settings, ledger):
    moderation = ModerationSettings(blocked_words=("apple",))
    admission = Admission(settings.model_copy(update={"moderation": moderation}), ledger, Preferences(ledger.database))
    for requester in (MEMBER, IN_PRIVATE):
        assert "not allowed here" in (await admission.refusal(requester, "an apple") or "")


async def test_limits_count_here(admission, ledger, ask):
    await change(admission, 5, per_user=2)
    for allowed in (True, True, False):
        assert (await admission.refusal(MEMBER) is None) is allowed
        await ledger.add(ask())
    assert "2 of 2" not in (await admission.refusal(Requester(2, 5, 6)) or "")
    assert (await admission.limits(MEMBER)).per_user == 2
    assert (await admission.limits(IN_PRIVATE)).per_user > 2


async def test_the_servers_limit_is_not_that_of_direct_messages(settings, ledger, ask):
    limits = settings.limits.model_copy(update={"per_guild": 1, "per_user": 9})
    admission = Admission(settings.model_copy(update={"limits": limits}), ledger, Preferences(ledger.database))
    for guild_id in (5, None):
        await ledger.add(ask(guild_id=guild_id))
    assert "1 of 1" in (await admission.refusal(MEMBER) or "")
    assert await admission.refusal(IN_PRIVATE) is None


async def test_what_is_too_large_or_not_here_is_not_queued(admission, ask, spec, settings):
    for changes in ({"width": settings.limits.largest_side + 16}, {"generator": "imagenet-16384"}):
        with pytest.raises(Refusal):
            await admission.require(ask(spec=spec.but(**changes)))


async def test_a_group_is_taken_as_a_whole_or_not_at_all(admission, ledger, ask):
    await change(admission, 5, per_user=3)
    await ledger.add(ask())
    for count, room in ((1, True), (2, True), (3, False)):
        if room:
            await admission.require_room(MEMBER, count)
        else:
            with pytest.raises(Refusal, match="3"):
                await admission.require_room(MEMBER, count)
