"""What the messages of those who wait say, while those ahead of them come and go."""

import pytest

from bot.chat.waiting import _HELD, _Shown
from tests.simulated import shown


def status(world, job):
    return shown(world.message(job.message_id))


async def test_places_in_the_queue_move_up_while_a_painting_goes_on(world):
    await world.ended(await world.imagine(world.alice, steps=2))  # from here on a painting's pace is known
    running, *others = await world.occupy(world.alice)
    first, second = [await world.imagine(world.bob, steps=1) for _ in range(2)]
    assert "Next in line" in status(world, first)
    assert "Number 2 in line" in status(world, second)
    assert "starts <t:" in status(world, second)
    await world.bob.click(world.message(first.message_id), label="Stop")
    edits = len(world.edits(running.message_id))
    await world.until(lambda: "Next in line" in status(world, second), 30)
    await world.until(lambda: len(world.edits(running.message_id)) > edits + 1)  # and its pictures still come
    assert "Cancelled" in status(world, first)
    for job in (running, *others):
        await world.alice.click(world.message(job.message_id), label="Stop")
        await world.ended(job)
    await world.ended(second)
    assert "Painted in" in status(world, second)


async def test_a_pause_is_shown_and_so_is_its_end(world, monkeypatch):
    monkeypatch.setattr("bot.chat.waiting._DRIFT_SECONDS", 0.2)
    running = await world.occupy(world.alice)
    waiting = await world.imagine(world.bob, steps=1)
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    await world.until(lambda: "Painting is paused" in status(world, waiting), 60)
    await world.bot.queue.change_guild(world.guild_id, paused=False)
    await world.until(lambda: "Next in line" in status(world, waiting), 60)
    for job in running:
        await world.bot.queue.cancel(job.id)
    await world.ended(waiting)


async def test_a_message_that_is_gone_is_not_edited_again(world):
    running = await world.occupy(world.alice)
    waiting = [await world.imagine(world.bob, steps=1) for _ in range(2)]
    world.discord.world.delete(world.message(waiting[1].message_id))
    await world.bob.click(world.message(waiting[0].message_id), label="Stop")
    await world.until(lambda: world.edits(waiting[1].message_id), 30)
    await world.until(lambda: waiting[1].message_id in world.bot.waiting._uneditable, 30)
    for job in running:
        await world.bot.queue.cancel(job.id)
    await world.ended(await world.job(waiting[1].id))
    assert len([one for one in world.edits(waiting[1].message_id) if "in line" in str(one)]) == 1


@pytest.mark.parametrize(
    ("said", "true", "error"),
    [
        (_Shown(2, 100.0), _Shown(2, 100.0), 0.0),
        (_Shown(2, 100.0), _Shown(1, 100.0), 1.0),
        (_Shown(20, 100.0), _Shown(10, 100.0), 1.0),
        (_Shown(2, 100.0), _Shown(2, 120.0), 0.0),  # no news
        (_Shown(2, 100.0), _Shown(2, 200.0), 0.5),
        (_Shown(2, None), _Shown(2, 100.0), 1.0),
        (_Shown(2, None), _Shown(2, None), 0.0),
        (_Shown(_HELD, None), _Shown(_HELD, None), 0.0),
        (_Shown(_HELD, None), _Shown(1, 5.0), float("inf")),
    ],
)
def test_how_wrong_a_message_is(said, true, error):
    assert said.error(true, now=0.0) == error
