"""Whatever Discord answers, a finished picture comes to its requester once."""

import asyncio

import pytest

from local_discord.world import Channel
from tests.end_to_end.household import Household, final, words
from tests.end_to_end.loopback import Interaction, answer, disconnect, hold, late, reset, until

PROGRESS = words("mixing the paint")


async def asked(house: Household, **options) -> tuple[Channel, Interaction]:
    """Start a bot and ask it for a picture."""
    channel = house.discord.channel("paintings")
    await house.start()
    return channel, await imagine(house, channel, **options)


async def imagine(house: Household, channel: Channel, user: str = "alice", **options) -> Interaction:
    return await house.discord.slash(house.discord.user(user), channel, "imagine", prompt="a red apple", **options)


def the_one_picture(house: Household, channel: Channel):
    """Return the only message with a final picture, and make sure that nothing else was said."""
    [shown] = house.finals(channel).values()
    assert len(shown) == 1
    return shown[0]


FINAL_FAULTS = {
    **{f"{status} twice": (answer(status), 2) for status in (500, 502, 503, 504, 520, 524)},
    "429 from Discord": (answer(429, retry_after=0.5), 2),
    "429 from Cloudflare, without Via": (answer(429, retry_after=0.5, via=False), 2),
    "429 longer than the library waits": (answer(429, retry_after=31), 1),
    "reset before the edit": (reset(), 3),
    "reset after the edit": (reset(applied=True), 3),
    "hung up before the edit": (disconnect(), 3),
    "hung up after the edit": (disconnect(applied=True), 3),
    "late": (late(3), 1),
}


async def test_a_final_survives_whatever_passes(house):
    """Each fault has a channel of its own; every picture comes, once, in the message that answered the command."""
    channels = {name: house.discord.channel(name) for name in FINAL_FAULTS}
    faults = {
        name: house.discord.fault("edit", effect, times=times, where=final, channel=channels[name])
        for name, (effect, times) in FINAL_FAULTS.items()
    }
    await house.start()
    asking = {name: await imagine(house, channels[name], user=name) for name in FINAL_FAULTS}
    await house.delivered(len(FINAL_FAULTS) - 1)
    assert "rendered" in house.states().values(), "31 seconds are waited for"
    await house.delivered(len(FINAL_FAULTS))
    for name, (_, times) in FINAL_FAULTS.items():
        assert faults[name].hits == times, name
        assert house.discord.messages(channels[name]) == [asking[name].response], name
        assert the_one_picture(house, channels[name]) is asking[name].response, name


async def test_an_outage_of_everything_is_outlasted(house):
    """No way is open for longer than any of them is tried: the picture is not given up."""
    channel = house.discord.channel("paintings")
    await house.start()
    outage = [house.discord.fault(name, answer(503), times=10_000) for name in ("edit", "send", "direct")]
    await imagine(house, channel)
    await outage[2].seen(9)  # the last way has been tried eight times, and once more
    assert house.states() == dict.fromkeys(house.states(), "rendered")
    house.discord.faults.clear()
    await house.delivered(1)
    places = (channel, house.discord.world.direct(house.discord.user("alice")))
    assert sum(len(house.finals(place)) for place in places) == 1


async def test_a_preview_that_hangs_keeps_no_final_back(house):
    never = asyncio.Event()
    fault = house.discord.fault("edit", hold(never, applied=False), where=lambda body: not final(body))
    channel, asking = await asked(house, steps=2000)
    await fault.seen()
    assert asking.response is not None
    await house.discord.press(house.discord.user("alice"), asking.response, "job:stop")
    await house.delivered(1, seconds=30)
    assert the_one_picture(house, channel) is asking.response
    never.set()


async def test_previews_are_dropped_while_the_paintings_go_on(house):
    statuses = {"429": answer(429, retry_after=40), "500": answer(500), "503": answer(503)}
    channels = {name: house.discord.channel(name) for name in statuses}
    faults = [
        house.discord.fault("edit", effect, times=2, where=lambda body: not final(body), channel=channels[name])
        for name, effect in statuses.items()
    ]
    await house.start()
    for name in statuses:
        await imagine(house, channels[name], user=name, steps=40)
    await house.delivered(3)
    assert all(fault.hits for fault in faults)
    assert all(the_one_picture(house, channel) for channel in channels.values())


