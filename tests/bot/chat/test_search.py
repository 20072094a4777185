"""What was posted of a job is found again, by its buttons, its file or its words, and nothing else is taken for it."""

# pyright: reportArgumentType=false

import time
from types import SimpleNamespace

import discord
import pytest

from bot.chat.retry import retried
from bot.chat.search import MessageSearch, _since
from bot.jobs import Job
from tests.bot.chat.fake_discord import refusal
from tests.bot.conftest import make_job

BOT, OTHER = 99, 7


def button(job_id):
    return {"type": 1, "components": [{"type": 2, "style": 2, "custom_id": f"stop:{job_id}", "label": "Stop"}]}


def text(words):
    return {"type": 10, "content": words}


def message(number, *raw, author=BOT, files=()):
    components = [discord.components._component_factory(one) for one in raw]
    attachments = [
        SimpleNamespace(
            filename=name, url=f"https://cdn.example/{name}", size=1, content_type=None, is_spoiler=lambda: False
        )
        for name in files
    ]
    return SimpleNamespace(
        id=number, author=SimpleNamespace(id=author), components=components, attachments=attachments, embeds=[],
        message_snapshots=[], flags=discord.MessageFlags(components_v2=True),
    )  # fmt: skip


class Channel:
    def __init__(self, *messages, error=None):
        self.messages, self.error, self.asked = messages, error, []

    async def history(self, **arguments):
        self.asked.append((arguments["limit"], arguments["after"].id))
        if self.error is not None:
            raise self.error
        for one in self.messages:
            yield one

    def get_partial_message(self, number):
        found = [one for one in self.messages if one.id == number]

        async def fetch():
            if not found:
                raise refusal(404)
            return found[0]

        return SimpleNamespace(fetch=fetch)


class Client:
    def __init__(self, channel, direct=None):
        self.channel, self.direct, self.asked, self.guilds = channel, direct, [], set()
        self.user = SimpleNamespace(id=BOT)

    def get_partial_messageable(self, channel_id, *, guild_id):
        self.asked.append(channel_id)
        self.guilds.add(guild_id)
        return self.channel

    async def create_dm(self, user):
        self.asked.append(("direct", user.id))
        return self.direct


@pytest.fixture
def job(ask) -> Job:
    return make_job(ask(user_id=3), message_id=None)


async def test_a_jobs_message_is_the_first_with_its_buttons(job):
    channel = Channel(
        message(1, text("words")),
        message(2, button("zzzzzzzz")),
        message(3, button(job.id)),
        message(4, button(job.id)),
    )
    client = Client(channel)
    found = await MessageSearch(client).message_of(job)
    assert found is not None
    assert found.id == 3
    assert client.asked == [job.channel_id]
    assert client.guilds == {job.guild_id}
    assert channel.asked == [(200, job.interaction_id)]


@pytest.mark.parametrize("channel", [Channel(), Channel(error=refusal(403)), Channel(error=refusal(404))])
async def test_without_its_message_there_is_none(job, channel):
    assert await MessageSearch(Client(channel)).message_of(job) is None


ENDS = {
    "a file": lambda job: message(5, files=[f"{job.id}.png"]),
    "words beside its buttons": lambda job: message(5, button(job.id), text("Sorry: it is lost.")),
}


@pytest.mark.parametrize("end", ENDS)
async def test_an_end_is_found_by_its_file_or_its_words(job, end):
    shows = job.id if end == "a file" else "it is lost"
    others = [
        message(1, button(job.id)),  # not ended
        message(2, text("it is lost")),  # of nobody's job
        message(3, button("zzzzzzzz"), text("it is lost"), files=["zzzzzzzz.png"]),
        message(4, button(job.id), text("it is lost"), author=OTHER, files=[f"{job.id}.png"]),
    ]
    found = await MessageSearch(Client(Channel(*others, ENDS[end](job)))).end_of(job, shows)
    assert found is not None
    assert found.id == 5
    assert await MessageSearch(Client(Channel(*others))).end_of(job, shows) is None


async def test_the_jobs_own_message_is_looked_at_first(ask):
    job = make_job(ask(), message_id=8)
    end, own = message(5, files=["abcdefgh.png"]), message(8, files=["abcdefgh.png"])
    channel = Channel(end, own)
    found = await MessageSearch(Client(channel)).end_of(job, "abcdefgh")
    assert found is own
    assert channel.asked == []
    found = await MessageSearch(Client(Channel(end, message(8, button(job.id))))).end_of(job, "abcdefgh")
    assert found is end, "the end came as a message of its own"
    found = await MessageSearch(Client(Channel(end))).end_of(job, "abcdefgh")
    assert found is end, "the job's own was deleted"


@pytest.mark.parametrize("error", [refusal(403), refusal(404)])
async def test_where_a_channel_is_closed_the_end_went_to_the_person(job, error):
    direct = Channel(message(5, files=[f"{job.id}.png"]))
    client = Client(Channel(error=error), direct)
    found = await MessageSearch(client).end_of(job, job.id)
    assert found is not None
    assert client.asked == [job.channel_id, ("direct", 3)]
    nowhere = Client(Channel(error=error), Channel(error=refusal(403)))
    assert await MessageSearch(nowhere).end_of(job, job.id) is None


def test_messages_are_searched_from_the_moment_on_that_the_job_was_asked_for(ask):
    assert _since(make_job(ask(interaction_id=1234), message_id=99)) == 1234
    assert _since(make_job(ask(interaction_id=-5), message_id=99)) == 98, "a reaction: from its answer on"
    now = time.time()
    since = _since(make_job(ask(interaction_id=-5), message_id=None, created_at=now))
    assert discord.utils.snowflake_time(since).timestamp() == pytest.approx(now, abs=0.002)
    assert discord.utils.snowflake_time(since).timestamp() <= now


class Unsteady(Channel):
    """A channel that cannot be looked through at first."""

    def __init__(self, broken, *messages):
        super().__init__(*messages)
        self.broken = broken

    async def history(self, **arguments):
        if self.broken:
            self.broken -= 1
            raise refusal(503)
        async for one in super().history(**arguments):
            yield one


async def test_an_end_is_searched_for_until_it_is_known_and_a_message_a_few_times(job, monkeypatch):
    monkeypatch.setitem(retried.__kwdefaults__, "first_pause", 0)
    found = await MessageSearch(Client(Unsteady(30, message(5, files=[f"{job.id}.png"])))).end_of(job, job.id)
    assert found is not None
    assert await MessageSearch(Client(Unsteady(30, message(5, button(job.id))))).message_of(job) is None
    found = await MessageSearch(Client(Unsteady(1, message(5, button(job.id))))).message_of(job)
    assert found is not None
