"""A queue that has not begun to paint, and jobs whose messages are known, for what speaks to Discord."""

import pytest
from PIL import Image

from bot.chat.edit_rate import EditRate
from bot.chat.intake import Intake
from bot.chat.retry import retried
from bot.chat.waiting import WaitingMessages
from bot.jobs import JobState
from bot.queue.service import PaintingQueue
from engine.pictures import encode_png
from tests.bot.chat.fake_discord import MESSAGE, FakeDiscord
from tests.bot.conftest import row


@pytest.fixture
def world():
    return FakeDiscord()


@pytest.fixture
async def queue(settings, idle, monkeypatch):
    """A queue whose painter never starts."""
    monkeypatch.setitem(retried.__kwdefaults__, "first_pause", 0)
    queue = PaintingQueue(settings)
    await queue.start()
    yield queue
    await queue.close()


@pytest.fixture
def rendered(queue, ask):
    """Add a job whose message is known, and its picture if it has one."""

    async def add(state=JobState.RENDERED, **changes):
        job, _ = await queue.ledger.add(ask(**changes))
        await queue.attach_message(job.id, job.channel_id, MESSAGE)
        await queue.ledger.claim(job.id)
        await queue.ledger.transition(job.id, state, step=6, seconds=2.0)
        if state is JobState.RENDERED:
            queue.files.save_result(job, [encode_png(Image.new("RGB", (32, 32), "red"), job.spec)], [b""])
        return await row(queue.ledger, job.id)

    return add


@pytest.fixture
def pace():
    """The pace of edits, by a clock that stands still."""
    return EditRate(3.0, lambda: 100.0)


@pytest.fixture
def waiting(world, queue, pace):
    return WaitingMessages(world, queue, pace, 3.0)


@pytest.fixture
def intake(world, queue, settings, waiting):
    return Intake(world, queue, settings, waiting)