async def test_a_void_interaction_is_answered_in_the_channel(house):
    fault = house.discord.fault("answer", answer(404, 10062, "Unknown interaction"))
    channel, asking = await asked(house)
    await house.delivered(1)
    assert fault.hits == 1
    assert asking.response is None
    assert house.discord.messages(channel) == [the_one_picture(house, channel)]


@pytest.mark.parametrize("broken", [reset, disconnect])
async def test_an_answer_that_was_applied_though_the_connection_broke(house, broken):
    fault = house.discord.fault("answer", broken(applied=True))
    channel, asking = await asked(house)
    await house.delivered(1)
    assert fault.hits == 1
    assert house.discord.messages(channel) == [the_one_picture(house, channel)]
    assert the_one_picture(house, channel) is asking.response


async def test_an_expired_token_is_never_needed(house):
    channel, asking = await asked(house, steps=20)
    await until(lambda: asking.response is not None, 10, "an answer")
    asking.expired = True
    await house.delivered(1)
    assert the_one_picture(house, channel) is asking.response


@pytest.mark.parametrize("steps", [2, 30], ids=["at the end", "during the painting"])
async def test_a_deleted_message_is_replaced(house, steps):
    channel = house.discord.channel("paintings")
    await house.start()
    opened = asyncio.Event()
    house.discord.fault("edit", hold(opened, applied=False))
    asking = await imagine(house, channel, steps=steps)
    await until(lambda: asking.response is not None, 10, "an answer")
    assert asking.response is not None
    asking.response.deleted = True
    opened.set()
    await house.delivered(1)
    message = the_one_picture(house, channel)
    assert message is not asking.response
    edits = [record for record in house.discord.records if record.name == "edit"]
    assert len(edits) <= 2, "a message that is gone is not asked for again and again"


async def test_a_deleted_channel_sends_the_picture_to_its_requester(house):
    channel, asking = await asked(house, steps=30)
    await until(lambda: asking.response is not None, 10, "an answer")
    channel.deleted = True
    await house.delivered(1)
    alice = house.discord.user("alice")
    message = the_one_picture(house, house.discord.world.direct(alice))
    assert message.attachments[0].content.startswith(b"\x89PNG")


@pytest.mark.parametrize("locked", [False, True])
async def test_an_archived_thread_is_opened_by_a_reply_or_else_the_requester_gets_the_picture(house, locked):
    channel, asking = await asked(house, steps=30)
    await house.ledger_says("SELECT state = 'running' AND message_id IS NOT NULL FROM jobs", 1)
    channel.archived, channel.locked = True, locked
    await house.delivered(1)
    assert asking.response is not None
    there = house.discord.world.direct(house.discord.user("alice")) if locked else channel
    message = the_one_picture(house, there)
    assert message is not asking.response
    assert channel.archived is locked
    assert len([r for r in house.discord.records if r.name == "edit" and r.status == 400]) <= 2


@pytest.mark.parametrize("steps", [2, 2000], ids=["at the end", "during the painting"])
async def test_a_token_that_is_reset_in_the_middle_ends_the_process_and_costs_nothing(house, steps):
    """REST answers 401 and the websocket stays open: the bot logs in again, and that says it plainly."""
    channel = house.discord.channel("paintings")
    bot = await house.start()
    opened = asyncio.Event()
    held = house.discord.fault("edit", hold(opened, applied=False), where=final)
    asking = await imagine(house, channel, steps=steps)
    await (held.seen() if steps == 2 else house.ledger_says("SELECT step > 0 FROM jobs", 1))
    house.discord.change_token("another.token")
    opened.set()
    await until(lambda: not bot.alive, 60, f"the process ends; its log:\n{bot.log}")
    assert bot.exit_code == 2
    assert bot.log.strip().splitlines()[-1].startswith("DISCORD_TOKEN: ")
    assert set(house.states().values()) == {"rendered" if steps == 2 else "running"}
    assert len([r for r in house.discord.records if r.status == 401]) <= 12, "nothing is asked in a hot loop"
    house.discord.change_token()
    [(step,)] = house.rows("SELECT step FROM jobs")
    await house.start()
    if steps == 2000:
        await house.ledger_says(f"SELECT step > {step} FROM jobs", 1)  # it is being painted again
        assert asking.response is not None
        await house.discord.press(house.discord.user("alice"), asking.response, "job:stop")
    await house.delivered(1)
    assert the_one_picture(house, channel) is asking.response


