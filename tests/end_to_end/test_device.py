"""A device that is lost in the middle of a painting: the process ends to be restarted, and the queue is left alone."""

from local_discord.objects import Channel
from tests.end_to_end.bot_process import BotProcesses
from tests.end_to_end.loopback import until

THREAD = {"worker__isolation": "thread", "worker__painters": "auto"}
"""Where the device is the bot's own, whatever else the run chooses; `test_processes` has the other case."""


async def imagine(bots: BotProcesses, channel: Channel, user: str, **options):
    return await bots.discord.slash(bots.discord.user(user), channel, "imagine", prompt="a red apple", **options)


async def test_a_lost_device_ends_the_process_and_burns_no_job(bots):
    channel = bots.discord.channel("paintings")
    bot = await bots.start(**THREAD)
    first = await imagine(bots, channel, "alice", steps=100)
    others = [await imagine(bots, channel, name, steps=2) for name in ("bob", "carol")]
    await until(lambda: all(asked.response for asked in (first, *others)), 20, "answers")
    await until(lambda: first.response is not None and bool(first.response.files), 20, "a preview")
    (bots.folder / "device-losses").write_text("1", encoding="utf-8")
    await until(lambda: not bot.alive, 60, f"the process ends by itself; its log:\n{bot.log}")
    assert bot.exit_code == 1  # what systemd and Docker restart; 2 they leave alone
    assert bot.log.strip().splitlines()[-1].startswith("The device stopped working")
    assert sorted(bots.states().values()) == ["queued", "queued", "running"]
    assert first.response is not None
    assert "Back soon" in first.response.text
    await bots.start(**THREAD)
    await bots.delivered(3)
    assert bots.discord.messages(channel) == [asked.response for asked in (first, *others)]
    assert [len(shown) for shown in bots.finals(channel).values()] == [1, 1, 1]


async def test_a_job_that_loses_the_device_each_time_is_given_up(bots):
    channel = bots.discord.channel("paintings")
    (bots.folder / "device-losses").write_text("99", encoding="utf-8")
    patient = THREAD | {"worker__checkpoint_seconds": 1000, "worker__attempts": 2}
    bot = await bots.start(**patient)
    asked = await imagine(bots, channel, "alice", steps=40)
    waiting = await imagine(bots, channel, "bob", steps=2)
    for attempt in (1, 2):
        await until(lambda: not bot.alive, 60, "the process ends by itself")  # noqa: B023, it is awaited here
        assert bots.rows("SELECT attempts FROM jobs WHERE state = 'running'") == [(attempt,)]
        bot = await bots.start(**patient)
    await bots.delivered(1)
    assert asked.response is not None
    message = asked.response
    await until(lambda: "given up" in message.text, 20, "the requester is told")
    assert waiting.response is not None
    assert waiting.response.files
    assert bot.alive
