"""No prompt of others, no path and no token where it does not belong."""

import io
import logging

import pytest

from bot import logs
from bot.settings import LogSettings
from tests.simulated import ENDLESS, png, shown, words

SECRET = "a zebra under a mulberry tree"


@pytest.fixture
def log():
    """All that the process logs at the finest level."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.set_up(LogSettings(level="debug", format="json"), stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    for name in ("bot", "cogs", "engine"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


async def test_prompts_stay_out_of_the_log(world, log):
    done = await world.ended(await world.imagine(world.alice, SECRET))
    await world.alice.click(world.message(done.message_id), label="Vary")
    await world.alice.slash(world.channel, "imagine", prompt=f"{SECRET}::nonsense::", size="9x9")
    await world.alice.slash(world.channel, "edit", image=("zebra-at-home.png", b"no picture"), prompt=SECRET)
    await world.alice.slash(world.channel, "edit", image=("zebra-at-home.png", png()), prompt=SECRET, steps=2)
    unpaintable = await world.imagine(world.alice, SECRET, steps=ENDLESS)
    await world.bot.queue.cancel(unpaintable.id)
    await world.ended(unpaintable)
    text = log.getvalue()
    assert done.id in text
    for word in ("zebra", "mulberry"):
        assert word not in text


async def test_nobody_reads_elsewhere_what_others_ask_for(world):
    job = await world.imagine(world.alice, SECRET, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    other = world.text_channel("other")
    for command in ("queue", "info", "history", "settings", "models", "help"):
        result = await world.bob.slash(other, command)
        assert "zebra" not in words(result), command
        assert result.ephemeral, command
    await world.bot.queue.cancel(job.id)
    await world.ended(job)


async def test_no_message_names_a_path(world, tmp_path):
    await world.ended(await world.imagine(world.alice, SECRET))
    broken = await world.imagine(world.alice, SECRET, steps=3)
    world.bot.queue.files.result_path(broken).with_suffix(".png.part").mkdir(parents=True, exist_ok=True)
    await world.ended(broken)
    refused = await world.alice.slash(world.channel, "edit", image=("a.png", b"no picture"), prompt=SECRET)
    texts = [shown(message) for message in world.messages()] + [words(refused)]
    assert any("went wrong" in text or "⚠️" in text for text in texts)
    for text in texts:
        assert str(tmp_path) not in text
        assert "Error" not in text
        assert ".part" not in text
