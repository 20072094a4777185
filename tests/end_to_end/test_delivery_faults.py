"""Whatever Discord answers, a finished picture comes to its requester once."""

import asyncio

import pytest

from local_discord import threads
from local_discord.objects import Channel
from tests.end_to_end.bot_process import BotProcesses, final, words
from tests.end_to_end.loopback import Interaction, answer, disconnect, hold, late, reset, until

PROGRESS = words("mixing the paint")


async def asked(bots: BotProcesses, **options) -> tuple[Channel, Interaction]:
    """Start a bot and ask it for a picture."""
    channel = bots.discord.channel("paintings")
    await bots.start()
    return channel, await imagine(bots, channel, **options)


async def imagine(bots: BotProcesses, channel: Channel, user: str = "alice", **options) -> Interaction:
    return await bots.discord.slash(bots.discord.user(user), channel, "imagine", prompt="a red apple", **options)


def the_one_picture(bots: BotProcesses, channel: Channel):
    """Return the only message with a final picture, and make sure that nothing else was said."""
    [shown] = bots.finals(channel).values()
    assert len(shown) == 1
    return shown[0]


FINAL_FAULTS = {
    **{f"{status} twice": (answer(status), 2) for status in (500, 502, 503, 504, 520, 524)},
    "429 from Discord": (answer(429, retry_after=0.5), 2),
    "429 from Cloudflare, without Via": (answer(429, retry_after=0.5, via=False), 2),
    "429 longer than the library waits": (answer(429, retry_after=3.5), 1),
    "reset before the edit": (reset(), 3),
    "reset after the edit": (reset(applied=True), 3),
    "hung up before the edit": (disconnect(), 3),
    "hung up after the edit": (disconnect(applied=True), 3),
    "late": (late(3), 1),
}


async def test_a_final_survives_whatever_passes(bots):
    """Each fault has a channel of its own; every picture comes, once, in the message that answered the command."""
    channels = {name: bots.discord.channel(name) for name in FINAL_FAULTS}
    faults = {
        name: bots.discord.fault("edit", effect, times=times, where=final, channel=channels[name])
        for name, (effect, times) in FINAL_FAULTS.items()
    }
    await bots.start()
    asking = {name: await imagine(bots, channels[name], user=name) for name in FINAL_FAULTS}
    await bots.delivered(len(FINAL_FAULTS) - 1)
    assert "rendered" in bots.states().values(), "the longest of them is waited for"
    await bots.delivered(len(FINAL_FAULTS))
    for name, (_, times) in FINAL_FAULTS.items():
        assert faults[name].hits == times, name
        assert bots.discord.messages(channels[name]) == [asking[name].response], name
        assert the_one_picture(bots, channels[name]) is asking[name].response, name


async def test_an_outage_of_everything_is_outlasted(bots):
    """No way is open for longer than any of them is tried: the picture is not given up."""
    channel = bots.discord.channel("paintings")
    await bots.start()
    outage = [bots.discord.fault(name, answer(503), times=10_000) for name in ("edit", "send", "direct")]
    await imagine(bots, channel)
    await outage[2].seen(9)  # the last way has been tried eight times, and once more
    assert bots.states() == dict.fromkeys(bots.states(), "rendered")
    bots.discord.faults.clear()
    await bots.delivered(1)
    places = (channel, bots.discord.world.direct(bots.discord.user("alice")))
    assert sum(len(bots.finals(place)) for place in places) == 1


async def test_a_preview_that_hangs_keeps_no_final_back(bots):
    never = asyncio.Event()
    fault = bots.discord.fault("edit", hold(never, applied=False), where=lambda body: not final(body))
    channel, asking = await asked(bots, steps=2000)
    await fault.seen()
    assert asking.response is not None
    await bots.discord.press(bots.discord.user("alice"), asking.response, "job:stop")
    await bots.delivered(1, seconds=30)
    assert the_one_picture(bots, channel) is asking.response
    never.set()


async def test_previews_are_dropped_while_the_paintings_go_on(bots):
    statuses = {"429": answer(429, retry_after=40), "500": answer(500), "503": answer(503)}
    channels = {name: bots.discord.channel(name) for name in statuses}
    faults = [
        bots.discord.fault("edit", effect, times=2, where=lambda body: not final(body), channel=channels[name])
        for name, effect in statuses.items()
    ]
    await bots.start()
    for name in statuses:
        await imagine(bots, channels[name], user=name, steps=40)
    await bots.delivered(3)
    assert all(fault.hits for fault in faults)
    assert all(the_one_picture(bots, channel) for channel in channels.values())


