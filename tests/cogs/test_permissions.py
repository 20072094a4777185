"""Every command, button and reaction, tried by somebody who may not."""

import discord
import pytest

from bot.queue.preferences import GuildSettings
from local_discord import Refused
from local_discord.permissions import Permission
from tests.simulated import ENDLESS, png, words

FILLERS = {
    discord.AppCommandOptionType.string: "weasel",
    discord.AppCommandOptionType.integer: 7,
    discord.AppCommandOptionType.number: 0.5,
    discord.AppCommandOptionType.boolean: True,
}
MAKING = ("Rerun", "Vary", "Refine", "Timelapse")
MAKING_REACTIONS = ("🔁", "🔂", "🎲", "⬆️", "🎞️")


@pytest.fixture
async def done(world):
    return await world.ended(await world.imagine(world.alice))


def admin_commands(world):
    """Map every command of /admin to options that it would take."""
    group = world.bot.tree.get_command("admin")
    fill = FILLERS | {
        discord.AppCommandOptionType.user: world.bob,
        discord.AppCommandOptionType.channel: world.channel,
        discord.AppCommandOptionType.role: world.role("some"),
    }
    return {
        command.qualified_name: {option.name: _value(option, fill) for option in command.parameters}
        for command in group.walk_commands()
        if not isinstance(command, discord.app_commands.Group)
    }


def _value(option, fill):
    return option.choices[0].value if option.choices else fill[option.type]


async def test_every_admin_command_is_refused_even_where_the_server_shows_it(world):
    commands = admin_commands(world)
    assert len(commands) >= 10
    for name, options in commands.items():
        with pytest.raises(Refused):
            await world.alice.slash(world.channel, name, **options)
    world.discord.world.command_permissions[int(world.discord.command("admin", 1)["id"])] = {world.alice.id: True}
    for name, options in commands.items():
        result = await world.alice.slash(world.channel, name, **options)
        assert result.ephemeral, name
        assert words(result) == "Only people who manage this server can do that.", name
    assert await world.bot.queue.preferences.guild(world.guild_id) == GuildSettings()


@pytest.fixture(params=["blocked by the server", "blocked by the owner", "in a channel without painting"])
async def outcast(request, world, done, monkeypatch):
    """Bob, for whom painting is forbidden in one way or another."""
    if request.param == "blocked by the server":
        await world.bot.queue.change_guild(world.guild_id, blocked_users=frozenset({world.bob.id}))
    elif request.param == "blocked by the owner":
        moderation = world.bot.settings.moderation.model_copy(update={"blocked_users": (world.bob.id,)})
        settings = world.bot.settings.model_copy(update={"moderation": moderation})
        monkeypatch.setattr(world.bot.queue.admission, "_settings", settings)
    else:
        await world.bot.queue.change_guild(world.guild_id, channels_denied=frozenset({world.channel.id}))
    return world.bob


async def test_nothing_new_is_made_by_who_may_not(world, done, outcast):
    refused = [await outcast.click(world.message(done.message_id), label=label) for label in MAKING]
    refused.append(await outcast.slash(world.channel, "imagine", prompt="a red apple"))
    refused.append(await outcast.slash(world.channel, "edit", image=("a.png", png()), prompt="a red apple"))
    for result in refused:
        assert result.ephemeral
        assert words(result) in {"You may not use this bot here.", "Painting is not allowed in this channel."}
    for emoji in MAKING_REACTIONS:
        await outcast.react(world.message(done.message_id), emoji)
    assert await world.ledger.history(outcast.id) == []


async def test_deleting_by_reaction_is_for_the_requester_and_moderators(world, done):
    await world.bob.react(world.message(done.message_id), "❌")
    assert [message.id for message in world.messages()] == [done.message_id]
    role = world.role("moderators", Permission.MANAGE_MESSAGES)
    carol = world.person("carol", role)
    await carol.react(world.message(done.message_id), "❌")
    assert world.messages() == []


async def test_stopping_by_reaction_is_for_the_requester_and_moderators(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    await world.bob.react(world.message(job.message_id), "❌")
    assert not (await world.job(job.id)).finished
    await world.bot.queue.cancel(job.id)
    await world.ended(job)


async def test_who_was_blocked_meanwhile_cannot_steer(world):
    job = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(job.message_id).attachments)
    form = await world.alice.click(world.message(job.message_id), label="Steer")
    await world.bot.queue.change_guild(world.guild_id, blocked_users=frozenset({world.alice.id}))
    result = await world.alice.submit(form, prompt="a lighthouse")
    assert result.ephemeral
    assert words(result) == "You may not use this bot here."
    assert (await world.job(job.id)).prompt == "a red apple"
    await world.bot.queue.cancel(job.id)
    await world.ended(job)
