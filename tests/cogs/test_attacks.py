"""People who try what is not theirs: strangers, moderators of another channel, administrators of a server."""

import asyncio
import dataclasses

import pytest

from bot.jobs import JobState, Request
from bot.queue.preferences import UserSettings
from bot.refusals import Refusal
from local_discord import threads
from local_discord.permissions import Overwrite, Permission
from tests.end_to_end.loopback import Channel
from tests.simulated import ENDLESS, png, words

NOT_SEEN = "that you can see from here"


@pytest.fixture
async def done(world):
    return await world.ended(await world.imagine(world.alice))


@pytest.fixture
async def paused(world):
    """A server that takes requests and starts none: what waits there waits."""
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    return world


def limit(world, **changes):
    """Change what the owner has configured."""
    settings = world.bot.settings
    vars(settings)["limits"] = settings.limits.model_copy(update=changes)  # frozen, and everybody holds this object


def request(world, number, spec, user_id, **changes):
    fields = {"interaction_id": number, "kind": "imagine", "spec": spec, "prompt": "a red apple", "user_id": user_id}
    return Request(**{**fields, "guild_id": world.guild_id, "channel_id": world.channel.id, **changes})


async def test_show_does_not_move_what_somebody_else_is_waiting_for(paused):
    world = paused
    job, other = await world.imagine(world.alice), world.text_channel("other")
    result = await world.bob.slash(other, "show", job=job.id)
    assert result.ephemeral
    assert str(job.message_id) in words(result)
    now = await world.job(job.id)
    assert (now.channel_id, now.message_id) == (world.channel.id, job.message_id)


async def test_the_queue_shows_no_ids_of_others_and_nothing_of_elsewhere(done, paused):
    world = paused
    mine, theirs = await world.imagine(world.bob), await world.imagine(world.alice)
    await world.bot.queue.change_guild(99, paused=True)
    far = await world.bot.queue.submit(request(world, 78, done.spec, world.alice.id, guild_id=99, channel_id=98))
    listed = words(await world.bob.slash(world.channel, "queue"))
    assert mine.id in listed
    assert theirs.id not in listed
    assert far.id not in listed
    assert "1 elsewhere" in listed


async def test_a_job_of_a_private_thread_is_its_members(paused):
    world = paused
    thread = world.thread(world.alice, world.discord.world.bot, private=True)
    hidden = await world.ledger.by_message((await world.alice.slash(thread, "imagine", prompt="an apple")).response.id)
    carol = world.person("carol", world.role("warden", Permission.MANAGE_MESSAGES))
    for who in (world.bob, carol):
        for command in ("show", "cancel"):
            assert NOT_SEEN in words(await who.slash(world.channel, command, job=hidden.id))
        assert hidden.id not in words(await who.slash(world.channel, "queue"))
    assert world.messages() == []
    threads.add(world.discord.world, thread, world.bob.user)
    assert str(hidden.message_id) in words(await world.bob.slash(world.channel, "show", job=hidden.id))


async def test_a_moderator_of_one_channel_is_none_in_another(paused):
    world = paused
    carol = world.person("carol")
    allowed = Overwrite(carol.id, member=True, allow=Permission.MANAGE_MESSAGES)
    mine = world.discord.world.add_channel(Channel("mine", world.guild_id, overwrites={carol.id: allowed}))
    secret = world.text_channel("secret", {carol.id: Permission.VIEW_CHANNEL})
    open_job = await world.imagine(world.alice)
    hidden = await world.ledger.by_message((await world.alice.slash(secret, "imagine", prompt="an apple")).response.id)
    for job, reason in ((open_job, "Only the person"), (hidden, NOT_SEEN)):
        result = await carol.slash(mine, "cancel", job=job.id)
        assert reason in words(result)
        assert (await world.job(job.id)).state is JobState.QUEUED


async def test_a_form_is_asked_again_whether_one_may_see_what_it_is_about(world, done):
    secret = world.text_channel("secret", {world.bob.id: Permission.VIEW_CHANNEL})
    result = await world.alice.slash(secret, "imagine", prompt="a red apple", steps=2)
    hidden = await world.ended(await world.ledger.by_message(result.response.id))
    form = await world.bob.context_menu("Edit this picture", world.message(done.message_id))
    forms = dict(world.bot.forms)

    async def forged(interaction, about, fields):
        await forms["edit"](interaction, hidden.id, fields)

    world.bot.forms["edit"] = forged
    result = await world.bob.submit(form, prompt="a blue fish", strength="1")
    assert result.ephemeral
    assert NOT_SEEN in words(result)