async def test_a_void_interaction_is_answered_in_the_channel(bots):
    fault = bots.discord.fault("answer", answer(404, 10062, "Unknown interaction"))
    channel, asking = await asked(bots)
    await bots.delivered(1)
    assert fault.hits == 1
    assert asking.response is None
    assert bots.discord.messages(channel) == [the_one_picture(bots, channel)]


@pytest.mark.parametrize("broken", [reset, disconnect])
async def test_an_answer_that_was_applied_though_the_connection_broke(bots, broken):
    fault = bots.discord.fault("answer", broken(applied=True))
    channel, asking = await asked(bots)
    await bots.delivered(1)
    assert fault.hits == 1
    assert bots.discord.messages(channel) == [the_one_picture(bots, channel)]
    assert the_one_picture(bots, channel) is asking.response


async def test_an_expired_token_is_never_needed(bots):
    channel, asking = await asked(bots, steps=20)
    await until(lambda: asking.response is not None, 10, "an answer")
    asking.expired = True
    await bots.delivered(1)
    assert the_one_picture(bots, channel) is asking.response


@pytest.mark.parametrize("steps", [2, 30], ids=["at the end", "during the painting"])
async def test_a_deleted_message_is_replaced(bots, steps):
    channel = bots.discord.channel("paintings")
    await bots.start()
    opened = asyncio.Event()
    bots.discord.fault("edit", hold(opened, applied=False))
    asking = await imagine(bots, channel, steps=steps)
    await until(lambda: asking.response is not None, 10, "an answer")
    assert asking.response is not None
    asking.response.deleted = True
    opened.set()
    await bots.delivered(1)
    message = the_one_picture(bots, channel)
    assert message is not asking.response
    edits = [record for record in bots.discord.records if record.name == "edit"]
    assert len(edits) <= 2, "a message that is gone is not asked for again and again"


async def test_a_deleted_channel_sends_the_picture_to_its_requester(bots):
    channel, asking = await asked(bots, steps=30)
    await until(lambda: asking.response is not None, 10, "an answer")
    channel.deleted = True
    await bots.delivered(1)
    alice = bots.discord.user("alice")
    message = the_one_picture(bots, bots.discord.world.direct(alice))
    assert message.attachments[0].content.startswith(b"\x89PNG")


@pytest.mark.parametrize("locked", [False, True])
async def test_an_archived_thread_is_opened_by_a_reply_or_else_the_requester_gets_the_picture(bots, locked):
    world, alice = bots.discord.world, bots.discord.user("alice")
    channel = bots.discord.channel("paintings")
    await bots.start()
    thread = threads.start(world, alice, channel, "apples")
    asking = await imagine(bots, thread, steps=30)
    await bots.ledger_says("SELECT state = 'running' AND message_id IS NOT NULL FROM jobs", 1)
    threads.change(world, world.owner, thread, archived=True, locked=locked)
    await bots.delivered(1)
    assert asking.response is not None
    message = the_one_picture(bots, world.direct(alice) if locked else thread)
    assert message is not asking.response
    assert thread.archived is locked
    assert len([r for r in bots.discord.records if r.name == "edit" and r.status == 400]) <= 2


@pytest.mark.parametrize("steps", [2, 2000], ids=["at the end", "during the painting"])
async def test_a_token_that_is_reset_in_the_middle_ends_the_process_and_costs_nothing(bots, steps):
    """REST answers 401 and the websocket stays open: the bot logs in again, and that says it plainly."""
    channel = bots.discord.channel("paintings")
    bot = await bots.start()
    opened = asyncio.Event()
    held = bots.discord.fault("edit", hold(opened, applied=False), where=final)
    asking = await imagine(bots, channel, steps=steps)
    await (held.seen() if steps == 2 else bots.ledger_says("SELECT step > 0 FROM jobs", 1))
    bots.discord.change_token("another.token")
    opened.set()
    await until(lambda: not bot.alive, 60, f"the process ends; its log:\n{bot.log}")
    assert bot.exit_code == 2
    assert bot.log.strip().splitlines()[-1].startswith("DISCORD_TOKEN: ")
    assert set(bots.states().values()) == {"rendered" if steps == 2 else "running"}
    assert len([r for r in bots.discord.records if r.status == 401]) <= 12, "nothing is asked in a hot loop"
    bots.discord.change_token()
    [(step,)] = bots.rows("SELECT step FROM jobs")
    await bots.start()
    if steps == 2000:
        await bots.ledger_says(f"SELECT step > {step} FROM jobs", 1)  # it is being painted again
        assert asking.response is not None
        await bots.discord.press(bots.discord.user("alice"), asking.response, "job:stop")
    await bots.delivered(1)
    assert the_one_picture(bots, channel) is asking.response


