from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.chat.people import (
    INVITED,
    NEEDED,
    Person,
    missing,
    permissions_where_painted,
    person_of,
    person_of_reaction,
)
from bot.jobs import Requester
from bot.refusals import Refusal
from tests.bot.conftest import make_job

ALL = discord.Permissions(**dict.fromkeys(NEEDED, True))
NOTHING = discord.Permissions.none()
MODERATOR = discord.Permissions(view_channel=True, manage_messages=True)


def person(user_id=1, guild_id: int | None = 5, permissions=ALL, lacking=(), channel_id=7):
    member: Any = None if guild_id is None else object()
    return Person(Requester(user_id, guild_id, channel_id), permissions, tuple(lacking), member)


@pytest.mark.parametrize("name", NEEDED)
def test_each_missing_permission_is_named(name):
    lacking = missing(discord.Permissions(ALL.value & ~discord.Permissions(**{name: True}).value), thread=False)
    assert lacking == (NEEDED[name],)
    with pytest.raises(Refusal, match=NEEDED[name]):
        person(lacking=lacking).require_channel_permissions()


def test_threads_ask_for_their_own_permission():
    assert missing(ALL, thread=True) == (NEEDED["send_messages"],)
    assert missing(ALL | discord.Permissions(send_messages_in_threads=True), thread=True) == ()


def test_several_missing_permissions_are_one_sentence():
    with pytest.raises(Refusal) as refusal:
        person(lacking=("a", "b", "c")).require_channel_permissions()
    assert str(refusal.value).startswith("I may not a, b or c;")
    person().require_channel_permissions()


class Member(discord.Member):
    """Somebody of a server, with roles."""

    def __init__(self, user_id, *roles):
        self._user: Any = SimpleNamespace(id=user_id)
        self._held: Any = [SimpleNamespace(id=role) for role in roles]

    @property
    def roles(self):
        return self._held


class Thread(discord.Thread):
    """A thread in which everybody may do the same."""

    def __init__(self, parent_id=60, permissions=ALL, private=False, members=()):
        self.parent_id, self._permissions, self._private, self._members = parent_id, permissions, private, members

    def permissions_for(self, obj, /):
        return self._permissions

    def is_private(self):
        return self._private

    async def fetch_member(self, user_id, /) -> Any:
        if user_id not in self._members:
            raise discord.NotFound(SimpleNamespace(status=404, reason="gone"), "no member")  # pyright: ignore
        return SimpleNamespace(id=user_id)


def interaction(user, channel: object = None, guild_id: int | None = 5, permissions=ALL, bots=ALL) -> Any:
    return SimpleNamespace(
        user=user, channel=channel, channel_id=6, guild_id=guild_id, permissions=permissions, app_permissions=bots
    )


def test_who_asks_in_a_channel_is_described_with_their_roles():
    member = Member(2, 31, 32)
    found = person_of(interaction(member, permissions=MODERATOR))
    assert found == Person(Requester(2, 5, 6, (31, 32), None), MODERATOR, (), member)
    lacking = person_of(
        interaction(member, bots=discord.Permissions(ALL.value & ~discord.Permissions.embed_links.flag))
    )
    assert lacking.missing == (NEEDED["embed_links"],), "what the bot may, not who asks"


def test_who_asks_in_a_thread_asks_in_its_channel_too():
    member = Member(2)
    found = person_of(interaction(member, Thread(60), bots=ALL | discord.Permissions(send_messages_in_threads=True)))
    assert found.requester == Requester(2, 5, 6, (), 60)
    assert found.missing == ()
    assert person_of(interaction(member, Thread(60))).missing == (NEEDED["send_messages"],)


def test_in_direct_messages_nothing_is_missing_and_nobody_moderates():
    found = person_of(interaction(SimpleNamespace(id=2), guild_id=None, permissions=MODERATOR, bots=NOTHING))
    assert found == Person(Requester(2, None, 6), NOTHING, (), None)


class FakeClient:
    """What is asked of a client: guild 5, its channel 6, and what is allowed there."""

    def __init__(self, channel, me=None):
        self._channel, self._me = channel, me

    def get_guild(self, guild_id):
        if guild_id != 5:
            return None
        return SimpleNamespace(me=self._me, get_channel_or_thread=lambda number: self._channel if number == 6 else None)


def channel(**permissions):
    return SimpleNamespace(permissions_for=lambda member: discord.Permissions(**permissions))


def reaction(member, guild_id: int | None = 5, channel_id=6) -> Any:
    return SimpleNamespace(user_id=2, guild_id=guild_id, channel_id=channel_id, member=member)