async def test_a_note_of_somebody_else_opens_nothing(world):
    message = await world.alice.send(world.channel, "look", ("house.png", png()))
    await world.alice.context_menu("Edit this picture", message)
    (note,) = world.bot.queue.files.folder.glob("inputs/*.json")
    with pytest.raises(Refusal, match="open it again"):
        await world.bot.intake.read_note(world.bob.id, note.stem)
    assert "file" in await world.bot.intake.read_note(world.alice.id, note.stem)


async def test_a_word_is_blocked_wherever_it_comes_from(done, paused):
    world = paused
    await world.bot.queue.change_guild(world.guild_id, blocked_words=frozenset({"gore", "red apple"}))
    await world.bot.queue.preferences.save_user(world.bob.id, UserSettings(suffix="with g0re"))
    message = world.message(done.message_id)
    tries = [
        await world.bob.slash(world.channel, "imagine", prompt="a lighthouse"),
        await world.alice.slash(world.channel, "imagine", prompt="a lighthouse", negative="gore"),
        await world.alice.slash(world.channel, "imagine", prompt="a red | apple"),
        await world.alice.slash(world.channel, "edit", image=("a.png", png()), prompt="a hill", **{"from": "gore"}),
        await world.alice.slash(world.channel, "edit", image=("a.png", png()), prompt="a hill", mask_text="gore"),
        await world.alice.click(message, label="Rerun"),
        await world.alice.slash(world.channel, "show", job=done.id),
    ]
    for result in tries:
        assert result.ephemeral
        assert "a word that is not allowed here" in words(result)
    assert list(world.bot.queue.files.folder.glob("inputs/*")) == []


async def test_who_is_blocked_shows_nothing_and_nothing_is_shown_where_painting_is_denied(world, done):
    await world.bot.queue.change_guild(world.guild_id, channels_denied=frozenset({world.channel.id}))
    assert "not allowed in this channel" in words(await world.bob.slash(world.channel, "show", job=done.id))
    blocked = frozenset({world.bob.id})
    await world.bot.queue.change_guild(world.guild_id, channels_denied=frozenset(), blocked_users=blocked)
    assert "may not use" in words(await world.bob.slash(world.channel, "show", job=done.id))


async def test_show_has_a_cooldown(world, done):
    results = [await world.bob.slash(world.channel, "show", job=done.id) for _ in range(4)]
    assert [result.ephemeral for result in results] == [False, False, False, True]
    assert "in a minute" in words(results[3])


async def test_every_limit_holds_for_many_at_once(done, paused):
    world = paused
    await world.bot.queue.change_guild(world.guild_id, paused=False)
    await world.bot.queue.change_guild(0, paused=True)  # the whole process, so that jobs wait and count
    limit(world, total=4)
    requests = [request(world, 100 + number, done.spec, 1000 + number) for number in range(8)]
    taken = await asyncio.gather(*map(world.bot.queue.submit, requests), return_exceptions=True)
    refused = [str(one) for one in taken if isinstance(one, Refusal)]
    assert len(refused) == 4
    assert "queue is full" in refused[0]


async def test_a_server_cannot_shut_the_others_out(world, done):
    limit(world, total=4, per_guild=50)
    own = await world.bot.queue.change_guild(world.guild_id, paused=True, per_guild=10_000, per_user=10_000)
    assert own.paused
    for number in range(6):  # a paused server's jobs are nobody else's queue
        await world.bot.queue.submit(request(world, 200 + number, done.spec, 2000 + number))
    other = request(world, 300, done.spec, 3000, guild_id=99, channel_id=98)
    await world.bot.queue.change_guild(0, paused=True)
    job = await world.bot.queue.submit(other)
    await world.bot.queue.change_guild(world.guild_id, paused=False)  # now the queue is full with them
    later = await world.bot.queue.submit(dataclasses.replace(other, interaction_id=301, user_id=3001))
    assert (job.guild_id, later.guild_id) == (99, 99)
    with pytest.raises(Refusal, match="queue is full"):
        await world.bot.queue.submit(request(world, 302, done.spec, 4000))
    limit(world, per_guild=5)
    with pytest.raises(Refusal, match="This server has 6 of 5"):
        await world.bot.queue.submit(request(world, 303, done.spec, 4001))


async def test_jobs_of_a_paused_server_end_and_the_owner_can_clear_any(paused):
    world = paused
    first = await world.imagine(world.alice)
    limit(world, paused_hours=1e-9)
    await world.bot.queue.retention.end_paused()
    assert (await world.job(first.id)).state is JobState.CANCELLED
    second = await world.imagine(world.alice)
    shown_to = {world.bob.id: True}
    world.discord.world.command_permissions[int(world.discord.command("owner", 1)["id"])] = shown_to
    refused = await world.bob.slash(world.channel, "owner clear", server=str(world.guild_id))
    assert "Only the owner" in words(refused)
    world.bot.owner_id = world.bob.id
    assert str(world.guild_id) in words(await world.bob.slash(world.channel, "owner queue"))
    await world.bob.slash(world.channel, "owner clear", server=str(world.guild_id))
    assert (await world.job(second.id)).state is JobState.CANCELLED