async def test_a_forbidden_channel_and_closed_direct_messages_end_in_show(bots):
    channel = bots.discord.channel("paintings")
    bot = await bots.start()
    for name in ("edit", "send"):
        bots.discord.fault(name, answer(403, 50001, "Missing Access"), times=99)
    await imagine(bots, channel, steps=30)
    await bots.delivered(1)
    assert bots.finals(channel) == {}
    assert len([r for r in bots.discord.records if r.status == 403]) <= 4
    bots.discord.faults.clear()
    [job_id] = bots.states()
    shown = await bots.discord.slash(bots.discord.user("alice"), channel, "show", job=job_id)
    await until(lambda: shown.response is not None and bool(shown.response.files), 10, f"/show shows it\n{bot.log}")


async def test_a_picture_that_is_too_large_comes_smaller(bots):
    """Discord takes less than it says: 413, until the file is small enough."""
    bots.discord.world.server_limit = 2000
    channel, asking = await asked(bots, size="64x64")
    await bots.delivered(1)
    message = the_one_picture(bots, channel)
    assert message is asking.response
    assert len(message.attachments[0].content) <= 2000


async def test_a_message_edited_too_often_is_followed_by_a_reply(bots):
    too_old = answer(400, 30046, "Maximum number of edits to messages older than 1 hour reached")
    fault = bots.discord.fault("edit", too_old, times=99)
    channel, asking = await asked(bots, steps=20)
    await bots.delivered(1)
    message = the_one_picture(bots, channel)
    assert message.reference is not None
    assert asking.response is not None
    assert int(message.reference["message_id"]) == asking.response.id
    assert fault.hits <= 2


@pytest.mark.parametrize("broken", [reset, disconnect])
async def test_a_reply_that_was_applied_though_the_connection_broke_is_not_sent_twice(bots, broken):
    bots.discord.fault("edit", answer(404, 10008, "Unknown Message"), times=99)
    fault = bots.discord.fault("send", broken(applied=True), times=2)
    channel, _ = await asked(bots)
    await bots.delivered(1)
    assert fault.hits == 2
    assert the_one_picture(bots, channel).nonce is not None


async def test_the_same_interaction_twice_is_one_job(bots):
    channel, asking = await asked(bots, steps=20)
    await bots.discord.again(asking)
    await until(lambda: asking.kind is not None, 10, "an answer")
    await bots.discord.again(asking)
    await bots.delivered(1)
    await bots.discord.again(asking)
    await imagine(bots, channel, user="bob")
    await bots.delivered(2)
    assert len(bots.states()) == 2
    assert len(bots.discord.messages(channel)) == 2
    assert [len(shown) for shown in bots.finals(channel).values()] == [1, 1]


async def test_reactions_that_cannot_be_seeded_are_left_out(bots):
    bots.discord.fault("react", answer(403, 50013, "Missing Permissions"), times=99)
    channel, asking = await asked(bots)
    await bots.delivered(1)
    assert the_one_picture(bots, channel) is asking.response
    await until(lambda: any(r.name == "react" for r in bots.discord.records), 10, "an attempt")
    await asyncio.sleep(0.5)
    assert len([r for r in bots.discord.records if r.name == "react"]) == 1


async def test_five_edits_in_five_seconds_are_enough_for_many_jobs_in_one_channel(bots):
    bots.discord.rest.limits.routes["edit"] = (5, 5.0)
    channel = bots.discord.channel("paintings")
    await bots.start()
    asking = [await imagine(bots, channel, user=f"user {number}", steps=8) for number in range(8)]
    await bots.delivered(8)
    assert {id(shown[0]) for shown in bots.finals(channel).values()} == {id(asked.response) for asked in asking}
    refused = [record for record in bots.discord.records if record.status == 429]
    assert len(refused) <= 4, "the headers are heeded"
