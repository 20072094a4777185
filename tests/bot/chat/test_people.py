from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.chat.people import INVITED, NEEDED, Person, missing, permissions_where_painted
from bot.jobs import Requester
from bot.refusals import Refusal
from tests.bot.conftest import make_job

ALL = discord.Permissions(**dict.fromkeys(NEEDED, True))


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


class FakeClient:
    """What is asked of a client: its guilds, their channels, and what is allowed there."""

    def __init__(self, channel):
        self._channel = channel

    def get_guild(self, guild_id):
        return SimpleNamespace(get_channel_or_thread=lambda channel_id: self._channel)


def channel(**permissions):
    return SimpleNamespace(permissions_for=lambda member: discord.Permissions(**permissions))


MODERATOR = discord.Permissions(view_channel=True, manage_messages=True)


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
    ("member", "moderator", "may"), [(True, False, True), (False, False, False), (False, True, True)]
)
async def test_a_private_thread_is_its_members_and_their_moderators(ask, member, moderator, may):
    class Private(discord.Thread):
        def __init__(self):
            pass

        def is_private(self):
            return True

        def permissions_for(self, obj, /):
            return discord.Permissions(view_channel=True, manage_threads=moderator)

        async def fetch_member(self, user_id, /) -> Any:
            if not member:
                raise discord.NotFound(SimpleNamespace(status=404, reason="gone"), "no member")  # pyright: ignore
            return SimpleNamespace(id=user_id)

    job = make_job(ask(user_id=1, guild_id=5, channel_id=6))
    found = await permissions_where_painted(FakeClient(Private()), person(user_id=2), job)  # pyright: ignore
    assert found.view_channel == may


def test_the_invitation_in_the_readme_asks_for_what_the_code_needs_and_nothing_else():
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    link = discord.utils.oauth_url("YOUR_APPLICATION_ID", permissions=INVITED)
    assert readme.count("https://discord.com/oauth2/authorize") == readme.count(link) == 1
    assert missing(INVITED, thread=False) == missing(INVITED, thread=True) == ()
    assert sum(1 for _, on in INVITED if on) == len(NEEDED) + 1
