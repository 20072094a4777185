from pathlib import Path

import discord
import pytest

from bot.chat.people import INVITED, NEEDED, Person, missing
from bot.jobs import Requester
from bot.refusals import Refusal
from tests.bot.conftest import make_job

ALL = discord.Permissions(**dict.fromkeys(NEEDED, True))


def person(user_id=1, guild_id: int | None = 5, moderates=False, lacking=()):
    return Person(Requester(user_id, guild_id, 6), moderates, tuple(lacking))


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


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (person(user_id=1), True),
        (person(user_id=2), False),
        (person(user_id=2, moderates=True), True),
        (person(user_id=2, guild_id=9, moderates=True), False),
        (person(user_id=2, guild_id=None, moderates=True), False),
    ],
)
def test_who_has_a_say_in_a_job(ask, who, may):
    job = make_job(ask(user_id=1))
    if may:
        who.require_control(job)
    else:
        with pytest.raises(Refusal):
            who.require_control(job)


def test_nobody_moderates_direct_messages(ask):
    job = make_job(ask(user_id=1, guild_id=None))
    with pytest.raises(Refusal):
        person(user_id=2, guild_id=None, moderates=True).require_control(job)


def test_the_invitation_in_the_readme_asks_for_what_the_code_needs_and_nothing_else():
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    link = discord.utils.oauth_url("YOUR_APPLICATION_ID", permissions=INVITED)
    assert readme.count("https://discord.com/oauth2/authorize") == readme.count(link) == 1
    assert missing(INVITED, thread=False) == missing(INVITED, thread=True) == ()
    assert sum(1 for _, on in INVITED if on) == len(NEEDED) + 1