async def test_a_forbidden_channel_and_closed_direct_messages_end_in_show(house):
    channel = house.discord.channel("paintings")
    bot = await house.start()
    for name in ("edit", "send"):
        house.discord.fault(name, answer(403, 50001, "Missing Access"), times=99)
    await imagine(house, channel, steps=30)
    await house.delivered(1)
    assert house.finals(channel) == {}
    assert len([r for r in house.discord.records if r.status == 403]) <= 4
    house.discord.faults.clear()
    [job_id] = house.states()
    shown = await house.discord.slash(house.discord.user("alice"), channel, "show", job=job_id)
    await until(lambda: shown.response is not None and bool(shown.response.files), 10, f"/show shows it\n{bot.log}")


async def test_a_picture_that_is_too_large_comes_smaller(house):
    """Discord takes less than it says: 413, until the file is small enough."""
    house.discord.rest.upload_limit = 2000
    channel, asking = await asked(house, size="64x64")
    await house.delivered(1)
    message = the_one_picture(house, channel)
    assert message is asking.response
    assert len(message.attachments[0].content) <= 2000


async def test_a_message_edited_too_often_is_followed_by_a_reply(house):
    too_old = answer(400, 30046, "Maximum number of edits to messages older than 1 hour reached")
    fault = house.discord.fault("edit", too_old, times=99)
    channel, asking = await asked(house, steps=20)
    await house.delivered(1)
    message = the_one_picture(house, channel)
    assert message.reference is not None
    assert asking.response is not None
    assert int(message.reference["message_id"]) == asking.response.id
    assert fault.hits <= 2


@pytest.mark.parametrize("broken", [reset, disconnect])
async def test_a_reply_that_was_applied_though_the_connection_broke_is_not_sent_twice(house, broken):
    house.discord.fault("edit", answer(404, 10008, "Unknown Message"), times=99)
    fault = house.discord.fault("send", broken(applied=True), times=2)
    channel, _ = await asked(house)
    await house.delivered(1)
    assert fault.hits == 2
    assert the_one_picture(house, channel).nonce is not None


async def test_the_same_interaction_twice_is_one_job(house):
    channel, asking = await asked(house, steps=20)
    await house.discord.again(asking)
    await until(lambda: asking.kind is not None, 10, "an answer")
    await house.discord.again(asking)
    await house.delivered(1)
    await house.discord.again(asking)
    await imagine(house, channel, user="bob")
    await house.delivered(2)
    assert len(house.states()) == 2
    assert len(house.discord.messages(channel)) == 2
    assert [len(shown) for shown in house.finals(channel).values()] == [1, 1]


async def test_reactions_that_cannot_be_seeded_are_left_out(house):
    house.discord.fault("react", answer(403, 50013, "Missing Permissions"), times=99)
    channel, asking = await asked(house)
    await house.delivered(1)
    assert the_one_picture(house, channel) is asking.response
    await until(lambda: any(r.name == "react" for r in house.discord.records), 10, "an attempt")
    await asyncio.sleep(0.5)
    assert len([r for r in house.discord.records if r.name == "react"]) == 1


async def test_five_edits_in_five_seconds_are_enough_for_many_jobs_in_one_channel(house):
    house.discord.rest.edits_per_5_seconds = 5
    channel = house.discord.channel("paintings")
    await house.start()
    asking = [await imagine(house, channel, user=f"user {number}", steps=8) for number in range(8)]
    await house.delivered(8)
    assert {id(shown[0]) for shown in house.finals(channel).values()} == {id(asked.response) for asked in asking}
    refused = [record for record in house.discord.records if record.status == 429]
    assert len(refused) <= 4, "the headers are heeded"