async def test_whatever_made_a_job_the_limits_on_its_size_hold(done, paused):
    world = paused
    limit(world, most_steps=done.spec.steps)
    with pytest.raises(Refusal, match="at most"):
        await world.bot.queue.submit(request(world, 400, done.spec.but(steps=done.spec.steps + 1), world.alice.id))
    await world.alice.click(world.message(done.message_id), label="Refine")
    (child,) = await world.children(done, "refine")
    assert child.spec.steps == done.spec.steps
    limit(world, most_steps=done.spec.steps - 1)
    assert "at most" in words(await world.alice.click(world.message(done.message_id), label="Rerun"))


async def test_deleting_leaves_neither_words_nor_files_nor_copies(world):
    result = await world.alice.slash(world.channel, "edit", image=("a.png", png()), prompt="a zebra", steps=2)
    job = await world.ended(await world.ledger.by_message(result.response.id))
    other = world.text_channel("other")
    await world.bob.slash(other, "show", job=job.id)
    await world.alice.click(world.message(job.message_id), label="Delete")
    folder = world.bot.queue.files.folder
    await world.until(lambda: not world.messages() and not world.messages(other))
    assert [path for kind in ("inputs", "pictures", "latents", "frames") for path in (folder / kind).iterdir()] == []
    assert "zebra" not in repr(await world.job(job.id))
    assert "zebra" not in words(await world.alice.slash(world.channel, "history"))
    assert NOT_SEEN in words(await world.alice.slash(world.channel, "show", job=job.id))


async def test_privacy_lists_what_is_kept_and_deletes_all_of_it(world):
    result = await world.alice.slash(world.channel, "edit", image=("a.png", png()), prompt="a zebra", steps=2)
    await world.ended(await world.ledger.by_message(result.response.id))
    await world.alice.slash(world.channel, "settings", suffix="in the zoo")
    result = await world.bob.slash(world.channel, "edit", image=("a.png", png()), prompt="a horse", steps=2)
    theirs = await world.ended(await world.ledger.by_message(result.response.id))
    answer = words(await world.alice.slash(world.channel, "privacy"))
    assert "**Paintings** · 1" in answer
    assert "**Pictures you sent** · 1" in answer
    await world.alice.slash(world.channel, "privacy", delete=True)
    await world.until(lambda: len(world.messages()) == 1)
    held = await world.ledger.personal_data.held(world.alice.id)
    assert (held.jobs, held.uploads, held.has_settings) == (0, 0, False)
    assert held.requests_today == 1
    assert world.bot.queue.files.inputs(theirs.spec), "the same file of somebody else"


async def test_a_day_is_not_given_back_by_deleting(paused):
    world = paused
    await world.alice.slash(world.channel, "imagine", prompt="an apple")
    await world.bot.queue.change_guild(world.guild_id, per_day=1, cooldown_seconds=0)
    await world.alice.slash(world.channel, "privacy", delete=True)
    await world.restart()
    result = await world.alice.slash(world.channel, "imagine", prompt="an apple")
    assert "1 of 1 paintings in 24 hours" in words(result)
    assert "1 of 1, 0 left" in words(await world.alice.slash(world.channel, "quota"))


async def test_nothing_is_fetched_or_kept_of_a_request_that_cannot_be_painted(world, monkeypatch):
    fetched = []
    monkeypatch.setattr(world.bot.uploads, "fetch", lambda *what: fetched.append(what))
    refused = await world.alice.slash(world.channel, "imagine", prompt="a", image=("a.png", png()), size="9999x9999")
    assert "pixels" in words(refused)
    limit(world, most_steps=5)
    for options, reason in (({"steps": ENDLESS}, "at most 5 steps"), ({"prompt": "::2"}, "needs words before it")):
        sent = {"image": ("a.png", png()), "prompt": "a", "steps": 2, **options}
        assert reason in words(await world.alice.slash(world.channel, "edit", **sent))
    assert fetched == []
    assert list(world.bot.queue.files.folder.glob("inputs/*")) == []


async def test_what_one_person_may_leave_here_is_bounded(paused):
    world = paused
    world.bot.queue.inputs._limits = world.bot.settings.limits.model_copy(update={"upload_megabytes_per_user": 1e-4})
    result = await world.alice.slash(world.channel, "edit", image=("a.png", png(size=(300, 200))), prompt="a hill")
    assert "as much as is kept of one person" in words(result)
    assert list(world.bot.queue.files.folder.glob("inputs/*")) == []