def test_who_reacts_is_described_by_what_both_may_in_that_channel():
    me, member = object(), Member(2, 31)
    may = {id(me): discord.Permissions(ALL.value & ~discord.Permissions.embed_links.flag), id(member): MODERATOR}
    client: Any = FakeClient(SimpleNamespace(permissions_for=lambda who: may[id(who)]), me)
    found = person_of_reaction(client, reaction(member))
    assert found == Person(Requester(2, 5, 6, (31,), None), MODERATOR, (NEEDED["embed_links"],), member)
    inside: Any = FakeClient(Thread(60), me)
    found = person_of_reaction(inside, reaction(member))
    assert found == Person(Requester(2, 5, 6, (31,), 60), ALL, (NEEDED["send_messages"],), member)


def test_who_reacts_in_direct_messages_may_do_nothing_to_others():
    client: Any = FakeClient(None)
    assert person_of_reaction(client, reaction(None, None)) == Person(Requester(2, None, 6), NOTHING, (), None)


def test_a_reaction_where_the_bot_cannot_look_is_nobodys():
    client: Any = FakeClient(channel(**dict(ALL)), object())
    assert person_of_reaction(client, reaction(Member(2))) is not None
    for event in (reaction(Member(2), 9), reaction(Member(2), channel_id=7), reaction(None)):
        assert person_of_reaction(client, event) is None


@pytest.mark.parametrize(
    ("who", "where", "may"),
    [
        (person(user_id=2), channel(view_channel=True), (True, False)),
        (person(user_id=2), channel(view_channel=True, manage_messages=True), (True, True)),
        (person(user_id=2), channel(manage_messages=True), (False, False)),
        (person(user_id=2, permissions=MODERATOR), channel(view_channel=True), (True, False)),
        (person(user_id=2, permissions=MODERATOR), channel(), (False, False)),
        (person(user_id=2, permissions=MODERATOR), None, (False, False)),
        (person(user_id=2, permissions=MODERATOR, channel_id=6), None, (True, True)),
        (
            person(user_id=2, guild_id=9, permissions=MODERATOR, channel_id=6),
            channel(view_channel=True),
            (False, False),
        ),
        (person(user_id=2, guild_id=None), channel(view_channel=True, manage_messages=True), (False, False)),
    ],
)
async def test_what_somebody_may_do_is_looked_up_where_the_job_was_painted(ask, who, where, may):
    job = make_job(ask(user_id=1, guild_id=5, channel_id=6))
    found = await permissions_where_painted(FakeClient(where), who, job)  # pyright: ignore[reportArgumentType]
    assert (found.view_channel, found.manage_messages) == may


async def test_nobody_moderates_direct_messages(ask):
    job = make_job(ask(user_id=1, guild_id=None, channel_id=6))
    for who in (person(user_id=2, guild_id=None, channel_id=6), person(user_id=2, permissions=MODERATOR, channel_id=6)):
        found = await permissions_where_painted(FakeClient(channel(**dict(MODERATOR))), who, job)  # pyright: ignore
        assert found == discord.Permissions.none()


@pytest.mark.parametrize(
    ("private", "members", "moderator", "may"),
    [
        (True, (2,), False, True),
        (True, (1, 3), False, False),
        (True, (), True, True),
        (False, (), False, True),
    ],
)
async def test_a_private_thread_is_its_members_and_their_moderators(ask, private, members, moderator, may):
    may_what = discord.Permissions(view_channel=True, manage_threads=moderator)
    thread = Thread(60, may_what, private, members)
    job = make_job(ask(user_id=1, guild_id=5, channel_id=6))
    found = await permissions_where_painted(FakeClient(thread), person(user_id=2), job)  # pyright: ignore
    assert found == (may_what if may else NOTHING)


async def test_what_may_be_done_is_asked_of_the_person_and_in_an_unknown_channel_that_is_nothing(ask):
    who = person(user_id=2)
    asked = []

    def permissions_for(member):
        asked.append(member)
        raise discord.ClientException("Parent channel not found")

    job = make_job(ask(user_id=1, guild_id=5, channel_id=6))
    client: Any = FakeClient(SimpleNamespace(permissions_for=permissions_for))
    assert await permissions_where_painted(client, who, job) == NOTHING
    assert asked == [who.member]


def test_the_invitation_in_the_readme_asks_for_what_the_code_needs_and_nothing_else():
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    link = discord.utils.oauth_url("YOUR_APPLICATION_ID", permissions=INVITED)
    assert readme.count("https://discord.com/oauth2/authorize") == readme.count(link) == 1
    assert missing(INVITED, thread=False) == missing(INVITED, thread=True) == ()
    assert sum(1 for _, on in INVITED if on) == len(NEEDED) + 1
